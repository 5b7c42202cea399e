/** Nodes that are only broker, only controller, or both; one voter, three, five. */
import { expect, test } from 'vitest';
import { isClean, verdict } from './ledger.ts';
import { SimCluster } from './sim-cluster.ts';
import { readBack, simClient, SimLoad } from './sim-load.ts';

interface Shape {
  readonly nodes: number;
  readonly voters: readonly number[];
  readonly rolesOf: (id: number) => readonly string[];
  readonly brokers: readonly number[];
}

const shapes: Readonly<Record<string, Shape>> = {
  'three controllers, two brokers': {
    nodes: 5,
    voters: [1, 2, 3],
    rolesOf: (id) => [id <= 3 ? 'controller' : 'broker'],
    brokers: [4, 5],
  },
  'one voter, and it keeps partitions too': {
    nodes: 1,
    voters: [1],
    rolesOf: () => ['controller', 'broker'],
    brokers: [1],
  },
  'one voter, two brokers': {
    nodes: 3,
    voters: [1],
    rolesOf: (id) => [id === 1 ? 'controller' : 'broker'],
    brokers: [2, 3],
  },
  'five voters, three of them brokers': {
    nodes: 5,
    voters: [1, 2, 3, 4, 5],
    rolesOf: (id) => (id <= 3 ? ['controller', 'broker'] : ['controller']),
    brokers: [1, 2, 3],
  },
};

async function clusterOf({ nodes, voters, rolesOf, brokers }: Shape, seed: number) {
  const cluster = new SimCluster(seed, nodes, (id) => ({ roles: rolesOf(id) }), voters);
  await cluster.start();
  await cluster.simulation.until('all nodes ready', 30_000, () => cluster.isReady());
  const admin = simClient(cluster, 'admin').admin;
  const creation = admin.createTopic({ name: 'orders', partitions: 3, replication: brokers.length });
  const topic = await cluster.simulation.settle('topic', 10_000, creation);
  const load = new SimLoad(cluster, { topic: 'orders', everyMs: 5, keys: 20 });
  await cluster.simulation.until('first acks', 10_000, () => load.acked.length >= 50);
  return { cluster, topic, load, admin };
}

const voting = (cluster: SimCluster, ids: readonly number[]): readonly number[] =>
  ids.filter((id) => cluster.node(id).figures().sluice_controller_voter === 1);

test.each(Object.entries(shapes))('%s: it serves, and its brokers alone hold replicas', async (_what, shape) => {
  const { cluster, topic, load, admin } = await clusterOf(shape, 5);
  const all = Array.from({ length: shape.nodes }, (_, at) => at + 1);
  expect(voting(cluster, all)).toEqual(shape.voters);
  expect(new Set(topic.partitions.flatMap(({ replicas }) => replicas))).toEqual(new Set(shape.brokers));
  const status = await cluster.simulation.settle('status', 10_000, admin.describeCluster());
  expect(status.nodes.map(({ id, state }) => [id, state])).toEqual(shape.brokers.map((id) => [id, 'up']));
  expect(shape.voters).toContain(status.controllerLeader);
  await load.stop();
  const read = await readBack(cluster, 'orders');
  expect(isClean(verdict(load.acked, read, load.sent))).toBe(true);
  expect(cluster.halted).toEqual([]);
});

test('of three controllers without partitions the leader dies, then comes back: the brokers go on', async () => {
  const { cluster, load, admin } = await clusterOf(shapes['three controllers, two brokers']!, 6);
  const { simulation } = cluster;
  const victim = [1, 2, 3].find((id) => cluster.leads(id)) ?? 0;
  cluster.kill(victim);
  const others = [1, 2, 3].filter((id) => id !== victim);
  await simulation.until('another leads', 10_000, () => others.some((id) => cluster.leads(id)));
  await simulation.settle('a change', 10_000, admin.createTopic({ name: 'later', replication: 2 }));
  const before = load.acked.length;
  await simulation.until('acks without it', 10_000, () => load.acked.length >= before + 200);
  await cluster.start(victim);
  await simulation.until('it is back', 10_000, () => cluster.isReady(victim));
  await load.stop();
  expect(isClean(verdict(load.acked, await readBack(cluster, 'orders'), load.sent))).toBe(true);
});

test('a broker that is no voter starts before any voter, and waits for them', async () => {
  const { nodes, voters, rolesOf } = shapes['three controllers, two brokers']!;
  const cluster = new SimCluster(7, nodes, (id) => ({ roles: rolesOf(id) }), voters);
  await cluster.start(4, 5, 1);
  await cluster.simulation.pass(3_000);
  expect([1, 4, 5].map((id) => cluster.isReady(id))).toEqual([false, false, false]);
  await cluster.start(2, 3);
  await cluster.simulation.until('all nodes ready', 30_000, () => cluster.isReady());
});

test('every node, voter or not, is told of a change within one round trip of its commit', async () => {
  const shape = shapes['three controllers, two brokers']!;
  const { cluster, load, admin } = await clusterOf(shape, 8);
  const { simulation } = cluster;
  await load.stop();
  // When each index was first applied by anybody, and when a node was last behind it.
  const first = new Map<number, number>();
  const lateMs: number[] = [];
  const applied = new Map<number, number>();
  simulation.afterEvent = () => {
    for (const id of cluster.ids) {
      const index = cluster.inspect(id)?.image.appliedIndex ?? 0;
      const before = applied.get(id) ?? index;
      applied.set(id, index);
      for (let at = before + 1; at <= index; at += 1) {
        if (!first.has(at)) first.set(at, simulation.nowMs);
        lateMs.push(simulation.nowMs - (first.get(at) ?? 0));
      }
    }
  };
  for (let count = 0; count < 20; count += 1) {
    const creation = admin.createTopic({ name: `topic-${count}`, replication: 2 });
    await simulation.settle('topic', 10_000, creation);
  }
  await simulation.pass(1_000);
  simulation.afterEvent = undefined;
  // A round trip is at most 1.2 ms here.
  expect(lateMs.length).toBeGreaterThanOrEqual(5 * 20);
  expect(Math.max(...lateMs)).toBeLessThan(1.3);
});
