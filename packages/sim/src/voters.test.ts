/** Voters are added and removed while the cluster works, die, lose their disks, and are replaced. */
import type { SluiceError } from '@sluice/base';
import { toSluiceError } from '@sluice/base';
import type { Admin } from '@sluice/client';
import { expect, test } from 'vitest';
import { directoryOf, putDirectory } from './copied-directory.ts';
import { isClean, verdict } from './ledger.ts';
import { SimCluster } from './sim-cluster.ts';
import { readBack, simClient, SimLoad } from './sim-load.ts';

const founders = [1, 2, 3];

async function born(seed: number, nodes: number, voters = founders, settings = {}) {
  const cluster = new SimCluster(seed, nodes, settings, voters);
  const { simulation } = cluster;
  await cluster.start();
  await simulation.until('all nodes ready', 30_000, () => cluster.isReady());
  const { admin } = simClient(cluster, 'admin');
  return { cluster, simulation, admin, settle: settled(cluster) };
}

const settled =
  (cluster: SimCluster) =>
  <T>(promise: Promise<T>): Promise<T> =>
    cluster.simulation.settle('a call', 40_000, promise);

const failure = (promise: Promise<unknown>): Promise<SluiceError> =>
  promise.then(
    () => {
      throw new Error('it was done');
    },
    (error: unknown) => toSluiceError(error),
  );

const leadsRaft = (cluster: SimCluster, id: number): boolean => cluster.inspect(id)?.raft?.isLeader === true;

const leaderOf = (cluster: SimCluster, ids: readonly number[]): number => {
  const leader = ids.find((id) => leadsRaft(cluster, id));
  if (leader === undefined) throw new Error(`none of ${ids.join(', ')} leads`);
  return leader;
};

function oneLeaderATerm(cluster: SimCluster): void {
  const byTerm = new Map<unknown, string>();
  for (const { phrase, node, fields } of cluster.log) {
    if (phrase !== 'controller leadership began') continue;
    expect([fields['term'], byTerm.get(fields['term']) ?? node]).toEqual([fields['term'], node]);
    byTerm.set(fields['term'], node);
  }
  expect(cluster.halted).toEqual([]);
}

const votes = (cluster: SimCluster, id: number) => cluster.node(id).figures().sluice_controller_voter;

const ids = (members: readonly { readonly id: number }[]): readonly number[] => members.map(({ id }) => id);

/** Without a pause: what was made must be there for the next one who asks. */
async function change(admin: Admin, name: string): Promise<void> {
  await admin.createTopic({ name, partitions: 1, replication: 3 });
}

test.each([1, 2, 3])('voters are replaced one by one until none of the first is left (seed %i)', async (seed) => {
  const { cluster, simulation, admin, settle } = await born(seed, 6);
  const load = new SimLoad(cluster, { topic: 'orders', everyMs: 10, keys: 20 });
  await settle(admin.createTopic({ name: 'orders', partitions: 3, replication: 3 }));
  for (const [at, old] of founders.entries()) {
    const added = await settle(admin.addVoter(old + 3));
    expect(added.changed.id).toBe(old + 3);
    await settle(change(admin, `between-${at}`));
    const removed = await settle(admin.removeVoter(old));
    expect(ids(removed.voters)).toEqual([1, 2, 3, 4, 5, 6].filter((id) => id > old && id <= old + 3));
    await settle(change(admin, `after-${at}`));
  }
  await simulation.until('all follow', 10_000, () => cluster.isReady());
  // The first three go for ever; the others hold everything, and stand the loss of one.
  const acked = load.acked.length;
  for (const id of founders) cluster.kill(id);
  await simulation.until('one of the others leads', 10_000, () => [4, 5, 6].some((id) => leadsRaft(cluster, id)));
  const [victim] = [4, 5, 6].filter((id) => leadsRaft(cluster, id));
  cluster.kill(victim ?? 0);
  const left = [4, 5, 6].filter((id) => id !== victim);
  await simulation.until('another leads', 10_000, () => left.some((id) => leadsRaft(cluster, id)));
  await cluster.start(victim ?? 0);
  await simulation.until('it is back', 20_000, () => cluster.isReady(4, 5, 6));
  const { voters } = await settle(admin.describeCluster());
  expect(ids(voters)).toEqual([4, 5, 6]);
  const names = (await settle(admin.listTopics())).map(({ name }) => name);
  expect(names).toEqual(['after-0', 'after-1', 'after-2', 'between-0', 'between-1', 'between-2', 'orders']);
  await cluster.start(...founders);
  await simulation.until('acks again', 60_000, () => load.acked.length >= acked + 100);
  await simulation.until('all are back', 30_000, () => cluster.isReady());
  await load.stop();
  expect(isClean(verdict(load.acked, await readBack(cluster, 'orders'), load.sent))).toBe(true);
  expect([1, 2, 3, 4, 5, 6].map((id) => votes(cluster, id))).toEqual([0, 0, 0, 1, 1, 1]);
  oneLeaderATerm(cluster);
});

test.each([1, 2])(
  'a voter that was away while all the voters it knew were replaced finds the cluster again (seed %i)',
  async (seed) => {
    // Node 7 knows the founders alone, by configuration too; node 1 keeps its partitions and tells who votes now.
    const { cluster, simulation, admin, settle } = await born(seed, 7, [1, 2, 3]);
    await settle(admin.addVoter(7));
    await simulation.until('it knows', 5_000, () => votes(cluster, 7) === 1);
    cluster.kill(7);
    for (const [old, young] of [
      [1, 4],
      [2, 5],
      [3, 6],
    ] as const) {
      await settle(admin.addVoter(young));
      await settle(admin.removeVoter(old));
    }
    await settle(admin.removeVoter(7));
    for (const id of [2, 3]) cluster.kill(id);
    await cluster.start(7);
    await simulation.until('it follows', 20_000, () => cluster.node(7).inspect()?.raft?.leader !== undefined);
    await simulation.until('it knows', 20_000, () => votes(cluster, 7) === 0);
    await simulation.until('it serves', 20_000, () => cluster.isReady(7));
    // An empty directory finds it in the same way.
    cluster.kill(7);
    cluster.wipe(7);
    await cluster.start(7);
    await simulation.until('it serves', 20_000, () => cluster.isReady(7));
    const again = await settle(admin.addVoter(7));
    expect(ids(again.voters)).toEqual([4, 5, 6, 7]);
    oneLeaderATerm(cluster);
  },
);

test.each([1, 2, 3])(
  'a voter whose disk died is removed and added again, in that order alone (seed %i)',
  async (seed) => {
    const { cluster, simulation, admin, settle } = await born(seed, 3);
    for (const victim of [2, 3, 1]) {
      cluster.kill(victim);
      cluster.wipe(victim);
      await cluster.start(victim);
      await simulation.until('it follows', 30_000, () => cluster.isReady());
      expect(votes(cluster, victim)).toBe(0);
      // The old directory is known to be silent only when it has been so for a while.
      const isDown = async (): Promise<boolean> => {
        const { voters } = await admin.describeCluster();
        return voters.find(({ id }) => id === victim)?.state === 'down';
      };
      while (!(await settle(isDown()))) await simulation.pass(100);
      const refused = await settle(failure(admin.addVoter(victim)));
      expect(refused).toMatchObject({ code: 'OTHER_DIRECTORY_VOTES', definite: true });
      const { changed: gone } = await settle(admin.removeVoter(victim));
      const { changed: added } = await settle(admin.addVoter(victim));
      expect([gone.id, added.id, added.directory === gone.directory]).toEqual([victim, victim, false]);
      // What was refused names both, for who has to choose.
      expect(refused.details).toEqual({ voting: gone.directory, following: added.directory });
      const { voters } = await settle(admin.describeCluster());
      expect(voters.map(({ id, state }) => [id, state === 'down'])).toEqual([
        [1, false],
        [2, false],
        [3, false],
      ]);
      expect(votes(cluster, victim)).toBe(1);
    }
    // All three disks are other ones now, and any of them may be lost.
    cluster.kill(leaderOf(cluster, founders));
    await simulation.until('another leads', 10_000, () =>
      founders.some((id) => cluster.isReady(id) && leadsRaft(cluster, id)),
    );
    oneLeaderATerm(cluster);
  },
);

test('what may not be done is refused with a code, and changes nothing', async () => {
  const { cluster, simulation, admin, settle } = await born(1, 5, [1, 2, 3], (id: number) =>
    id === 5 ? { roles: ['broker'] } : {},
  );
  const before = await settle(admin.describeCluster());
  expect([before.membersCurrent, ids(before.observers ?? [])]).toEqual([true, [4, 5]]);
  const code = async (promise: Promise<unknown>): Promise<unknown> => (await settle(failure(promise))).code;
  expect(await code(admin.addVoter(2))).toBe('ALREADY_A_VOTER');
  expect(await code(admin.addVoter(9))).toBe('UNKNOWN_NODE');
  expect(await code(admin.addVoter(5))).toBe('WRONG_ROLE');
  expect(await code(admin.removeVoter(4))).toBe('NOT_A_VOTER');
  expect(await code(admin.removeVoter(2, { directory: 'a'.repeat(32) }))).toBe('NOT_A_VOTER');
  expect(await code(admin.removeVoter(2, { directory: 'all' }))).toBe('INVALID_REQUEST');
  const leader = leaderOf(cluster, founders);
  const [first = 0, second = 0] = founders.filter((id) => id !== leader);
  cluster.kill(first);
  const isDown = async (): Promise<boolean> => {
    const { voters } = await admin.describeCluster();
    return voters.find(({ id }) => id === first)?.state === 'down';
  };
  while (!(await settle(isDown()))) await simulation.pass(100);
  const refused = await settle(failure(admin.removeVoter(second)));
  expect([refused.code, refused.definite, refused.details]).toEqual([
    'NOT_ENOUGH_VOTERS',
    true,
    { voters: 2, answering: 1, majority: 2 },
  ]);
  const { voters } = await settle(admin.describeCluster());
  expect(ids(voters)).toEqual(founders);
  await settle(admin.removeVoter(first));
  await settle(admin.removeVoter(second));
  expect(await code(admin.removeVoter(leader))).toBe('LAST_VOTER');
  oneLeaderATerm(cluster);
});

test('a directory that may have lost votes is never made a voter again; an empty one is', async () => {
  const { cluster, simulation, admin, settle } = await born(2, 3);
  const leader = leaderOf(cluster, founders);
  const victim = founders.find((id) => id !== leader) ?? 0;
  const older = directoryOf(cluster, victim);
  await settle(change(admin, 'later'));
  cluster.kill(victim);
  putDirectory(cluster, victim, older);
  await cluster.start(victim);
  await simulation.until('it votes no more', 20_000, () => cluster.isReady() && votes(cluster, victim) === 0);
  await settle(admin.removeVoter(victim));
  expect(await settle(failure(admin.addVoter(victim)))).toMatchObject({ code: 'ROLLED_BACK', definite: true });
  cluster.kill(victim);
  await cluster.start(victim);
  await simulation.until('it follows', 30_000, () => cluster.isReady());
  expect((await settle(failure(admin.addVoter(victim)))).code).toBe('ROLLED_BACK');
  cluster.kill(victim);
  cluster.wipe(victim);
  await cluster.start(victim);
  await simulation.until('it follows', 30_000, () => cluster.isReady());
  expect(ids((await settle(admin.addVoter(victim))).voters)).toEqual(founders);
});

test('a leader that removes itself answers, and another goes on', async () => {
  const { cluster, simulation, admin, settle } = await born(3, 4, [1, 2, 3, 4]);
  const leader = leaderOf(cluster, [1, 2, 3, 4]);
  const { changed, voters } = await settle(admin.removeVoter(leader));
  const left = [1, 2, 3, 4].filter((id) => id !== leader);
  expect([changed.id, ids(voters)]).toEqual([leader, left]);
  await simulation.until('another leads', 5_000, () => left.some((id) => leadsRaft(cluster, id)));
  await settle(change(admin, 'later'));
  expect(votes(cluster, leader)).toBe(0);
  oneLeaderATerm(cluster);
});

test('with no leader a node says whom it knew to vote last, and that the rest is unknown', async () => {
  const { cluster, simulation, admin, settle } = await born(4, 4);
  await settle(admin.addVoter(4));
  await settle(admin.removeVoter(1));
  const status = await settle(admin.describeCluster());
  expect([status.membersCurrent, ids(status.voters), ids(status.observers ?? [])]).toEqual([true, [2, 3, 4], [1]]);
  for (const id of [2, 4]) cluster.kill(id);
  await simulation.until('none leads', 20_000, () => cluster.ids.every((id) => !leadsRaft(cluster, id)));
  const { voters, ...rest } = await settle(admin.describeCluster());
  const directories = new Map(status.voters.map(({ id, directory, address }) => [id, { directory, address }]));
  expect(rest).toMatchObject({ membersCurrent: false, observers: null });
  expect(voters.toSorted((one, other) => one.id - other.id)).toEqual(
    [2, 3, 4].map((id) => ({ id, ...directories.get(id), state: 'unknown', lag: null, mayVote: null })),
  );
});

test('a voter that no configuration names comes back at another address: removed and added, it votes there', async () => {
  let moved = false;
  const listeners = {
    client: [{ name: 'client', protocol: 'grpc', bind: '10.0.0.4:7650' }],
    peer: { bind: '10.0.0.4:8651' },
    admin: { bind: '10.0.0.4:7652' },
  };
  const { cluster, simulation, admin, settle } = await born(6, 4, founders, (id: number) =>
    id === 4 && moved ? { listeners } : {},
  );
  await settle(admin.addVoter(4));
  await simulation.until('it knows', 5_000, () => votes(cluster, 4) === 1);
  cluster.kill(4);
  moved = true;
  await cluster.start(4);
  // The address that its membership entry has is the one that counts: what answers elsewhere might be a copy of it.
  await simulation.pass(20_000);
  expect([cluster.inspect(4)?.raft?.leader, cluster.isReady(4)]).toEqual([undefined, false]);
  await settle(admin.removeVoter(4));
  await simulation.until('it follows', 20_000, () => cluster.isReady(4));
  const { voters } = await settle(admin.addVoter(4));
  expect(voters.find(({ id }) => id === 4)?.address).toBe(listeners.peer.bind);
  await simulation.until('it votes', 5_000, () => votes(cluster, 4) === 1);
  oneLeaderATerm(cluster);
});
