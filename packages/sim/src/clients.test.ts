/** The clients that write histories, on a cluster that loses its controller leader and then all its nodes' power. */
import { expect, test } from 'vitest';
import { checkHistory } from './check-history.ts';
import { HistoryRecorder } from './history-recorder.ts';
import { MetadataClients } from './metadata-clients.ts';
import { RecordClients } from './record-clients.ts';
import { recordReplicas } from './replica-logs.ts';
import { SimCluster } from './sim-cluster.ts';
import { simClient, simSurroundings } from './sim-load.ts';

const all = [1, 2, 3] as const;

/** Every replica of the topic is in sync; what the metadata clients made has one replica each. */
const isWhole = (cluster: SimCluster): boolean =>
  cluster.isReady() &&
  all.every((id) =>
    cluster
      .inspect(id)
      ?.image.topicNamed('default', 'orders')
      ?.partitions.every(({ leader, isr, replicas }) => leader !== null && isr.length === replicas.length),
  );

interface Wrong {
  readonly disksLie?: boolean;
  readonly isTrimmed?: boolean;
  readonly trimEveryMs?: number;
}

async function run(
  seed: number,
  { disksLie = false, isTrimmed = false, trimEveryMs }: Wrong = {},
): Promise<HistoryRecorder> {
  // A metadata log whose snapshot was lied away leaves nobody who may vote, and then there is nothing to see.
  const cluster = new SimCluster(seed, 3, disksLie ? { raft: { snapshotLogBytesMax: '16MiB' } } : {});
  const { simulation } = cluster;
  await cluster.start();
  await simulation.until('all nodes ready', 30_000, () => cluster.isReady());
  const recorder = new HistoryRecorder(() => simulation.nowMs);
  const { admin } = simClient(cluster, 'admin');
  await simulation.settle('topic', 10_000, admin.createTopic({ name: 'orders', partitions: 2, replication: 3 }));
  cluster.disksLie = disksLie;
  const metadata = new MetadataClients(cluster, recorder, { clients: 4, names: 3, thinkMs: 20, timeoutMs: 3000 });
  const records = new RecordClients(simSurroundings(cluster), recorder, {
    topic: 'orders',
    partitions: 2,
    producers: 2,
    // A consumer that reads on from what is trimmed would fail.
    consumers: trimEveryMs === undefined ? 2 : 0,
    everyMs: 5,
    ...(trimEveryMs === undefined ? {} : { trimEveryMs, recordsAtOnceMax: 8 }),
    keys: 10,
    newSessionOneIn: 40,
    deliveryTimeoutMs: 20_000,
    slowMsMax: 20,
  });
  await simulation.pass(1500);
  const leader = all.find((id) => cluster.leads(id)) ?? 1;
  recorder.fault('crash', `node${leader}`);
  cluster.kill(leader);
  await simulation.pass(3000);
  await cluster.start(leader);
  await simulation.pass(1500);
  for (const id of all) cluster.kill(id);
  recorder.fault('power-cut', 'all');
  cluster.disksLie = false;
  await cluster.start();
  await simulation.until('all is whole', 60_000, () => isWhole(cluster));
  await simulation.pass(1000);
  await metadata.stop();
  await records.stop();
  await simulation.until('all is whole in the end', 60_000, () => isWhole(cluster));
  if (isTrimmed)
    await simulation.settle(
      'trim',
      10_000,
      admin.trim('orders', [{ partition: 0, before: trimEveryMs === undefined ? 5 : 'end' }]),
    );
  await records.readInTheEnd(60_000);
  await recordReplicas(cluster, recorder, 'orders');
  return recorder;
}

test('what they write down is valid, and exercised what it should', async () => {
  const { lines } = await run(1);
  const judged = checkHistory(lines, { ackedMin: 500, faults: ['crash', 'power-cut'], inDoubtMin: 1 });
  expect(judged.anomalies).toEqual([]);
  expect(judged.missing).toEqual([]);
  expect(judged.verdict).toBe('valid');
  // Three replicas of two partitions were read from their own disks.
  expect(lines.filter(({ event }) => event === 'replica')).toHaveLength(6);
});

test('disks that lie about syncs are seen', async () => {
  const { lines } = await run(2, { disksLie: true });
  const judged = checkHistory(lines, { ackedMin: 1, faults: [], inDoubtMin: 0 });
  expect(judged.verdict).toBe('invalid');
  expect(judged.anomalies.map(({ kind }) => kind)).toContain('inconsistent-offsets');
});

test('what no client of theirs deleted and lies before the start of the log is lost', async () => {
  const { lines } = await run(1, { isTrimmed: true });
  const judged = checkHistory(lines, { ackedMin: 1, faults: [], inDoubtMin: 0 });
  expect(judged.anomalies.map(({ kind }) => kind)).toContain('lost');
});

test('what a client of theirs trimmed is gone on purpose, and nothing beyond it', async () => {
  const trimEveryMs = 300;
  const trimmed = await run(3, { trimEveryMs });
  expect(checkHistory(trimmed.lines, { ackedMin: 500, faults: [], inDoubtMin: 0 }).anomalies).toEqual([]);
  const finals = trimmed.lines.filter((line) => line.event === 'ok' && (line.logStart ?? 0) > 0);
  expect(finals.length).toBeGreaterThan(0);
  const { lines } = await run(3, { trimEveryMs, isTrimmed: true });
  const judged = checkHistory(lines, { ackedMin: 1, faults: [], inDoubtMin: 0 });
  expect(judged.anomalies.map(({ kind }) => kind)).toContain('unseen');
});
