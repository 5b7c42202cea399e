/** SIGTERM: leaderships move first, nobody's send fails, and the process ends in order. */
import { once } from 'node:events';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { LocalCluster } from '../cluster.ts';
import { say } from '../container-suite.ts';
import { HonestLoad, unharmed } from '../honest-load.ts';
import { logLines } from '../node-figures.ts';
import { startNode } from '../node-processes.ts';
import { sendUntilRefused } from '../raw-client.ts';
import { stopRound } from '../stop-round.ts';

const open = new AsyncDisposableStack();
let cluster: LocalCluster;
beforeAll(async () => {
  cluster = open.use(await LocalCluster.start());
});
afterAll(() => open.disposeAsync());

const exitMsMax = 10_000;
/** An end without a hand-over costs more than this by itself: doors are closed 500 ms before anybody may stand for election. */
const gapMsMax = 500;

/** Ends a process that this one started and resolves with how. */
async function terminate(child: ReturnType<typeof startNode>): Promise<{ code: unknown; ms: number }> {
  const startedMs = performance.now();
  const exited = once(child, 'exit') as Promise<[number | null, string | null]>;
  child.kill('SIGTERM');
  const [code, signal] = await exited;
  return { code: code ?? signal, ms: performance.now() - startedMs };
}

test('one node under load, for each role that it may have', async () => {
  const controller = await cluster.controllerLeader();
  const other = cluster.nodes.find(({ id }) => id !== controller)?.id ?? 0;
  for (const id of [other, controller]) {
    await cluster.kill(id);
    const child = startNode(cluster.node(id), cluster.directory);
    try {
      await cluster.waitHealthy();
      await using honest = await HonestLoad.start(cluster, { topic: `stop-${id}` });
      const described = await cluster.client.admin.createTopic({ name: `raw-${id}`, partitions: 6, replication: 3 });
      const led = described.partitions.filter(({ leader }) => leader === id);
      expect(led.length).toBeGreaterThan(0);
      const since = logLines(cluster.directory, id).length;
      const { refusal } = await sendUntilRefused(cluster.node(id).client, described.id, led[0]?.partition ?? 0);
      const ended = await terminate(child);
      // It served until another led: nobody was cut off. LEADERSHIP_LOST: the move overtook the batch.
      expect(['NOT_LEADER', 'LEADERSHIP_LOST']).toContain((await refusal).code);
      expect(ended.code).toBe(0);
      expect(ended.ms).toBeLessThan(exitMsMax);
      const said = logLines(cluster.directory, id).slice(since);
      // As a follower, until all know who leads, it drops what the move overtook.
      const isExpected = ({ level, msg }: (typeof said)[number]): boolean =>
        level === 'info' || msg === 'log cut to match its leader';
      expect(said.filter((line) => !isExpected(line))).toEqual([]);
      expect(said.at(-1)?.msg).toBe('node stopped');
      const { partitions } = await cluster.client.admin.describeTopic(`stop-${id}`);
      expect(partitions.filter(({ leader }) => leader === id || leader === null)).toEqual([]);
      await honest.acks(300);
      expect(await honest.finish()).toMatchObject(unharmed);
    } finally {
      child.kill('SIGKILL');
    }
    await cluster.start(id);
    await cluster.waitHealthy();
  }
});

test('the controller leader hands over before it ends: no change of metadata fails, and none waits for an election', async () => {
  const lines = (id: number) => logLines(cluster.directory, id);
  await cluster.waitHealthy();
  const before = new Map(cluster.nodes.map(({ id }) => [id, lines(id).length]));
  const { stopped, gapMs, failures } = await stopRound(cluster);
  say(`controller leader stopped: the longest change of metadata took ${gapMs} ms`);
  expect(failures).toEqual([]);
  expect(gapMs).toBeLessThan(gapMsMax);
  const said = cluster.nodes.flatMap(({ id }) =>
    lines(id)
      .slice(before.get(id))
      .map((line) => ({ id, line })),
  );
  const at = (phrase: string, isStopped: boolean): unknown =>
    said.find(({ id, line }) => line.msg === phrase && (id === stopped) === isStopped)?.line['time'];
  const moments = [
    at('handing over controller leadership', true),
    at('controller leadership began', false),
    at('node stopped', true),
  ];
  expect(moments).toEqual(moments.toSorted((one, other) => Number(one) - Number(other)));
  expect(moments).not.toContain(undefined);
});

test('all nodes at once under load, and everything acked is there when they are back', async () => {
  await using honest = await HonestLoad.start(cluster, { topic: 'stop-all' });
  const ids = cluster.nodes.map(({ id }) => id);
  await cluster.kill(...ids);
  const children = cluster.nodes.map((node) => startNode(node, cluster.directory));
  try {
    await cluster.waitHealthy();
    await honest.acks(300);
    const ended = await Promise.all(children.map(terminate));
    expect(ended.map(({ code }) => code)).toEqual([0, 0, 0]);
    expect(Math.max(...ended.map(({ ms }) => ms))).toBeLessThan(exitMsMax);
  } finally {
    for (const child of children) child.kill('SIGKILL');
  }
  await cluster.start(...ids);
  await cluster.waitHealthy();
  await honest.acks(300);
  expect(await honest.finish()).toMatchObject(unharmed);
});
