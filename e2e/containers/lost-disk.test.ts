/** A container removed together with its volume: it comes back as a new directory, and gets everything again. */
import { randomUUID } from 'node:crypto';
import { expect, test } from 'vitest';
import { clusterOfFile, say } from '../container-suite.ts';
import { HonestLoad, unharmed } from '../honest-load.ts';
import { until } from '../until.ts';

/** Soon it leads again what it led before, so that the count at the end reads from its new disk. */
const cluster = clusterOfFile({ environment: { SLUICE_PREFERRED_ELECTION_MS: '1s' } });

test('a lost disk under load: nothing acked is lost, and the new one has all of it', async () => {
  const topic = `lost-disk-${randomUUID()}`;
  await using honest = await HonestLoad.start(cluster(), { topic, rate: 500 });
  await honest.acks(1000);
  const controller = await cluster().controllerLeader();
  const victim = cluster().nodes.find(({ id }) => id !== controller)?.id ?? 0;
  const leaders = async (): Promise<(number | null)[]> =>
    (await cluster().client.admin.describeTopic(topic)).partitions.map(({ leader }) => leader);
  const before = await leaders();
  expect(before).toContain(victim);

  const pauseMs = await honest.ackPause(() => cluster().loseDisk(victim));
  say(`disk lost: acks paused ${Math.round(pauseMs)} ms`);
  const startedMs = performance.now();
  await cluster().start(victim);
  await cluster().waitHealthy();
  say(`whole after ${Math.round(performance.now() - startedMs)} ms`);
  expect(await cluster().log(victim)).toContain('"joined cluster as an observer"');

  const leadsAgain = async (): Promise<true | undefined> =>
    JSON.stringify(await leaders()) === JSON.stringify(before) ? true : undefined;
  await until(leadsAgain, { what: 'the leaders of before', timeoutMs: 20_000 });
  await honest.acks(200);
  expect(await honest.finish()).toMatchObject(unharmed);
  expect(pauseMs).toBeLessThan(1400);
});
