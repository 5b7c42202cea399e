import { SluiceError } from '@sluice/base';
import { methods } from '@sluice/wire';
import type { MetadataUpdate } from '@sluice/wire';
import { expect, test } from 'vitest';
import { BrokerCluster, clientAddress } from './broker-cluster.testing.ts';
import { producedBatch, ProduceClient } from './client-streams.testing.ts';

const timeoutMs = 30_000;
const codeOf = (error: SluiceError): string => error.code;
const noFailure = (): undefined => undefined;

async function oneBroker(): Promise<BrokerCluster> {
  const cluster = new BrokerCluster();
  await cluster.start(1);
  return cluster;
}

/** Another process registered under this node id: this one has to register anew. */
function takeOver(cluster: BrokerCluster, incarnation: string): void {
  const known = cluster.image.node(cluster.at(1).id)!;
  cluster.fence(1);
  const lastBrokerEpoch = known.brokerEpoch;
  cluster.decide({
    ...known,
    type: 'registerNode',
    incarnation,
    lastBrokerEpoch,
    lossy: false,
    unclean: false,
    sessionLive: false,
  });
}

test('a granted epoch is durable before a heartbeat speaks with it (K1)', async () => {
  const cluster = await oneBroker();
  const { identity, broker } = cluster.at(1);
  const save = identity.saveBrokerEpoch;
  let write = noFailure as () => unknown;
  identity.saveBrokerEpoch = (epoch) =>
    new Promise((resolve) => {
      write = () => void save(epoch).then(resolve);
    });
  takeOver(cluster, 'e'.repeat(32));
  await cluster.clock.pass(3_000);
  expect([cluster.image.node(identity.nodeId)?.state, broker.ready]).toEqual(['fenced', false]);
  write();
  await cluster.clock.pass(500);
  expect([cluster.image.node(identity.nodeId)?.state, broker.ready]).toEqual(['up', true]);
  expect(identity.brokerEpoch).toBe(cluster.image.node(identity.nodeId)?.brokerEpoch);
});

test('a directory that cannot remember its epoch stops the node', async () => {
  const cluster = await oneBroker();
  const { identity, halts } = cluster.at(1);
  identity.saveBrokerEpoch = () => Promise.reject(new Error('no space'));
  takeOver(cluster, 'e'.repeat(32));
  await cluster.clock.pass(1_000);
  expect(halts).toMatchObject([{ message: 'no space' }]);
});

test('a leader that hears no controller ages, and refuses appends with a definite error (K3)', async () => {
  const cluster = await oneBroker();
  const topic = cluster.createTopic();
  await cluster.clock.pass(500);
  cluster.network.cut('node1', 'controller');
  await cluster.clock.pass(1_000);
  const client = new ProduceClient(cluster, 1);
  client.send(topic, producedBatch());
  await cluster.clock.until('it is answered', () => client.results.size === 1);
  await cluster.clock.pass(1_000);
  client.send(topic, producedBatch());
  await cluster.clock.until('it is answered', () => client.results.size === 2);
  expect([client.results.get(1), client.results.get(2), client.definite.get(2)]).toEqual([
    0,
    'NOT_ENOUGH_REPLICAS',
    true,
  ]);
  cluster.network.heal('node1', 'controller');
  await cluster.clock.pass(3_000);
  client.send(topic, producedBatch());
  await cluster.clock.until('it is answered', () => client.results.size === 3);
  expect(client.results.get(3)).toBe(1);
});

test('a call waits for a controller leader, and fails with a definite error when none comes (K2)', async () => {
  const cluster = await oneBroker();
  const { feed } = cluster.at(1);
  const known = feed.controller;
  feed.setController(undefined);
  const request = { name: 'orders', partitions: 1, replication: 1, config: {} };
  const created = cluster.rpc.unary(methods.admin.createTopic, clientAddress(1), request, { timeoutMs });
  await cluster.clock.pass(1_000);
  feed.setController(known);
  expect((await cluster.settled(created)).topic?.name).toBe('orders');
  feed.setController(undefined);
  const late = cluster.rpc.unary(methods.admin.createTopic, clientAddress(1), { name: 'x' }, { timeoutMs: 2_000 });
  const startMs = cluster.clock.monotonicMs();
  expect(await cluster.settled(late.then(() => '', codeOf))).toBe('NOT_CONTROLLER');
  // Long enough before the caller gives up by itself, in doubt, for the answer to travel on a busy machine.
  expect(cluster.clock.monotonicMs() - startMs).toBeLessThanOrEqual(1_750);
});

test('producer ids: one block at a time, none twice, not over restarts either', async () => {
  const cluster = new BrokerCluster();
  await cluster.start(1, 2);
  const ask = (id: number) => cluster.rpc.unary(methods.broker.initProducer, clientAddress(id), {}, { timeoutMs });
  const first = await cluster.settled(Promise.all([ask(1), ask(1), ask(2), ask(1), ask(2)]));
  cluster.kill(2);
  cluster.fence(2);
  await cluster.start(2);
  const second = await cluster.settled(Promise.all([ask(1), ask(2)]));
  const ids = [...first, ...second].map(({ producerId }) => producerId);
  expect(new Set(ids).size).toBe(7);
  expect(Math.max(...ids)).toBeLessThan(cluster.image.nextProducerId);
  expect(
    cluster.entries.flatMap(({ records }) => records).filter(({ type }) => type === 'producerIdsAllocated'),
  ).toHaveLength(3);
});

test('when no block can be had, everybody who waits is told, and the next one asks again', async () => {
  const cluster = await oneBroker();
  const { feed } = cluster.at(1);
  const known = feed.controller;
  feed.setController(undefined);
  const ask = () => cluster.rpc.unary(methods.broker.initProducer, clientAddress(1), {}, { timeoutMs });
  const refused = await cluster.settled(Promise.allSettled([ask(), ask()]));
  expect(refused.map((one) => (one.status === 'rejected' ? (one.reason as SluiceError).code : ''))).toEqual([
    'NOT_CONTROLLER',
    'NOT_CONTROLLER',
  ]);
  feed.setController(known);
  await expect(cluster.settled(ask())).resolves.toMatchObject({ producerEpoch: 0 });
});

test('ISR proposals travel together, and one without an answer is made again with the epochs of the first', async () => {
  const cluster = new BrokerCluster();
  await cluster.start(1, 2);
  cluster.createTopic({ partitions: 6, minIsr: 1 });
  await cluster.clock.pass(1_000);
  cluster.refuseAlterations = new SluiceError('CONTROLLER_CHANGED');
  cluster.kill(2);
  cluster.fence(2);
  await cluster.start(2);
  await cluster.clock.pass(2_000);
  const isrSizes = (): number[] =>
    [...cluster.image.topics.values()].flatMap(({ partitions }) => partitions.map(({ isr }) => isr.length));
  expect(isrSizes()).toContain(1);
  const made = cluster.alterations.flatMap(({ partitions }) => partitions);
  expect(cluster.alterations.length).toBeLessThan(made.length);
  const first = made[0]!;
  const again = made.filter((one) => one.partition === first.partition);
  expect(again.length).toBeGreaterThan(2);
  for (const one of again) expect(one).toEqual(first);
  cluster.refuseAlterations = undefined;
  await cluster.clock.until('all are in sync', () => isrSizes().every((size) => size === 2));
});

function watch(cluster: BrokerCluster, request: { topicNames?: readonly string[]; allTopics?: boolean }) {
  const updates: MetadataUpdate[] = [];
  const over: { closed?: SluiceError | 'success' } = {};
  const sender = cluster.rpc.stream(methods.admin.watchMetadata, clientAddress(1), {
    onMessage: (update) => void updates.push(update),
    onClose: (error) => {
      over.closed = error ?? 'success';
    },
  });
  sender.send(request);
  return { updates, over };
}

test('a watch is first told all that it asked for, then what changes of it and nothing else (W1)', async () => {
  const cluster = await oneBroker();
  cluster.createTopic({ name: 'orders' });
  await cluster.clock.pass(100);
  const { updates } = watch(cluster, { topicNames: ['orders', 'later'] });
  await cluster.clock.settle();
  expect(updates).toMatchObject([
    { topics: [{ name: 'orders' }], unknownTopicNames: ['later'], nodes: [{ nodeId: 1, up: true }] },
  ]);
  cluster.createTopic({ name: 'other' });
  const later = cluster.createTopic({ name: 'later' });
  await cluster.clock.settle();
  cluster.deleteTopic('later');
  await cluster.clock.settle();
  expect(
    updates.slice(1).map(({ topics, deletedTopicIds }) => [topics.map(({ name }) => name), deletedTopicIds]),
  ).toEqual([
    [['later'], []],
    [[], [later]],
  ]);
  cluster.fence(1);
  await cluster.clock.settle();
  expect(updates.at(-1)).toMatchObject({
    nodes: [{ nodeId: 1, up: false }],
    topics: [{ partitions: [{ leader: 0 }] }],
  });
});

test('a watch ends with the node', async () => {
  const cluster = await oneBroker();
  const { over } = watch(cluster, { allTopics: true });
  await cluster.clock.settle();
  cluster.at(1).broker.stop();
  await cluster.clock.settle();
  expect(over.closed).toMatchObject({ code: 'SHUTTING_DOWN' });
});

test('a created topic is answered for once this node knows it too', async () => {
  const cluster = await oneBroker();
  const { feed } = cluster.at(1);
  feed.held = true;
  let answered = false;
  const created = cluster.rpc.unary(methods.admin.createTopic, clientAddress(1), { name: 'orders' }, { timeoutMs });
  created.then(() => (answered = true)).catch(() => undefined);
  await cluster.clock.pass(1_000);
  expect([answered, cluster.image.topics.size]).toEqual([false, 1]);
  feed.held = false;
  feed.catchUp();
  expect((await cluster.settled(created)).topic).toMatchObject({ name: 'orders', partitions: [{ leader: 1 }] });
});

test('a node that does not answer is described as down', async () => {
  const cluster = new BrokerCluster();
  await cluster.start(1, 2);
  cluster.kill(2);
  const described = await cluster.settled(
    cluster.rpc.unary(methods.admin.describeCluster, clientAddress(1), {}, { timeoutMs }),
  );
  expect(described.nodes.map(({ nodeId, state }) => [nodeId, state])).toEqual([
    [1, 'up'],
    [2, 'down'],
  ]);
});

test('a node that no controller leader answers says so once, and again the next time', async () => {
  const cluster = await oneBroker();
  const { warnings } = cluster.at(1);
  await cluster.clock.pass(30_000);
  expect(warnings).toEqual([]);
  for (const times of [1, 2]) {
    cluster.network.cut('node1', 'controller');
    await cluster.clock.pass(8_000);
    expect(warnings).toHaveLength(times - 1);
    await cluster.clock.pass(30_000);
    expect(warnings).toEqual(Array.from({ length: times }, () => 'no controller leader answers'));
    cluster.network.heal('node1', 'controller');
    await cluster.clock.pass(5_000);
  }
});

test('a drain resolves when the controller says that the node may stop', async () => {
  const cluster = new BrokerCluster();
  await cluster.start(1, 2);
  cluster.createTopic({ partitions: 2 });
  await cluster.clock.pass(1_000);
  await cluster.settled(cluster.at(1).broker.drain(20_000));
  expect(cluster.image.leaderCount(cluster.at(1).id)).toBe(0);
  expect(cluster.image.node(cluster.at(1).id)?.state).toBe('draining');
});

test('a draining node serves what it leads until it hears that others lead, and only then is it done (D20)', async () => {
  const cluster = new BrokerCluster();
  await cluster.start(1, 2);
  const topic = cluster.createTopic({ partitions: 2 });
  await cluster.clock.pass(1_000);
  const partition = cluster.image.topic(topic)?.partitions.findIndex(({ leader }) => leader === 1) ?? -1;
  for (const { feed } of cluster.brokers.values()) feed.held = true;
  let over = false;
  const drained = cluster
    .at(1)
    .broker.drain(20_000)
    .then(() => {
      over = true;
    });
  await cluster.clock.pass(500);
  expect(cluster.image.topic(topic)?.partitions.map(({ leader }) => leader)).toEqual([2, 2]);
  const client = new ProduceClient(cluster, 1);
  client.send(topic, producedBatch(), partition);
  await cluster.clock.pass(50);
  expect([client.results.get(1), over]).toEqual([0, false]);
  for (const { feed } of cluster.brokers.values()) {
    feed.held = false;
    feed.catchUp();
  }
  await cluster.settled(drained);
});

test('a node that leads nothing is not done before it has heard what the controller decided', async () => {
  const cluster = new BrokerCluster();
  await cluster.start(1, 2);
  await cluster.clock.pass(500);
  const { feed, broker } = cluster.at(1);
  feed.held = true;
  let over = false;
  const drained = broker.drain(20_000).then(() => {
    over = true;
  });
  await cluster.clock.pass(1_000);
  expect(over).toBe(false);
  feed.held = false;
  feed.catchUp();
  await cluster.settled(drained);
  expect(over).toBe(true);
});

test('a drain does not wait for what nobody else has', async () => {
  const cluster = new BrokerCluster();
  await cluster.start(1);
  cluster.createTopic({ partitions: 2 });
  await cluster.clock.pass(1_000);
  const beganMs = cluster.clock.monotonicMs();
  await cluster.settled(cluster.at(1).broker.drain(20_000));
  expect(cluster.image.leaderCount(cluster.at(1).id)).toBe(2);
  expect(cluster.clock.monotonicMs() - beganMs).toBeLessThan(1_000);
});
