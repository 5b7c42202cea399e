/** What watches are told alike, over a real feed: made and encoded once, and never said when it is so no more. */
import { methods } from '@sluice/wire';
import type { MetadataUpdate, Partially } from '@sluice/wire';
import { expect, test } from 'vitest';
import { BrokerCluster } from './broker-cluster.testing.ts';
import { MetadataWatch } from './metadata-watch.ts';
import { SharedUpdates } from './shared-updates.ts';

async function oneTopic() {
  const cluster = new BrokerCluster();
  await cluster.start(1, 2, 3);
  const id = cluster.createTopic({ partitions: 30, replication: 3 });
  await cluster.clock.pass(2_000);
  const topic = () => cluster.image.topic(id)!;
  return { cluster, topic };
}

test('a hundred watches that are told alike cost one update, in-sync replicas that are told later too', async () => {
  const { cluster, topic } = await oneTopic();
  const { feed } = cluster.at(1);
  const { clock } = cluster;
  const updates = new SharedUpdates({ feed, clock, isStalled: () => false });
  const sent: Partially<MetadataUpdate>[] = [];
  const sender = { bufferedBytes: 0, send: (update: Partially<MetadataUpdate>) => void sent.push(update) };
  const watches = Array.from({ length: 100 }, () => {
    const watch = new MetadataWatch({
      feed,
      clock,
      listener: 'client',
      sender: { ...sender, end: () => undefined, close: () => undefined, whenDrained: () => undefined },
      updates,
      onEnd: () => undefined,
    });
    watch.onMessage({ clientId: 'test', topicNames: [topic().name], allTopics: false });
    return watch;
  });
  feed.subscribe({
    onApplied: (_index, change) => {
      for (const watch of watches) watch.onApplied(change);
    },
    onController: () => undefined,
  });
  expect([sent.length, new Set(sent).size]).toEqual([100, 1]);
  cluster.kill(3);
  cluster.fence(3);
  await clock.settle();
  expect([sent.length, new Set(sent).size]).toEqual([200, 2]);
  await cluster.start(3);
  await clock.until('all are in sync', () => topic().partitions.every(({ isr }) => isr.length === 3));
  await clock.pass(500);
  const rounds = sent.length / 100;
  expect([rounds >= 4, new Set(sent).size]).toEqual([true, rounds]);
  expect(sent.at(-1)?.topics?.[0]?.partitions?.every(({ isr }) => isr?.length === 3)).toBe(true);
  const codec = methods.admin.watchMetadata.response;
  for (const update of new Set(sent)) expect(codec.encode(update)).toBe(codec.encode(update));
});

test('what differs is no shared update, nor what is so no more', async () => {
  const { cluster, topic } = await oneTopic();
  let isStalled = false;
  const { feed } = cluster.at(1);
  const updates = new SharedUpdates({ feed, clock: cluster.clock, isStalled: () => isStalled });
  const whole = { nodesOn: 'client', topics: [topic()] };
  const first = updates.of(whole);
  expect(updates.of({ nodesOn: 'client', topics: [topic()] })).toBe(first);
  const others = [
    updates.of({ topics: [topic()] }),
    updates.of({ nodesOn: 'other', topics: [topic()] }),
    updates.of({ nodesOn: 'client' }),
    updates.of({ ...whole, unknownTopicNames: ['x'] }),
    updates.of({ ...whole, deletedTopicIds: [topic().topicId] }),
  ];
  expect(new Set([first, ...others]).size).toBe(6);
  isStalled = true;
  expect(updates.of(whole)).toMatchObject({ isStalled: true, controllerLeader: 0 });
  isStalled = false;
  feed.setController(undefined);
  expect(updates.of(whole)).toMatchObject({ isStalled: false, controllerLeader: 0 });
  cluster.kill(3);
  cluster.fence(3);
  await cluster.clock.settle();
  expect(updates.of({ topics: [topic()] }).topics?.[0]?.partitions?.some(({ leader }) => leader === 3)).toBe(false);
  const last = updates.of(whole);
  await cluster.clock.pass(100);
  // Nothing is kept of it.
  expect(updates.of(whole)).not.toBe(last);
});
