/** The controller is handed over on request, under load. */
import { nodeId } from '@sluice/base';
import { expect, test } from 'vitest';
import { isClean, verdict } from './ledger.ts';
import { SimCluster } from './sim-cluster.ts';
import { readBack, simClient, SimLoad } from './sim-load.ts';

const electionTimeoutMs = 1000;

test('the one that is asked for leads within less than an election timeout, and nothing is lost by it', async () => {
  const settings = { 'raft.electionTimeoutMs': `${electionTimeoutMs}ms` };
  const cluster = new SimCluster(3, 4, settings, [1, 2, 3]);
  const { simulation } = cluster;
  await cluster.start();
  await simulation.until('all nodes ready', 30_000, () => cluster.isReady());
  const { admin } = simClient(cluster, 'admin');
  const creation = admin.createTopic({ name: 'orders', partitions: 3, replication: 3 });
  await simulation.settle('topic', 10_000, creation);
  const load = new SimLoad(cluster, { topic: 'orders', everyMs: 5, keys: 20 });
  const ask = (from: number, to: number) => cluster.node(from).transferController(nodeId(to));
  for (let round = 0; round < 3; round += 1) {
    const from = cluster.leader ?? 0;
    const to = (from % 3) + 1;
    const term = cluster.inspect(from)?.raft?.term ?? 0;
    expect(ask(from, from)).toEqual({ outcome: 'refused', reason: 'already-leader' });
    expect(ask(from, 4)).toEqual({ outcome: 'refused', reason: 'not-a-voter' });
    expect(ask(to, from)).toEqual({ outcome: 'refused', reason: 'not-leader' });
    expect(ask(from, to)).toEqual({ outcome: 'begun' });
    expect(ask(from, to)).toEqual({ outcome: 'refused', reason: 'transfer-under-way' });
    await simulation.until('it leads', electionTimeoutMs / 2, () => cluster.leader === to);
    expect(cluster.inspect(to)?.raft?.term).toBe(term + 1);
    const made = admin.createTopic({ name: `after-${round}`, partitions: 1, replication: 3 });
    await simulation.settle('the new one decides', 5000, made);
  }
  await load.stop();
  const read = verdict(load.acked, await readBack(cluster, 'orders'), load.sent);
  expect(isClean(read)).toBe(true);
  expect(load.failures).toEqual([]);
  expect(cluster.halted).toEqual([]);
});
