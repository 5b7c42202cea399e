/**
 * What a cluster of three processes takes at full speed while all is whole, while one node is dead, and while one comes back
 * from behind, in turn; and how fast that one catches up. The three nodes share the machine, and its disk.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { LocalCluster } from '../../e2e/cluster.ts';
import { metric } from '../../e2e/node-figures.ts';
import { until } from '../../e2e/until.ts';
import { sendAtFullSpeed } from '../../packages/cli/src/bench/full-speed.ts';
import { benchPayloads } from '../../packages/cli/src/bench/payload.ts';
import { Sluice } from '../../packages/client/src/mod.ts';
import { endBySignal } from '../end-by-signal.ts';
import { type BenchFigure, ratioFigure, rounded } from './figure.ts';

const rounds = 3;
const measuredMs = 8000;
const recordBytes = 1024;
const partitions = 6;
const defaultBehindGb = 0.25;
const bytesPerGb = 1e9;
const fellTimeoutMs = 600_000;
const wholeTimeoutMs = 1_800_000;
const sampleMs = 250;

/** MB/s of values. */
interface Round {
  readonly whole: number;
  readonly dead: number;
  readonly catchingUp: number;
  /** What was pushed from behind the tail, while records came in at full speed. */
  readonly catchUp: number;
  /** From the start of the node, with what came in meanwhile. */
  readonly wholeAfterSeconds: number;
}

/** `behindGb`: how much the node misses that comes back. */
export async function* replication(
  _part?: string,
  behindGb: number = defaultBehindGb,
): AsyncGenerator<BenchFigure, void, undefined> {
  await using cluster = await LocalCluster.start();
  endBySignal(cluster);
  await using sluice = new Sluice({ bootstrap: cluster.bootstrap, clientId: 'bench-replication' });
  const found: Round[] = [];
  for (let round = 0; round < rounds; round += 1) {
    // A topic a round, or three of them take more room than most disks have.
    const topic = `replication-${round}`;
    await cluster.client.admin.createTopic({ name: topic, partitions, replication: cluster.nodes.length });
    const producing = new Producing(sluice, topic);
    await producing.forMs(measuredMs / 4);
    found.push(await oneRound(cluster, producing, { victim: 1 + (round % cluster.nodes.length), behindGb }));
    await cluster.client.admin.deleteTopic(topic);
  }
  const whole = found.map((round) => round.whole);
  const by = { other: whole, unit: 'MB/s', goal: '0.85' };
  yield pair('one node dead, of whole', { ...by, ours: found.map(({ dead }) => dead) });
  yield pair('one node catching up, of whole', { ...by, ours: found.map(({ catchingUp }) => catchingUp) });
  const catchUp = found.map((round) => round.catchUp);
  yield { name: 'catch-up under full load', unit: 'MB/s', value: Math.min(...catchUp), goal: '20', rounds: catchUp };
  const seconds = found.map(({ wholeAfterSeconds }) => wholeAfterSeconds);
  yield { name: 'in sync again', unit: 's', value: Math.max(...seconds), behindGb, rounds: seconds };
}

function pair(
  name: string,
  { ours, other, unit, goal }: { ours: number[]; other: number[]; unit: string; goal: string },
): BenchFigure {
  return ratioFigure(name, { ours, other, unit }, goal);
}

async function oneRound(
  cluster: LocalCluster,
  producing: Producing,
  { victim, behindGb }: { readonly victim: number; readonly behindGb: number },
): Promise<Round> {
  await cluster.waitHealthy(wholeTimeoutMs);
  const whole = await producing.forMs(measuredMs);
  await cluster.kill(victim);
  const led = async (): Promise<true | undefined> => {
    const { partitions: described } = await cluster.client.admin.describeTopic(producing.topic);
    return described.every(({ leader, isr }) => leader !== null && !isr.includes(victim)) ? true : undefined;
  };
  await until(led, { what: 'leaders elsewhere', timeoutMs: fellTimeoutMs });
  const missedFrom = producing.ackedBytes;
  const dead = await producing.forMs(measuredMs);
  while (producing.ackedBytes - missedFrom < behindGb * bytesPerGb) await producing.forMs(1000);
  await cluster.start(victim);
  const startedMs = performance.now();
  const pushed = (): Promise<number> => pushedFromBehind(cluster, victim);
  const before = await pushed();
  const begun = async (): Promise<true | undefined> => ((await pushed()) > before ? true : undefined);
  await until(begun, { what: 'the begin of the catch-up', timeoutMs: fellTimeoutMs });
  const growth = watchGrowth(pushed);
  const catchingUp = await producing.forMs(measuredMs);
  const catchUp = await growth.mbPerSecond();
  await cluster.waitHealthy(wholeTimeoutMs);
  const wholeAfterSeconds = rounded((performance.now() - startedMs) / 1000, 1);
  // The disk has its own rest to do.
  await sleep(1000);
  return { whole, dead, catchingUp, catchUp: rounded(catchUp, 1), wholeAfterSeconds };
}

/** From now until nothing more came, or until it is asked: a small backlog may be gone before the load ends. */
function watchGrowth(count: () => Promise<number>): { mbPerSecond(): Promise<number> } {
  const over = new AbortController();
  const watch = async (): Promise<number> => {
    const [fromMs, from] = [performance.now(), await count()];
    let [lastMs, last] = [fromMs, from];
    while (!over.signal.aborted) {
      await sleep(sampleMs);
      const now = await count();
      if (now > last) [lastMs, last] = [performance.now(), now];
    }
    return lastMs > fromMs ? (last - from) / 1000 / (lastMs - fromMs) : 0;
  };
  const watched = watch();
  return {
    mbPerSecond: () => {
      over.abort();
      return watched;
    },
  };
}

/** By those who lead, since their start. */
async function pushedFromBehind(cluster: LocalCluster, victim: number): Promise<number> {
  const others = cluster.nodes.filter(({ id }) => id !== victim);
  const counts = await Promise.all(others.map((node) => metric(node, 'sluice_catch_up_bytes_total')));
  return counts.reduce<number>((sum, count) => sum + (count ?? 0), 0);
}

class Producing {
  ackedBytes = 0;
  readonly topic: string;
  readonly #sluice: Sluice;
  readonly #payloads = benchPayloads(recordBytes);

  constructor(sluice: Sluice, topic: string) {
    this.#sluice = sluice;
    this.topic = topic;
  }

  /** As much as it takes; gives MB/s of what was acked. */
  async forMs(ms: number): Promise<number> {
    const producer = this.#sluice.producer();
    const fromMs = performance.now();
    let records = 0;
    await sendAtFullSpeed({
      producer,
      topic: this.topic,
      payloads: this.#payloads,
      records: Number.MAX_SAFE_INTEGER,
      endMs: fromMs + ms,
      stop: new AbortController().signal,
      onAcked: (acked) => {
        records += acked;
      },
    });
    const tookMs = performance.now() - fromMs;
    await producer.close();
    this.ackedBytes += records * recordBytes;
    return rounded((records * recordBytes) / 1000 / tookMs, 1);
  }
}
