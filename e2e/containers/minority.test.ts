/**
 * A minority of the voters alone, by a network that is really cut: one node of three, the leader of the controller or one
 * that follows it. The others decide on; what the one that is alone answers is so, or said to be in doubt.
 */
import { randomUUID } from 'node:crypto';
import { SluiceError, toSluiceError } from '@sluice/base';
import { methods } from '@sluice/wire';
import type { NodeAddresses } from '../cluster-inquiry.ts';
import { clusterOfFile, say } from '../container-suite.ts';
import { parseLine } from '../node-figures.ts';
import { RawClient } from '../raw-client.ts';
import { until } from '../until.ts';
import { afterAll, expect, test } from 'vitest';

const cluster = clusterOfFile();
const raw = new RawClient();
afterAll(() => raw[Symbol.dispose]());

/** docs/architecture.md, Failover: an election after 1 to 2 s, check-quorum after 2 s. The machine's own time on top. */
const electedMsMax = 6000;
const answerMs = 1000;

async function create({ client }: NodeAddresses, timeoutMs: number, name = `made-${randomUUID()}`): Promise<string> {
  await raw.rpc.unary(methods.admin.createTopic, client, { name, partitions: 1, replication: 2 }, { timeoutMs });
  return name;
}

const refusal = (made: Promise<string>): Promise<SluiceError> =>
  made.then((name) => {
    throw new Error(`${name} was made without a majority`);
  }, toSluiceError);

/** Whom the node takes for the leader; undefined for nobody. */
async function leaderSeenBy({ client }: NodeAddresses): Promise<number | undefined> {
  const view = await raw.rpc.unary(methods.admin.describeCluster, client, {}, { timeoutMs: 5000 });
  return view.controllerLeader || undefined;
}

async function names(node: NodeAddresses): Promise<readonly string[]> {
  const seen = new Set<string>();
  let isWhole = false;
  const stream = raw.rpc.stream(methods.admin.watchMetadata, node.client, {
    onMessage: ({ topics }) => {
      for (const { name } of topics) seen.add(name);
      isWhole = true;
    },
    onClose: () => undefined,
  });
  stream.send({ clientId: 'minority', allTopics: true });
  await until(() => (isWhole ? true : undefined), { what: 'the topics of a node', timeoutMs: 5000 });
  stream.close(new SluiceError('CANCELLED'));
  return [...seen];
}

async function oneLeaderATerm(): Promise<void> {
  const leaders = new Map<unknown, Set<number>>();
  for (const { id } of cluster().nodes) {
    for (const line of (await cluster().log(id)).trimEnd().split('\n').map(parseLine)) {
      const { msg, term } = line;
      if (msg === 'controller leadership began') leaders.set(term, (leaders.get(term) ?? new Set()).add(id));
    }
  }
  expect(leaders.size).toBeGreaterThan(0);
  expect([...leaders.values()].filter(({ size }) => size > 1)).toEqual([]);
}

test.each(['the leader of the controller', 'one that follows'])('%s alone, and joined again', async (role) => {
  await cluster().waitHealthy();
  const leader = await cluster().controllerLeader();
  const alone = role === 'one that follows' ? cluster().nodes.find(({ id }) => id !== leader) : cluster().node(leader);
  if (alone === undefined) throw new Error('a cluster of one');
  const others = cluster().nodes.filter(({ id }) => id !== alone.id);
  const [other] = others;
  if (other === undefined) throw new Error('a cluster of one');
  const before = await create(other, 10_000);

  await cluster().cut(alone.id);
  const cutMs = performance.now();
  await using healing = new AsyncDisposableStack();
  healing.defer(() => cluster().heal(alone.id));
  // Asked at once: the leader of before may still take it, and cannot say what becomes of it.
  const [asked, lost] = [`asked-${randomUUID()}`, `lost-${randomUUID()}`];
  const inDoubt = refusal(create(alone, answerMs, asked));
  const elected = async (): Promise<number | undefined> => {
    const seen = await Promise.all(others.map(leaderSeenBy));
    return seen.every((id) => id !== undefined && id !== alone.id && id === seen[0]) ? seen[0] : undefined;
  };
  const next = await until(elected, { what: 'a leader of the majority', timeoutMs: 20_000 });
  const electedMs = performance.now() - cutMs;
  say(`${role} alone: the majority follows node ${next} after ${Math.round(electedMs)} ms`);
  expect(electedMs).toBeLessThan(electedMsMax);
  expect(next === leader).toBe(role === 'one that follows');
  expect(['TIMEOUT', 'CONTROLLER_CHANGED', 'NOT_CONTROLLER', 'UNREACHABLE']).toContain((await inDoubt).code);
  const made = await Promise.all([create(other, 10_000), create(other, 10_000)]);

  // Check-quorum: it takes nobody for the leader, itself neither, and says definitely that nothing was done.
  const nobody = async (): Promise<true | undefined> => ((await leaderSeenBy(alone)) === undefined ? true : undefined);
  await until(nobody, { what: 'the end of the leadership of the minority', timeoutMs: 20_000 });
  expect(await refusal(create(alone, answerMs, lost))).toMatchObject({ code: 'NOT_CONTROLLER', definite: true });
  expect(await names(alone)).toEqual(expect.not.arrayContaining(made));

  await healing.disposeAsync();
  await cluster().waitHealthy();
  for (const node of cluster().nodes) {
    const held = await names(node);
    expect(held).toEqual(expect.arrayContaining([before, ...made]));
    expect(held).not.toContain(lost);
  }
  await oneLeaderATerm();
});
