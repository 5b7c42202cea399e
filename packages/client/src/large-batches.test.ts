/** What of a large batch in parts is the client's: turns, order, what a broken stream makes of it, and putting together. */
import { silentLogger, SeededRandom, SluiceError } from '@sluice/base';
import { BatchBuilder, draftOf, unstamped } from '@sluice/record';
import {
  BatchParts,
  defaultLimits,
  Dispatcher,
  type FetchedRun,
  type FetchRequest,
  type FetchResponse,
  ManualClock,
  MemoryNetwork,
  MemoryTransport,
  methods,
  RpcClient,
  type StreamSender,
} from '@sluice/wire';
import { expect, test } from 'vitest';
import { FetchLink } from './fetch-link.ts';
import { nodeCompression } from './compression.ts';
import { ScriptedCluster } from './scripted-cluster.testing.ts';

const large = new Uint8Array(8_000_000).fill(7);

async function cluster(delayMs = 1): Promise<ScriptedCluster> {
  const made = await ScriptedCluster.start(3, () => delayMs);
  made.produceWindowBytes = 32_000_000;
  made.createTopic('large', [1], { recordBytesMax: '8388608' });
  made.createTopic('small', [1, 1]);
  return made;
}

test('a small record that is sent just after a large one is there long before it (L4)', async () => {
  const it = await cluster();
  const producer = it.client().producer();
  await it.clock.outcome(producer.send('small', { partition: 0, value: 'first' }));
  const done: string[] = [];
  const both = [
    producer.send('large', { partition: 0, value: large }).then(() => done.push('large')),
    producer.send('small', { partition: 0, value: 'second' }).then(() => done.push('small')),
  ];
  await it.clock.pass(5);
  both.push(producer.send('small', { partition: 1, value: 'third' }).then(() => done.push('later')));
  await it.clock.outcome(Promise.all(both));
  expect(done).toEqual(['small', 'later', 'large']);
  expect(it.log('large').values()[0]).toHaveLength(large.length);
});

test('batches of one partition stay in order, whatever their sizes (L2)', async () => {
  const it = await cluster();
  const producer = it.client().producer();
  const sizes = [3_000_000, 600_000, 1_000_000, 20, 700_000, 30];
  const sends = sizes.map((size) => producer.send('large', { partition: 0, value: new Uint8Array(size).fill(97) }));
  const sent = await it.clock.outcome(Promise.all(sends));
  expect(sent.map(({ offset }) => offset)).toEqual([0, 1, 2, 3, 4, 5]);
  expect(
    it
      .log('large')
      .values()
      .map((value) => value.length),
  ).toEqual(sizes);
});

test('a large record goes on where small ones never pause (T5)', async () => {
  const it = await cluster();
  const producer = it.client().producer();
  let over = false;
  const sent = producer.send('large', { partition: 0, value: large }).then(() => {
    over = true;
  });
  const value = new Uint8Array(200_000);
  for (let round = 0; round < 400 && !over; round += 1) {
    for (const partition of [0, 1]) producer.post('small', { partition, value });
    await it.clock.pass(1);
  }
  expect(over).toBe(true);
  await it.clock.outcome(sent);
});

test('a stream that breaks within a large batch: one attempt failed, the next delivers it once', async () => {
  const it = await cluster();
  const producer = it.client().producer();
  await it.clock.outcome(producer.send('large', { partition: 0, value: 'first' }));
  const sent = producer.send('large', { partition: 0, value: large });
  for (let round = 0; round < 3; round += 1) {
    await it.clock.pass(8);
    it.network.disconnect('client', 'node-1');
  }
  const next = producer.send('large', { partition: 0, value: 'last' });
  const [one, other] = await it.clock.outcome(Promise.all([sent, next]));
  expect([one?.offset, other?.offset]).toEqual([1, 2]);
  expect(
    it
      .log('large')
      .values()
      .map((value) => value.length),
  ).toEqual([5, large.length, 4]);
});

test('a batch that is refused with its first part is sent again when the stream broke before its last', async () => {
  const it = await cluster(3);
  it.refuseFirstParts = new SluiceError('NOT_ENOUGH_REPLICAS');
  const producer = it.client().producer();
  const sent = producer.send('large', { partition: 0, value: large });
  await it.clock.until('it is refused', () => it.statuses.some(({ kind }) => kind === 'retrying'));
  // The pause after the refusal is over, the parts are not.
  await it.clock.pass(50);
  it.refuseFirstParts = undefined;
  it.network.disconnect('client', 'node-1');
  expect((await it.clock.outcome(sent)).offset).toBe(0);
});

/** A link to a server that the test plays. */
async function fetchLink(windowBytes: number) {
  const clock = new ManualClock();
  const network = new MemoryNetwork({ clock });
  let sender: StreamSender<FetchResponse> | undefined;
  const requests: FetchRequest[] = [];
  const dispatcher = new Dispatcher({
    face: 'client',
    listener: 'main',
    limits: defaultLimits.client,
    logger: silentLogger,
    clock,
    authorize: () => true,
  });
  dispatcher.stream(methods.broker.fetch, (_call, to) => {
    sender = to;
    return { onMessage: (request) => requests.push(request), onClose: () => undefined };
  });
  await new MemoryTransport(network, 'node').listen('node:1', dispatcher.accept);
  const transport = new MemoryTransport(network, 'client');
  const runs: FetchedRun[] = [];
  const ended: SluiceError[] = [];
  let subscriptions = 0;
  const link = new FetchLink({
    address: 'node:1',
    clientId: 'test',
    ports: { transport, clock, random: new SeededRandom(1), compression: nodeCompression },
    rpc: new RpcClient(transport),
    windowBytes: () => windowBytes,
    nextSubscription: () => (subscriptions += 1),
    onLost: () => undefined,
  });
  const subscriber = { onRun: (run: FetchedRun) => runs.push(run), onEnded: (error: SluiceError) => ended.push(error) };
  const start = (): number => link.start(subscriber, { topicId: 't', partition: 0, fromOffset: 0, leaderEpoch: 0 });
  const send = async (...sent: readonly Partial<FetchedRun>[]): Promise<void> => {
    sender?.send({ runs: sent });
    await clock.settle();
  };
  const granted = (): number => requests.reduce((sum, { creditBytes }) => sum + creditBytes, 0);
  return { clock, link, runs, ended, requests, start, send, granted };
}

const parts = (subscription: number, bytes: Uint8Array): Partial<FetchedRun>[] => {
  const cut = new BatchParts(bytes);
  const all: Partial<FetchedRun>[] = [];
  while (cut.leftBytes > 0) {
    const { bytes: part, moreBytes, continues } = cut.next();
    all.push({ subscription, batches: [part], moreBytes, continues, nextOffset: 1 });
  }
  return all;
};

function batch(bytes: number): Uint8Array {
  const builder = new BatchBuilder();
  builder.append(draftOf({ timestamp: 0, key: null, value: new Uint8Array(bytes).fill(3), headers: [] }));
  return builder.build(unstamped);
}

test('runs in parts reach the reader whole; others are granted credit meanwhile (K3, R3)', async () => {
  const it = await fetchLink(100_000);
  const [one, other] = [it.start(), it.start()];
  await it.clock.settle();
  expect([it.requests[0]?.open?.takesParts, it.granted()]).toEqual([true, 100_000]);
  const bytes = batch(1_000_000);
  const [first, ...rest] = parts(one, bytes);
  await it.send(first!);
  // The server took all of it from the credit.
  expect([it.granted(), it.runs.length]).toEqual([100_000 + bytes.length, 0]);
  await it.send({ subscription: other, batches: [batch(10)], nextOffset: 1 });
  expect(it.runs.map(({ subscription }) => subscription)).toEqual([other]);
  await it.send(...rest);
  expect(it.runs.map(({ subscription }) => subscription)).toEqual([other, one]);
  expect(Buffer.compare(it.runs[1]!.batches[0]!, bytes)).toBe(0);
  // Nothing more before the application has it.
  expect(it.granted()).toBe(100_000 + bytes.length);
});

test('a subscription that is stopped within a batch, or before its first part, gives all of it back', async () => {
  const it = await fetchLink(100_000);
  const one = it.start();
  const two = it.start();
  await it.clock.settle();
  const bytes = batch(1_000_000);
  const [first, second, ...rest] = parts(one, bytes);
  await it.send(first!, second!);
  it.link.stop(one);
  it.link.stop(two);
  await it.clock.settle();
  await it.send(...rest);
  await it.send(...parts(two, bytes).slice(0, 2));
  // Charged twice, granted again twice.
  expect(it.granted()).toBe(100_000 + 2 * bytes.length);
  expect([it.runs, it.ended]).toEqual([[], []]);
});

test.each([
  ['continue nothing', [{ batches: [new Uint8Array(5)], moreBytes: 5, continues: true }]],
  [
    'do not add up',
    [
      { batches: [new Uint8Array(5)], moreBytes: 5 },
      { batches: [new Uint8Array(6)], continues: true },
    ],
  ],
  [
    'begin twice',
    [
      { batches: [new Uint8Array(5)], moreBytes: 5 },
      { batches: [new Uint8Array(5)], moreBytes: 5 },
    ],
  ],
  ['promise too much', [{ batches: [new Uint8Array(5)], moreBytes: 2 ** 40 }]],
  ['are several in one run', [{ batches: [new Uint8Array(5), new Uint8Array(5)], moreBytes: 5 }]],
])('parts that %s end the link', async (_, sent) => {
  const it = await fetchLink(100_000);
  const subscription = it.start();
  await it.clock.settle();
  await it.send(...sent.map((run) => ({ ...run, subscription })));
  expect(it.ended).toEqual([expect.objectContaining({ code: 'CONNECTION_LOST' })]);
});
