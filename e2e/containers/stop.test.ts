/** `docker stop` under load: leaderships move first, and nobody's send fails. */
import { randomUUID } from 'node:crypto';
import { expect, test } from 'vitest';
import { clusterOfFile, say } from '../container-suite.ts';
import { HonestLoad, unharmed } from '../honest-load.ts';
import type { Ended } from '../node-container.ts';
import { parseLine } from '../node-figures.ts';
import { sendUntilRefused } from '../raw-client.ts';

const cluster = clusterOfFile();

/** A quarter less than the grace period of compose.yaml, 15 s, after which it would be SIGKILL. */
const stopMsMax = 11_000;
/** Nothing is silent here: far less than a session timeout, 1.5 s. */
const pauseMsMax = 1000;

async function expectInOrder(id: number, { exitCode, afterMs }: Ended): Promise<void> {
  expect(exitCode).toBe(0);
  expect(afterMs).toBeLessThan(stopMsMax);
  const lines = (await cluster().log(id)).trimEnd().split('\n').map(parseLine);
  expect(lines.at(-1)?.msg).toBe('node stopped');
}

test.each(['a partition leader', 'the controller leader'])('%s: no send fails', async (role) => {
  await cluster().waitHealthy();
  const topic = `stop-${randomUUID()}`;
  await using honest = await HonestLoad.start(cluster(), { topic, rate: 500 });
  const controller = await cluster().controllerLeader();
  const victim =
    role === 'the controller leader' ? controller : (cluster().nodes.find(({ id }) => id !== controller)?.id ?? 0);
  const led = async (): Promise<(number | null)[]> =>
    (await cluster().client.admin.describeTopic(topic)).partitions.map(({ leader }) => leader);
  expect(await led()).toContain(victim);
  const raw = await cluster().client.admin.createTopic({ name: `raw-${topic}`, partitions: 6, replication: 3 });
  const own = raw.partitions.find(({ leader }) => leader === victim)?.partition ?? 0;
  const { refusal } = await sendUntilRefused(cluster().node(victim).client, raw.id, own);

  let ended: Ended | undefined;
  const pauseMs = await honest.ackPause(async () => {
    ended = await cluster().stop(victim);
  });
  say(`stop of ${role}: ended after ${Math.round(ended?.afterMs ?? 0)} ms, acks paused ${Math.round(pauseMs)} ms`);
  await expectInOrder(victim, ended!);
  // It served until another led: nobody was cut off. LEADERSHIP_LOST: the move overtook the batch.
  expect(['NOT_LEADER', 'LEADERSHIP_LOST']).toContain((await refusal).code);
  expect(await led()).not.toContain(victim);
  expect(await led()).not.toContain(null);
  await honest.acks(200);
  await cluster().start(victim);
  await cluster().waitHealthy();
  expect(await honest.finish()).toMatchObject(unharmed);
  expect(pauseMs).toBeLessThan(pauseMsMax);
});

test('a rolling restart of all nodes: no send fails', async () => {
  await cluster().waitHealthy();
  await using honest = await HonestLoad.start(cluster(), { topic: `rolling-${randomUUID()}`, rate: 500 });
  const endings: Ended[] = [];
  const pauseMs = await honest.ackPause(async () => {
    for (const { id } of cluster().nodes) {
      const ended = await cluster().stop(id);
      await expectInOrder(id, ended);
      endings.push(ended);
      await cluster().start(id);
      await cluster().waitHealthy();
    }
  });
  const times = endings.map(({ afterMs }) => Math.round(afterMs)).join(', ');
  say(`rolling restart: ended after ${times} ms, acks paused ${Math.round(pauseMs)} ms at most`);
  expect(endings).toHaveLength(cluster().nodes.length);
  await honest.acks(200);
  expect(await honest.finish()).toMatchObject(unharmed);
  expect(pauseMs).toBeLessThan(pauseMsMax);
});
