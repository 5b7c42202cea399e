/**
 * A disk that hangs beneath a node, for real: syncs do not end, and everything else of the node goes on. Others lead and
 * serve within `diskStallMs` and a second; when the disk answers the node goes on where it was, as the same process.
 */
import { randomUUID } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { LocalCluster } from '../cluster.ts';
import { percentile } from '../election-round.ts';
import { HangingDisk, hangingDiskProblem } from '../hanging-disk.ts';
import { HonestLoad, unharmed } from '../honest-load.ts';
import { logLines, metric } from '../node-figures.ts';
import { isAlive } from '../node-processes.ts';
import { until } from '../until.ts';

const diskStallMs = 2000;
const pauseMsMax = diskStallMs + 1000;
/** A replica that lags leaves by that as well: later, so that what is measured is the disk. */
const environment = { SLUICE_DISK_STALL_MS: `${diskStallMs}ms`, SLUICE_REPLICA_LAG_MS_MAX: '20s' };
const open = new AsyncDisposableStack();
const disks = new Map<number, HangingDisk>();
let problem: string | undefined;
let cluster: LocalCluster;

beforeAll(async () => {
  problem = await hangingDiskProblem();
  if (problem !== undefined) {
    process.stderr.write(`SKIPPED: tests on hung disks need root and loop devices (${problem})\n`);
    return;
  }
  const directory = mkdtempSync(path.join(tmpdir(), 'sluice-hung-'));
  open.defer(() => rmSync(directory, { recursive: true }));
  for (const id of [1, 2, 3]) {
    const data = path.join(directory, `node-${id}`);
    mkdirSync(data);
    disks.set(id, open.use(await HangingDisk.mount(data)));
  }
  cluster = open.use(await LocalCluster.start({ directory, environment }));
});
beforeEach((context) => {
  if (problem !== undefined) context.skip(problem);
});
afterAll(() => open.disposeAsync());

const partitions = 6;
const all = Array.from({ length: partitions }, (_, partition) => partition);

function disk(id: number): HangingDisk {
  const found = disks.get(id);
  if (found === undefined) throw new Error(`node ${id} has no disk`);
  return found;
}

const say = (text: string): void => void process.stderr.write(`${text}\n`);

type Choose = (controller: number) => number;

interface Round {
  readonly victim: number;
  readonly honest: HonestLoad;
  readonly topic: string;
  /** Partitions that it led. */
  readonly led: readonly number[];
  readonly epochs: readonly number[];
}

async function begin(choose: Choose): Promise<Round> {
  await cluster.waitHealthy(60_000);
  const topic = `hung-${randomUUID()}`;
  const victim = choose(await cluster.controllerLeader());
  // It is also whom the client asks who leads.
  const honest = await HonestLoad.start(cluster, { topic, partitions, rate: 500, watched: victim });
  const described = await cluster.client.admin.describeTopic(topic);
  const led = described.partitions.filter(({ leader }) => leader === victim).map(({ partition }) => partition);
  expect(led.length).toBeGreaterThan(0);
  expect(led.length).toBeLessThan(partitions);
  await honest.acks(200);
  return { victim, honest, topic, led, epochs: described.partitions.map(({ leaderEpoch }) => leaderEpoch) };
}

interface Pauses {
  /** The longest pause of acks on a partition that the hung node led, and on one that it followed in. */
  readonly ledMs: number;
  readonly followedMs: number;
}

/** Of a hang that began at `hungMs`, and that nobody waits for any more. */
async function pauses({ honest: { load }, led }: Round, hungMs: number): Promise<Pauses> {
  const followed = all.filter((partition) => !led.includes(partition));
  const overMs = performance.now();
  const silent = (): readonly number[] => load.gaps.silentSince(overMs, all);
  const served = (): true | undefined => (silent().length > 0 ? undefined : true);
  const standing = (): string => `(silent: ${silent().join(', ')})`;
  await until(served, { what: 'acks on every partition', timeoutMs: 30_000, everyMs: 5, standing });
  const longestMs = (of: readonly number[]): number => load.gaps.longestMs(of, hungMs) ?? Number.NaN;
  return { ledMs: longestMs(led), followedMs: longestMs(followed) };
}

/** A send takes so long, in ms, one after the other. */
async function sendMs(topic: string): Promise<{ readonly p50: number; readonly p99: number }> {
  const producer = cluster.client.producer({ acks: 'all' });
  const allMs: number[] = [];
  for (let at = 0; at < 200; at += 1) {
    const sentMs = performance.now();
    await producer.send(topic, { partition: at % partitions, value: `${at}` });
    allMs.push(performance.now() - sentMs);
  }
  await producer.close();
  return { p50: Math.round(percentile(allMs, 0.5)), p99: Math.round(percentile(allMs, 0.99)) };
}

/** Nobody waits for it any more: it leads nothing, the controller neither, and is in no ISR; who asks is told so. */
async function left({ topic, victim }: Round): Promise<void> {
  const isOut = async (): Promise<true | undefined> => {
    const { partitions: described } = await cluster.client.admin.describeTopic(topic);
    if (described.some(({ leader: leads, isr }) => leads === null || isr.includes(victim))) return undefined;
    const controller = (await cluster.client.admin.describeCluster()).controllerLeader;
    return controller === null || controller === victim ? undefined : true;
  };
  await until(isOut, { what: `a cluster that goes on without node ${victim}`, timeoutMs: 20_000 });
}

/** The disk answers: the same process catches up and is in sync, and nothing acked is missing. */
async function recovered({ victim, honest, topic }: Round, pid: number): Promise<void> {
  const startedMs = performance.now();
  await cluster.waitHealthy();
  say(`in sync again after ${Math.round(performance.now() - startedMs)} ms`);
  const node = cluster.node(victim);
  const stalled = async (): Promise<true | undefined> =>
    (await metric(node, 'sluice_node_disk_stalled')) === 0 ? true : undefined;
  await until(stalled, { what: 'a disk that hangs no more', timeoutMs: 10_000 });
  await honest.acks(200);
  expect(await honest.finish()).toMatchObject(unharmed);
  expect([node.pid, isAlive(pid)]).toEqual([pid, true]);
  for (const { id } of cluster.nodes)
    expect(logLines(cluster.directory, id).map(({ msg }) => msg)).not.toContain('node halted');
  await cluster.client.admin.deleteTopic(topic);
}

const another: Choose = (controller) => (controller % 3) + 1;
const itself: Choose = (controller) => controller;
const leader = 'a node that leads partitions, and follows in the others';
const controllerLeader = 'the controller leader, which leads and follows as well';

const hangs = [
  { what: 'syncs', whose: leader, choose: another },
  { what: 'syncs', whose: controllerLeader, choose: itself },
  { what: 'writes', whose: controllerLeader, choose: itself },
] as const;

test.each(hangs)('$what of $whose hang: others serve within the limit', async ({ what, whose, choose }) => {
  const round = await begin(choose);
  const { victim, honest } = round;
  await using _load = honest;
  const { pid } = cluster.node(victim);
  const timed = `timed-${randomUUID()}`;
  await cluster.client.admin.createTopic({ name: timed, partitions, replication: 3 });
  const whole = await sendMs(timed);

  await using lasting = new AsyncDisposableStack();
  const hungMs = performance.now();
  await disk(victim).hang(what);
  lasting.defer(() => disk(victim).answer());
  await left(round);
  const outMs = performance.now() - hungMs;
  const { ledMs, followedMs } = await pauses(round, hungMs);
  const without = await sendMs(timed);
  await cluster.client.admin.createTopic({ name: `made-${randomUUID()}`, partitions: 1, replication: 2 });
  const goneOnMs = performance.now();
  await honest.acks(1000);
  const laterMs = honest.load.gaps.longestMs(all, goneOnMs) ?? Number.NaN;
  say(
    `${what} of ${whose} hang: acks paused ${Math.round(ledMs)} ms where it led, ${Math.round(followedMs)} ms where it ` +
      `followed, later ${Math.round(laterMs)} ms; replaced in all within ${Math.round(outMs)} ms; a send takes ` +
      `${JSON.stringify(whole)} ms before, ${JSON.stringify(without)} ms without it`,
  );
  expect(await metric(cluster.node(victim), 'sluice_node_disk_stalled')).toBe(1);
  expect(logLines(cluster.directory, victim).map(({ msg }) => msg)).toContain('disk hangs');

  await lasting.disposeAsync();
  await recovered(round, pid);
  expect(Math.max(ledMs, followedMs)).toBeLessThan(pauseMsMax);
  expect(outMs).toBeLessThan(2 * pauseMsMax);
  expect(laterMs).toBeLessThan(diskStallMs / 2);
});

test('a disk that hangs for less than that: acks wait for it, and nobody takes over', async () => {
  const round = await begin(itself);
  const { victim, honest, topic, epochs } = round;
  await using _load = honest;
  const { pid } = cluster.node(victim);
  const hungMs = performance.now();
  await disk(victim).hang('syncs');
  const lasted = async (): Promise<true | undefined> => {
    const oldest = await metric(cluster.node(victim), 'sluice_log_oldest_unsynced_seconds');
    return oldest !== undefined && oldest * 1000 >= diskStallMs / 2 ? true : undefined;
  };
  await using lasting = new AsyncDisposableStack();
  lasting.defer(() => disk(victim).answer());
  await until(lasted, { what: 'a write that waits for long', timeoutMs: diskStallMs });
  await lasting.disposeAsync();
  const { ledMs, followedMs } = await pauses(round, hungMs);
  say(
    `disk hung for a second: acks paused ${Math.round(ledMs)} ms where it led, ${Math.round(followedMs)} ms elsewhere`,
  );
  // Acks that were on their way when the disk hung come a little later.
  expect(Math.min(ledMs, followedMs)).toBeGreaterThan(diskStallMs / 4);
  const { partitions: described } = await cluster.client.admin.describeTopic(topic);
  expect(described.map(({ leaderEpoch }) => leaderEpoch)).toEqual(epochs);
  expect(await cluster.controllerLeader()).toBe(victim);
  await recovered(round, pid);
});
