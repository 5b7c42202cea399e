/**
 * A disk that hangs, in simulated time: whoever waits for it waits for `diskStallMs` and a second at most, be it the disk of
 * a follower, of a leader of partitions, of the controller leader, or of a node that is all of these.
 */
import { toSluiceError } from '@sluice/base';
import { MemoryTransport, methods, RpcClient } from '@sluice/wire';
import { expect, test } from 'vitest';
import { pausesUntilAcked } from './first-acks.testing.ts';
import { isClean, verdict } from './ledger.ts';
import { nodeAddress, SimCluster } from './sim-cluster.ts';
import { readBack, simClient, SimLoad } from './sim-load.ts';

const diskStallMs = 2000;
const pauseMsMax = diskStallMs + 1000;

interface Hung {
  readonly cluster: SimCluster;
  readonly load: SimLoad;
  readonly victim: number;
  readonly hungMs: number;
}

/** Three nodes with two partitions each under load; then the disk of one of them hangs. */
async function hang(seed: number, choose: (cluster: SimCluster) => number): Promise<Hung> {
  // A replica that lags leaves by D10 as well: later than this, so that what is measured is the disk.
  const cluster = new SimCluster(seed, 3, { diskStallMs: `${diskStallMs}ms`, replicaLagMsMax: '20s' });
  const { simulation } = cluster;
  await cluster.start();
  await simulation.until('all nodes ready', 30_000, () => cluster.isReady());
  const { admin } = simClient(cluster, 'admin');
  const creation = admin.createTopic({ name: 'orders', partitions: 6, replication: 3 });
  await simulation.settle('topic', 10_000, creation);
  const load = new SimLoad(cluster, { topic: 'orders', everyMs: 5, keys: 60 });
  await simulation.until('first acks', 10_000, () => load.acked.length >= 500);
  const victim = choose(cluster);
  cluster.disk(victim).holdSyncs();
  return { cluster, load, victim, hungMs: simulation.nowMs };
}

/** From the hang to the first ack on each partition; what was on the way does not count. */
const pausesMs = ({ cluster, load, hungMs }: Hung): Promise<readonly number[]> =>
  pausesUntilAcked(cluster.simulation, load, {
    partitions: [0, 1, 2, 3, 4, 5],
    sinceMs: hungMs,
    ignoredMs: 50,
    limitMs: 30_000,
  });

/** Everybody is told what the node is, and it does not lead the controller. */
async function known({ cluster, victim, hungMs }: Hung): Promise<void> {
  const { simulation } = cluster;
  const others = cluster.ids.filter((id) => id !== victim);
  const marked = (id: number): readonly number[] =>
    [...(cluster.inspect(id)?.image.nodes.values() ?? [])].filter(({ stalled }) => stalled).map(({ nodeId }) => nodeId);
  await simulation.until('it is marked', hungMs + pauseMsMax - simulation.nowMs, () =>
    others.every((id) => marked(id).length === 1 && marked(id)[0] === victim),
  );
  const isReplaced = (): boolean => cluster.leader !== undefined && cluster.leader !== victim;
  await simulation.until('another leads', hungMs + pauseMsMax - simulation.nowMs, isReplaced);
}

/** The disk answers again: nothing was lost, and the node is as good as the others. */
async function recovered({ cluster, load, victim }: Hung): Promise<void> {
  const { simulation } = cluster;
  cluster.disk(victim).releaseSyncs();
  const isMarked = (): boolean => [...(cluster.leaderImage?.nodes.values() ?? [])].some(({ stalled }) => stalled);
  await simulation.until('all in sync', 30_000, () => cluster.isReady() && cluster.isWhole() && !isMarked());
  await load.stop();
  const read = verdict(load.acked, await readBack(cluster, 'orders'), load.sent);
  expect([isClean(read), load.failures, cluster.halted]).toEqual([true, [], []]);
}

const roles = {
  'a node that leads partitions, and follows in the others': (cluster: SimCluster): number =>
    cluster.ids.find((id) => id !== cluster.leader) ?? 0,
  'the controller leader, which leads and follows as well': (cluster: SimCluster): number => cluster.leader ?? 0,
};

for (const [role, choose] of Object.entries(roles)) {
  test.each([1, 2, 3, 4])(`${role}: every partition is served within the limit, seed %i`, async (seed) => {
    const it = await hang(seed, choose);
    const pauses = await pausesMs(it);
    expect(Math.max(...pauses)).toBeLessThan(pauseMsMax);
    await known(it);
    await recovered(it);
  });
}

test.each([1, 2, 3])('the controller leader: metadata is changed again within the limit, seed %i', async (seed) => {
  const it = await hang(seed, (cluster) => cluster.leader ?? 0);
  const { simulation } = it.cluster;
  // What was asked of the one that hangs ends in doubt, or definitely refused; who asks again is served.
  let made = false;
  const refusals = new Set<string>();
  const rpc = new RpcClient(new MemoryTransport(it.cluster.network, 'changes'));
  const asked = nodeAddress((it.victim % 3) + 1, 'client');
  const ask = async (): Promise<void> => {
    for (let at = 0; !made; at += 1) {
      const request = { name: `meanwhile-${at}`, partitions: 1, replication: 2 };
      try {
        await rpc.unary(methods.admin.createTopic, asked, request, { timeoutMs: 20_000 });
        made = true;
      } catch (thrown) {
        refusals.add(toSluiceError(thrown).code);
      }
    }
  };
  await simulation.settle('topic', pauseMsMax, ask());
  expect([...refusals].filter((code) => !['CONTROLLER_CHANGED', 'NOT_CONTROLLER'].includes(code))).toEqual([]);
  it.cluster.disk(it.victim).releaseSyncs();
  await simulation.until('all are ready', 10_000, () => it.cluster.isReady());
  await it.load.stop();
  expect([it.load.failures, it.cluster.halted]).toEqual([[], []]);
});
