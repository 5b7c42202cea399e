/**
 * A chaos run: clients that write down all they do, faults from a plan beside them, and in the end a read of everything, by
 * a client and from every node's own directory. `check-history` judges what was written down, as it does for simulated
 * clusters.
 *
 * R1 A run that did not come to its end, in which a kind of fault never came, nothing was in doubt or little was acked,
 *    proves nothing: *unknown*.
 */
import { SeededRandom } from '@sluice/base';
import { checkHistory } from '@sluice/sim/check-history';
import type { Judgement } from '@sluice/sim/check-history';
import { recordDirectory } from '@sluice/sim/directory-replicas';
import { HistoryRecorder } from '@sluice/sim/history-recorder';
import { RecordClients } from '@sluice/sim/record-clients';
import { chaosKinds, chaosPlan } from './chaos-plan.ts';
import { runChaos } from './chaos-faults.ts';
import type { LocalCluster } from './cluster.ts';
import { HistoryFile, historyLines } from './history-file.ts';
import { realSurroundings } from './real-surroundings.ts';
import { longestGapsMs } from './unavailability.ts';
import { until } from './until.ts';

export interface ChaosOptions {
  readonly seed: number;
  readonly minutes: number;
  /** Records a second, of all producers. */
  readonly rate: number;
  /** Where the history goes. */
  readonly historyPath: string;
  readonly say: (line: string) => void;
}

/** As `npm run chaos` prints it, but for where it lies. */
export interface ChaosResult {
  readonly verdict: Judgement['verdict'];
  readonly seed: number;
  readonly minutes: number;
  readonly faults: Readonly<Record<string, number>>;
  readonly acked: number;
  readonly lost: number;
  readonly duplicated: number;
  readonly reordered: number;
  readonly indefinite: number;
  readonly unavailableMsMax: Readonly<Record<string, number>>;
  /** By kind, the three above among them. */
  readonly anomalies: Readonly<Record<string, number>>;
  /** The first of them, in a sentence; or why nothing is known. */
  readonly found: readonly string[];
}

const topicName = 'chaos';
const partitions = 6;
const producers = 4;
/** Shorter than some faults last: what they cut off is in doubt. */
const deliveryTimeoutMs = 4000;
const endTimeoutMs = 120_000;
const sessionsPerRun = 30;
const foundMax = 10;

export async function chaosRun(cluster: LocalCluster, options: ChaosOptions): Promise<ChaosResult> {
  const { historyPath } = options;
  const file = new HistoryFile(historyPath);
  const recorder = new HistoryRecorder(
    () => performance.now(),
    (line) => file.write(line),
  );
  const failures: string[] = [];
  try {
    await record(cluster, recorder, options);
  } catch (error) {
    failures.push(error instanceof Error ? error.message : String(error));
  }
  await cluster.stop();
  await file.close();
  return judgeRun(options, failures);
}

async function record(
  cluster: LocalCluster,
  recorder: HistoryRecorder,
  { seed, minutes, rate, say }: ChaosOptions,
): Promise<void> {
  const random = new SeededRandom(seed);
  await cluster.waitHealthy();
  const topic = await cluster.client.admin.createTopic({
    name: topicName,
    partitions,
    replication: cluster.nodes.length,
  });
  const surroundings = realSurroundings(cluster.bootstrap, random.fork('clients'));
  const clients = new RecordClients(surroundings, recorder, {
    topic: topicName,
    partitions,
    producers,
    consumers: 3,
    everyMs: (1000 * producers) / rate,
    keys: 200,
    newSessionOneIn: Math.max(200, Math.round((minutes * 60 * rate) / sessionsPerRun)),
    deliveryTimeoutMs,
    slowMsMax: 50,
  });
  await acks(recorder, rate);
  const nodes = cluster.nodes.map(({ id }) => id);
  await runChaos(chaosPlan(random.fork('faults'), nodes), minutes * 60_000, { cluster, recorder, say });
  await acks(recorder, rate);
  say('the faults are over; everything is read');
  await clients.stop();
  await clients.readInTheEnd(endTimeoutMs);
  await cluster.stop();
  const of = {
    topic: { name: topicName, id: topic.id },
    partitions: topic.partitions.map(({ partition }) => partition),
  };
  for (const { id, data } of cluster.nodes) await recordDirectory(recorder, { node: id, directory: data, ...of });
}

/** As many more as the rate gives in a second. */
async function acks(recorder: HistoryRecorder, rate: number): Promise<void> {
  const wanted = recorder.acked + rate;
  const flowing = (): true | undefined => (recorder.acked >= wanted ? true : undefined);
  await until(flowing, { what: `${rate} more acks`, timeoutMs: endTimeoutMs });
}

/** By what was written down; `failures`: why the run did not come to its end (R1). */
export function judgeRun(
  { seed, minutes, rate, historyPath }: Omit<ChaosOptions, 'say'>,
  failures: readonly string[],
): ChaosResult {
  // A tenth of what is asked for: a machine may be busy, and a cluster away for much of the time.
  const ackedMin = Math.round((minutes * 60 * rate) / 10);
  const judged = checkHistory(historyLines(historyPath), { ackedMin, faults: chaosKinds, inDoubtMin: 1 });
  const anomalies = new Map<string, number>();
  for (const { kind } of judged.anomalies) anomalies.set(kind, (anomalies.get(kind) ?? 0) + 1);
  const count = (...kinds: readonly string[]): number =>
    kinds.reduce((sum, kind) => sum + (anomalies.get(kind) ?? 0), 0);
  const verdict = judged.verdict === 'valid' && failures.length > 0 ? 'unknown' : judged.verdict;
  const texts = judged.anomalies.slice(0, foundMax).map(({ kind, text }) => `${kind}: ${text}`);
  return {
    verdict,
    seed,
    minutes,
    faults: judged.counts.faults,
    acked: judged.counts.acked,
    lost: count('lost', 'unseen'),
    duplicated: count('duplicate'),
    reordered: count('reordered'),
    indefinite: judged.counts.inDoubt,
    unavailableMsMax: longestGapsMs(historyLines(historyPath)),
    anomalies: Object.fromEntries(anomalies),
    found: [...texts, ...failures, ...judged.missing],
  };
}
