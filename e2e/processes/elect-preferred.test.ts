/** A node that came back gets its leaderships again when a person asks for it, not only when the cluster gets round to it. */
import type { PartitionDescription } from '@sluice/client';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { LocalCluster } from '../cluster.ts';
import { sluice } from '../sluice-command.ts';
import { until } from '../until.ts';

const open = new AsyncDisposableStack();
let cluster: LocalCluster;
beforeAll(async () => {
  cluster = open.use(await LocalCluster.start({ environment: { SLUICE_PREFERRED_ELECTION_MS: '24h' } }));
});
afterAll(() => open.disposeAsync());

const topic = 'orders';

async function misplaced(): Promise<readonly PartitionDescription[]> {
  const { partitions } = await cluster.client.admin.describeTopic(topic);
  return partitions.filter(({ leader, replicas }) => leader !== replicas[0]);
}

async function elect(): Promise<unknown> {
  const { exit, err, lines } = await sluice(['elect', 'preferred', '--json'], { bootstrap: cluster.bootstrap });
  expect({ exit, err }).toEqual({ exit: 0, err: '' });
  return lines()[0];
}

test('leaderships go back to a node that came back', async () => {
  await cluster.client.admin.createTopic({ name: topic, partitions: 6, replication: 3 });
  expect(await misplaced()).toEqual([]);
  const victim = await cluster.leaderOf(topic, 0);
  await cluster.kill(victim);
  await cluster.start(victim);
  await cluster.waitHealthy();
  const moved = await misplaced();
  expect(moved.map(({ replicas }) => replicas[0])).toContain(victim);
  expect(await elect()).toEqual({ changed: moved.length });
  // The node that is asked may hear of it a moment after the answer.
  const isDone = async (): Promise<true | undefined> => ((await misplaced()).length === 0 ? true : undefined);
  await until(isDone, { what: 'preferred leaders', timeoutMs: 10_000 });
  expect(await elect()).toEqual({ changed: 0 });
});
