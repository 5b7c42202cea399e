/** Whole nodes whose directory is a copy: one that runs twice, and one that is older than the node was. */
import { expect, test } from 'vitest';
import { directoryOf, putDirectory } from './copied-directory.ts';
import { SimCluster } from './sim-cluster.ts';
import { simClient } from './sim-load.ts';

const at = (id: number, port: number): string => `10.0.0.${id}:${7650 + port}`;

/** Machine 4 has a copy of the configuration of node 2, and can only be reached at its own addresses. */
const twinOfTwo = (id: number) =>
  id < 4
    ? {}
    : {
        nodeId: 2,
        listeners: {
          client: [{ name: 'client', protocol: 'grpc', bind: at(4, 0) }],
          peer: { bind: at(4, 1), advertise: at(2, 1) },
          admin: { bind: at(4, 2) },
        },
      };

const older = 'data directory is an older copy of itself and votes no more';

const leadsRaft = (cluster: SimCluster, id: number): boolean => cluster.node(id).inspect()?.raft?.isLeader === true;

/** By term, who said that its leadership began. */
function leaderships(cluster: SimCluster): ReadonlyMap<unknown, readonly string[]> {
  const found = new Map<unknown, string[]>();
  for (const { phrase, node, fields } of cluster.log) {
    if (phrase !== 'controller leadership began') continue;
    found.set(fields['term'], [...(found.get(fields['term']) ?? []), node]);
  }
  return found;
}

const said = (cluster: SimCluster, node: string, phrase: string) =>
  cluster.log.filter((line) => line.node === node && line.phrase === phrase).map(({ fields }) => fields);

test.each([1, 2, 3])(
  'a copy of a directory runs beside the original: it is not heard, and says why (seed %i)',
  async (seed) => {
    const cluster = new SimCluster(seed, 4, twinOfTwo, [1, 2, 3]);
    const { simulation } = cluster;
    const all = [1, 2, 3];
    await cluster.start(...all);
    await simulation.until('all nodes ready', 30_000, () => cluster.isReady(...all));
    cluster.kill(2, 'everything');
    const files = directoryOf(cluster, 2);
    putDirectory(cluster, 4, files);
    await cluster.start(2);
    await simulation.until('the original is back', 30_000, () => cluster.isReady(...all));
    await cluster.start(4);
    // Each of the others loses its place once; only the original can vote for the one that is left.
    for (const id of [1, 3]) {
      cluster.kill(id);
      const left = all.filter((each) => each !== id);
      await simulation.until('the others elect', 20_000, () => left.some((each) => leadsRaft(cluster, each)));
      await cluster.start(id);
      await simulation.until('all are back', 30_000, () => cluster.isReady(...all));
    }
    // Without the original there are two voters, and the copy makes no difference to them.
    cluster.kill(2);
    await simulation.until('the others elect', 20_000, () => [1, 3].some((each) => leadsRaft(cluster, each)));
    cluster.kill(1);
    await simulation.pass(15_000);
    expect([3, 4].map((id) => leadsRaft(cluster, id))).toEqual([false, false]);
    // Which of them comes first depends on whether it had something to say before it was told what the others remember.
    const reasons = said(cluster, 'node4', 'another node refuses this one').map(({ code }) => code);
    const isTold = reasons.includes('DUPLICATE_NODE') || said(cluster, 'node4', older).length > 0;
    expect(isTold).toBe(true);
    expect(said(cluster, 'node2', 'another node refuses this one')).toEqual([]);
    expect(said(cluster, 'node4', 'broker serves')).toEqual([]);
    for (const nodes of leaderships(cluster).values()) expect(nodes).toHaveLength(1);
    expect(cluster.halted).toEqual([]);
  },
);

test.each([1, 2, 3])(
  'an older copy of a directory, put back: it says so, follows, and never votes (seed %i)',
  async (seed) => {
    const cluster = new SimCluster(seed);
    const { simulation } = cluster;
    await cluster.start();
    await simulation.until('all nodes ready', 30_000, () => cluster.isReady());
    const files = directoryOf(cluster, 2);
    const { admin } = simClient(cluster, 'admin');
    await simulation.settle('a change', 10_000, admin.createTopic({ name: 'later', partitions: 3, replication: 3 }));
    await simulation.until('all have it', 10_000, () => cluster.isWhole());
    cluster.kill(2);
    putDirectory(cluster, 2, files);
    await cluster.start(2);
    await simulation.until('it says so', 20_000, () => said(cluster, 'node2', older).length > 0);
    await simulation.until('it follows', 30_000, () => cluster.isReady() && cluster.isWhole());
    expect(cluster.node(2).figures().sluice_controller_voter).toBe(0);
    // Whoever leads may count on what it has stored; electing another takes its vote.
    const leader = [1, 3].find((id) => leadsRaft(cluster, id)) ?? 0;
    const other = leader === 1 ? 3 : 1;
    cluster.kill(leader);
    await simulation.pass(15_000);
    expect([2, other].map((id) => leadsRaft(cluster, id))).toEqual([false, false]);
    // It remembers, also when nobody else does.
    cluster.kill(other);
    cluster.kill(2);
    await cluster.start(2);
    await simulation.pass(15_000);
    expect(cluster.node(2).figures().sluice_controller_voter).toBe(0);
    await cluster.start(1, 3);
    await simulation.until('two whole voters elect', 20_000, () => [1, 3].some((id) => leadsRaft(cluster, id)));
    for (const nodes of leaderships(cluster).values()) expect(nodes).toHaveLength(1);
  },
);

test.each([
  ['of a node that keeps partitions too', ['controller', 'broker']],
  ['of a node that only votes', ['controller']],
])('a directory whose log is gone beside its identity, %s: it follows, and never votes', async (_what, roles) => {
  const cluster = new SimCluster(1, 5, (id) => ({ roles: id <= 3 ? roles : ['broker'] }), [1, 2, 3]);
  const { simulation } = cluster;
  await cluster.start();
  await simulation.until('all nodes ready', 30_000, () => cluster.isReady());
  // Nobody is left who remembers what it has promised.
  for (const id of cluster.ids) cluster.kill(id);
  const files = directoryOf(cluster, 2);
  putDirectory(cluster, 2, new Map([...files].filter(([name]) => name === 'identity')));
  const votes = (): unknown => cluster.node(2).figures().sluice_controller_voter;
  await cluster.start();
  await simulation.until('it follows', 30_000, () => cluster.isReady());
  expect(votes()).toBe(0);
  // Also when its log has been filled again, if only in part.
  cluster.kill(2);
  await cluster.start(2);
  await simulation.until('it follows again', 30_000, () => cluster.isReady());
  expect(votes()).toBe(0);
  const others = [1, 3];
  const leader = others.find((id) => leadsRaft(cluster, id)) ?? 0;
  cluster.kill(leader);
  await simulation.pass(15_000);
  expect(others.concat(2).filter((id) => id !== leader && leadsRaft(cluster, id))).toEqual([]);
});
