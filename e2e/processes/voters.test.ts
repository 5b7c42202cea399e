/** Nodes that are only controller, only broker, or both; and voters that are replaced while metadata is changed. */
import { Sluice } from '@sluice/client';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { MetadataLoad } from '../metadata-load.ts';
import { logLines, metric } from '../node-figures.ts';
import { NodeGroup } from '../node-group.ts';
import { sluice } from '../sluice-command.ts';
import { until } from '../until.ts';

const open = new AsyncDisposableStack();
let group: NodeGroup;
let client: Sluice;
beforeAll(async () => {
  const [both, controller, broker] = [['controller', 'broker'] as const, ['controller'] as const, ['broker'] as const];
  group = open.use(
    await NodeGroup.start({ roles: [controller, controller, controller, both, both, broker], voters: [1, 2, 3] }),
  );
  client = open.use(new Sluice({ bootstrap: group.bootstrap, clientId: 'voters' }));
}, 90_000);
afterAll(() => open.disposeAsync());

interface Member {
  readonly id: number;
  readonly directory: string;
  readonly state: string;
  readonly mayVote: boolean | null;
  readonly lag: number | null;
}

interface NodeList {
  readonly controllerLeader: number | null;
  readonly membersCurrent: boolean;
  readonly voters: readonly Member[];
  readonly observers: readonly Member[] | null;
  readonly nodes: readonly { readonly id: number; readonly state: string }[];
}

interface Changed {
  readonly added?: Member;
  readonly removed?: Member;
  readonly voters: readonly Member[];
  readonly metadataOffset: number;
}

const ids = (members: readonly { readonly id: number }[]): readonly number[] => members.map(({ id }) => id);

async function command<Line>(...words: readonly string[]): Promise<Line> {
  const { exit, err, lines } = await sluice([...words, '--json'], { bootstrap: group.bootstrap });
  const [line] = lines<Line>();
  if (exit !== 0 || line === undefined)
    throw new Error(`sluice ${words.join(' ')}: exit ${exit} ${err} ${JSON.stringify(line)}`);
  return line;
}

async function leader(): Promise<number> {
  const look = async (): Promise<number | undefined> => {
    const { voters } = await client.admin.describeCluster();
    return voters.find(({ state }) => state === 'leader')?.id;
  };
  return until(look, { what: 'a controller leader', timeoutMs: 20_000, everyMs: 100 });
}

test('each does what its roles say, and is shown so', async () => {
  const { voters, observers, nodes } = await command<NodeList>('node', 'list');
  expect([ids(voters), ids(observers ?? []), ids(nodes)]).toEqual([
    [1, 2, 3],
    [4, 5, 6],
    [4, 5, 6],
  ]);
  expect(observers?.map(({ mayVote }) => mayVote)).toEqual([true, true, false]);
  const votes = await Promise.all(group.nodes.map((node) => metric(node, 'sluice_controller_voter')));
  expect(votes).toEqual([1, 1, 1, 0, 0, 0]);
  const created = await client.admin.createTopic({ name: 'spread', partitions: 6, replication: 3 });
  expect(new Set(created.partitions.flatMap(({ replicas }) => replicas))).toEqual(new Set([4, 5, 6]));
  const { exit, lines } = await sluice(['node', 'add', '6', '--json'], { bootstrap: group.bootstrap });
  expect([exit, lines()]).toMatchObject([1, [{ error: { code: 'WRONG_ROLE', definite: true } }]]);
});

test('voters are replaced one by one until none of the first is left, while one is paused and others die for ever', async () => {
  await using load = new MetadataLoad(group.bootstrap);
  await load.changes(3);
  // The leader is only paused: another one leads, and what it wakes up with is over.
  const paused = await leader();
  group.signal(paused, 'SIGSTOP');
  await load.changes(2);
  group.signal(paused, 'SIGCONT');
  await load.changes(2);
  const added = await command<Changed>('node', 'add', '4');
  expect([added.added?.id, ids(added.voters)]).toEqual([4, [1, 2, 3, 4]]);
  const removed = await command<Changed>('node', 'remove', '1');
  expect([removed.removed?.id, ids(removed.voters)]).toEqual([1, [2, 3, 4]]);
  await group.kill(1);
  group.wipe(1);
  await load.changes(2);
  await client.admin.addVoter(5);
  await client.admin.removeVoter(2);
  await group.kill(2);
  group.wipe(2);
  await load.changes(2);
  // The last of them loses its disk, and is replaced by itself: another directory of the same node.
  await group.kill(3);
  group.wipe(3);
  await load.changes(2);
  // Of those that its configuration named nobody is left.
  group.configure(3, [3, 4, 5]);
  group.start(3);
  await group.ready(3);
  const { changed: gone } = await client.admin.removeVoter(3);
  const { changed: back, voters } = await client.admin.addVoter(3);
  expect([gone.id, back.id, gone.directory === back.directory, ids(voters)]).toEqual([3, 3, false, [3, 4, 5]]);
  await load.changes(2);
  expect(await load.finish()).toEqual({ lost: [], risen: [] });
  // At most one leader a term, as all of them say.
  const leaders = new Map<unknown, Set<number>>();
  for (const { id } of group.nodes) {
    for (const { msg, term } of logLines(group.directory, id)) {
      if (msg === 'controller leadership began') leaders.set(term, (leaders.get(term) ?? new Set()).add(id));
    }
  }
  expect(leaders.size).toBeGreaterThan(1);
  expect([...leaders.values()].filter(({ size }) => size > 1)).toEqual([]);
});

test('without a majority the commands say that nobody knows who votes, and whom the asked node knew last', async () => {
  for (const id of [4, 5]) await group.kill(id);
  const unknown = async (): Promise<NodeList | undefined> => {
    const list = await command<NodeList>('node', 'list');
    return list.membersCurrent ? undefined : list;
  };
  const { voters, observers } = await until(unknown, { what: 'the end of the leader', timeoutMs: 30_000 });
  expect(observers).toBeNull();
  const sorted = voters.toSorted((one, other) => one.id - other.id);
  expect(sorted.map(({ id, state, lag, mayVote }) => [id, state, lag, mayVote])).toEqual(
    [3, 4, 5].map((id) => [id, 'unknown', null, null]),
  );
  const { exit, out } = await sluice(['cluster', 'status'], { bootstrap: group.bootstrap });
  expect([exit, out]).toEqual([0, expect.stringMatching(/voters unknown: no controller leader answers/)]);
});
