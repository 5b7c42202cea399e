/** A node dies that leads a thousand partitions: all of them are served by others soon, none is forgotten. */
import { Sluice } from '@sluice/client';
import type { Delivery, Producer } from '@sluice/client';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { LocalCluster } from '../cluster.ts';
import { logLines } from '../node-figures.ts';

const open = new AsyncDisposableStack();
let cluster: LocalCluster;
beforeAll(async () => {
  cluster = open.use(await LocalCluster.start());
  const partitions = ledByEach * cluster.nodes.length;
  await cluster.client.admin.createTopic({ name: topic, partitions, replication: 3 }, { timeoutMs: 60_000 });
});
afterAll(() => open.disposeAsync());

const topic = 'many';
const ledByEach = 1000;
const servedMsMax = 2000;

function sendToEach(producer: Producer, partitions: readonly number[]): Promise<Delivery[]> {
  return Promise.all(partitions.map((partition) => producer.send(topic, { partition, value: `${partition}` })));
}

/** Lines that the others wrote about in-sync replicas. */
function isrLines(victim: number): number {
  const others = cluster.nodes.filter(({ id }) => id !== victim);
  const lines = others.flatMap(({ id }) => logLines(cluster.directory, id));
  return lines.filter(({ msg }) => msg.startsWith('in-sync replicas')).length;
}

const victims = {
  'the leader of 1,000 partitions': (controller: number): number => (controller % 3) + 1,
  'the leader of 1,000 partitions and of the controller': (controller: number): number => controller,
};

test.each(Object.entries(victims))(
  'SIGKILL of %s: each takes a record at its new leader, once',
  async (whom, choose) => {
    await cluster.waitHealthy(60_000);
    await cluster.client.admin.electPreferred({ timeoutMs: 60_000 });
    const victim = choose(await cluster.controllerLeader());
    const { partitions: before } = await cluster.client.admin.describeTopic(topic);
    const led = before.filter(({ leader }) => leader === victim).map(({ partition }) => partition);
    expect(led).toHaveLength(ledByEach);
    await using sluice = new Sluice({ bootstrap: cluster.bootstrap, clientId: 'many' });
    const producer = sluice.producer({ deliveryTimeoutMs: 60_000 });
    const known = await sendToEach(producer, led);

    const linesBefore = isrLines(victim);
    const struckMs = performance.now();
    await cluster.kill(victim);
    const delivered = await sendToEach(producer, led);
    const servedMs = performance.now() - struckMs;
    process.stderr.write(`SIGKILL of ${whom}: all served after ${Math.round(servedMs)} ms\n`);
    const { partitions: after } = await cluster.client.admin.describeTopic(topic);
    const lines = isrLines(victim) - linesBefore;
    await cluster.start(victim);

    // Behind the one record that is there, and nothing in between.
    expect(delivered).toEqual(known.map(({ partition, offset }) => ({ partition, offset: offset + 1 })));
    expect(after.filter(({ leader }) => leader === null || leader === victim)).toEqual([]);
    expect(servedMs).toBeLessThan(servedMsMax);
    // Written one after the other, while others wait to be led.
    expect(lines).toBeLessThan(ledByEach / 5);
  },
);
