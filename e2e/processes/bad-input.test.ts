/** What clients may send wrong: each gets a typed error that says what to do, and an honest producer notices nothing. */
import { readFileSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { isSluiceError, toSluiceError } from '@sluice/base';
import type { ErrorCode, SluiceError } from '@sluice/base';
import type { Producer, TopicDescription } from '@sluice/client';
import { Sluice } from '@sluice/client';
import { methods } from '@sluice/wire';
import { LocalCluster } from '../cluster.ts';
import { HonestLoad, unharmed } from '../honest-load.ts';
import { isAlive } from '../node-processes.ts';
import { at, batchOf, resealed } from '../raw-batch.ts';
import { RawClient } from '../raw-client.ts';
import type { RawFetch, RawProduce } from '../raw-client.ts';
import { sluice } from '../sluice-command.ts';

/** Whatever was opened, also when what comes after it could not be. */
const open = new AsyncDisposableStack();
let cluster: LocalCluster;
let honest: HonestLoad;
let raw: RawClient;
let client: Sluice;
let producer: Producer;
/** One partition, records of at most 64 KiB. */
let topic: TopicDescription;
let leader: string;

beforeAll(async () => {
  cluster = open.use(await LocalCluster.start());
  honest = open.use(await HonestLoad.start(cluster, { topic: 'honest' }));
  raw = open.use(new RawClient());
  client = open.use(new Sluice({ bootstrap: cluster.bootstrap }));
  producer = client.producer();
  topic = await client.admin.createTopic({ name: 'target', replication: 3, config: { recordBytesMax: '65536' } });
  leader = cluster.node(await cluster.leaderOf('target', 0)).client;
});

afterAll(() => open.disposeAsync());

afterEach(() => {
  expect(cluster.nodes.filter(({ pid }) => !isAlive(pid))).toEqual([]);
});

/** The error that `promise` rejects with. */
async function refusal(promise: Promise<unknown>): Promise<SluiceError> {
  const outcome = await promise.then(
    (value) => value,
    (error: unknown) => toSluiceError(error),
  );
  if (!isSluiceError(outcome)) throw new Error(`not refused: ${JSON.stringify(outcome)}`);
  return outcome;
}

interface Refusal {
  readonly code: ErrorCode;
  readonly says: RegExp;
  readonly retry?: SluiceError['retry'];
}

/** Each of these had no effect; by default sending the same again cannot help. */
const refused = ({ code, says, retry = 'never' }: Refusal): object => ({
  code,
  retry,
  definite: true,
  message: expect.stringMatching(says) as string,
});

const highWatermark = async (name = 'target'): Promise<number | undefined> =>
  (await client.admin.listOffsets(name))[0]?.highWatermark;

describe('through the client', () => {
  test('a record over the limit of the topic, and over every limit', async () => {
    for (const bytes of [100_000, 9 * 1024 * 1024]) {
      const error = await refusal(producer.send('target', { value: 'x'.repeat(bytes) }));
      expect(error).toMatchObject(refused({ code: 'RECORD_TOO_LARGE', says: /smaller|raise recordBytesMax/ }));
    }
    expect(await producer.send('target', { value: 'x'.repeat(65_536) })).toMatchObject({ partition: 0 });
  });

  test('an unknown topic', async () => {
    const expected: Refusal = { code: 'UNKNOWN_TOPIC', says: /create it first|no topic/i };
    expect(await refusal(producer.send('nowhere', { value: 'x' }))).toMatchObject(refused(expected));
    expect(await refusal(client.admin.describeTopic('nowhere'))).toMatchObject(refused(expected));
    expect(await refusal(client.admin.listOffsets('nowhere'))).toMatchObject(refused(expected));
    expect(await refusal(client.admin.deleteTopic('nowhere'))).toMatchObject(refused(expected));
    const consumer = client.consumer({ assignments: [{ topic: 'nowhere', partition: 0 }] });
    expect(await refusal(consumer.batches().next())).toMatchObject(refused(expected));
  });

  test('an unknown partition', async () => {
    const expected: Refusal = { code: 'UNKNOWN_PARTITION', says: /partition/ };
    expect(await refusal(producer.send('target', { value: 'x', partition: 7 }))).toMatchObject(refused(expected));
    const consumer = client.consumer({ assignments: [{ topic: 'target', partition: 7 }] });
    expect(await refusal(consumer.batches().next())).toMatchObject(refused(expected));
  });

  test.each(['', '.', '..', 'a/b', 'with space', 'ä', 'x'.repeat(250), '../../etc'])('topic name %j', async (name) => {
    const error = await refusal(client.admin.createTopic({ name }));
    expect(error).toMatchObject(refused({ code: 'INVALID_TOPIC', says: /1 to 249/ }));
  });

  test('numbers and configuration of a topic that cannot be', async () => {
    const create = (options: object): Promise<SluiceError> =>
      refusal(client.admin.createTopic({ name: 'refused', ...options }));
    const config = (key: string, value: string): Promise<SluiceError> => create({ config: { [key]: value } });
    expect(await create({ partitions: 10_001 })).toMatchObject(refused({ code: 'INVALID_TOPIC', says: /1 to 10000/ }));
    expect(await create({ replication: 4 })).toMatchObject(
      refused({ code: 'NOT_ENOUGH_NODES', says: /3 of 3/, retry: 'backoff' }),
    );
    expect(await config('colour', 'red')).toMatchObject(
      refused({ code: 'INVALID_CONFIG', says: /the keys are .*minIsr/ }),
    );
    expect(await config('minIsr', '4')).toMatchObject(
      refused({ code: 'INVALID_CONFIG', says: /more than the replication factor 3/ }),
    );
    expect(await config('minIsr', '-1')).toMatchObject(refused({ code: 'INVALID_CONFIG', says: /1 to 100/ }));
    expect(await config('recordBytesMax', '1e9')).toMatchObject(
      refused({ code: 'INVALID_CONFIG', says: /1024 to 8388608/ }),
    );
    expect(await config('durability', 'hope')).toMatchObject(refused({ code: 'INVALID_CONFIG', says: /may be fsync/ }));
  });

  test('through the command line', async () => {
    const run = async (...words: string[]): Promise<object> => {
      const { exit, lines } = await sluice([...words, '--json'], { bootstrap: cluster.bootstrap, input: 'x\n' });
      const [line] = lines<{ error: { code: string; retryable: boolean; definite: boolean } }>();
      return { exit, code: line?.error.code, retryable: line?.error.retryable, definite: line?.error.definite };
    };
    const failed = (code: ErrorCode): object => ({ exit: 1, code, retryable: false, definite: true });
    expect(await run('produce', 'nowhere')).toEqual(failed('UNKNOWN_TOPIC'));
    expect(await run('consume', 'nowhere')).toEqual(failed('UNKNOWN_TOPIC'));
    expect(await run('topic', 'delete', 'nowhere')).toEqual(failed('UNKNOWN_TOPIC'));
    expect(await run('produce', 'target', '--partition', '7')).toEqual(failed('UNKNOWN_PARTITION'));
    expect(await run('consume', 'target', '--partition', '7')).toEqual(failed('UNKNOWN_PARTITION'));
    expect(await run('topic', 'create', 'no/slash')).toEqual(failed('INVALID_TOPIC'));
  });
});

describe('batches', () => {
  let stream: RawProduce;
  beforeAll(() => {
    stream = raw.produce(leader);
  });
  afterAll(() => stream.close());

  const good = (): Uint8Array => batchOf(['one', 'two', 'three']);
  const header = (change: (view: DataView) => void): Uint8Array => resealed(good(), change);
  const corrupted = (): Uint8Array => {
    const batch = good();
    batch[batch.length - 3] = (batch[batch.length - 3] ?? 0) ^ 0x10;
    return batch;
  };
  const stamped = (id: bigint, epoch: number, sequence: number): Uint8Array =>
    header((view) => {
      view.setBigInt64(at.producerId, id);
      view.setInt16(at.producerEpoch, epoch);
      view.setInt32(at.baseSequence, sequence);
    });

  const batches: readonly (readonly [string, () => Uint8Array, Refusal])[] = [
    ['empty', () => new Uint8Array(0), { code: 'CORRUPT_BATCH', says: /bytes/ }],
    ['cut off in its header', () => good().subarray(0, 40), { code: 'CORRUPT_BATCH', says: /bytes/ }],
    ['cut off in its records', () => good().subarray(0, -5), { code: 'CORRUPT_BATCH', says: /bytes, \d+ are there/ }],
    ['no batch at all', () => new Uint8Array(500).fill(0xa5), { code: 'CORRUPT_BATCH', says: /less than its header/ }],
    ['corrupt', corrupted, { code: 'CORRUPT_BATCH', says: /CRC/ }],
    ['magic 1', () => header((view) => view.setInt8(at.magic, 1)), { code: 'INVALID_BATCH', says: /magic/ }],
    ['two in one', () => Buffer.concat([good(), good()]), { code: 'INVALID_BATCH', says: /one batch/ }],
    [
      'more records than its bytes can hold',
      () =>
        header((view) => {
          view.setInt32(at.recordCount, 1_000_000_000);
          view.setInt32(at.lastOffsetDelta, 999_999_999);
        }),
      { code: 'INVALID_BATCH', says: /claims 1000000000 records/ },
    ],
    [
      'no records',
      () => header((view) => view.setInt32(at.recordCount, 0)),
      { code: 'INVALID_BATCH', says: /0 records/ },
    ],
    [
      '−1 records',
      () => header((view) => view.setInt32(at.recordCount, -1)),
      { code: 'INVALID_BATCH', says: /-1 records/ },
    ],
    [
      'more offsets than records',
      () => header((view) => view.setInt32(at.lastOffsetDelta, 9)),
      { code: 'INVALID_BATCH', says: /3 records and 10 offsets/ },
    ],
    [
      'an offset beyond 2^53',
      () => header((view) => view.setBigInt64(at.baseOffset, 2n ** 53n)),
      { code: 'INVALID_BATCH', says: /2\^53/ },
    ],
    [
      'an offset of its own',
      () => header((view) => view.setBigInt64(at.baseOffset, 5n)),
      { code: 'INVALID_BATCH', says: /base offset is 0/ },
    ],
    [
      'a timestamp beyond 2^53',
      () => header((view) => view.setBigInt64(at.baseTimestamp, 2n ** 60n)),
      { code: 'INVALID_BATCH', says: /timestamps/ },
    ],
    [
      'a control batch',
      () => header((view) => view.setUint16(at.attributes, 0x20)),
      { code: 'INVALID_BATCH', says: /control/ },
    ],
    [
      'a transactional batch',
      () => header((view) => view.setUint16(at.attributes, 0x10)),
      { code: 'INVALID_BATCH', says: /transactions are not supported/ },
    ],
    ['codec 7', () => header((view) => view.setUint16(at.attributes, 7)), { code: 'INVALID_BATCH', says: /attribute/ }],
    ['a negative sequence', () => stamped(0n, 0, -5), { code: 'INVALID_BATCH', says: /sequence from 0/ }],
    ['a negative epoch', () => stamped(0n, -1, 0), { code: 'INVALID_BATCH', says: /needs an epoch/ }],
    ['producer id −2', () => stamped(-2n, 0, 0), { code: 'INVALID_BATCH', says: /producer ids go from/ }],
    [
      'a producer id never issued',
      () => stamped(4_000_000_000_000n, 0, 0),
      { code: 'UNKNOWN_PRODUCER_ID', says: /InitProducer/, retry: 'backoff' },
    ],
    [
      'a batch over the limit',
      () => batchOf(['x'.repeat(70_000)]),
      { code: 'RECORD_TOO_LARGE', says: /recordBytesMax/ },
    ],
  ];

  test.each(batches)('%s', async (_name, batch, expected) => {
    const before = await highWatermark();
    expect(await refusal(stream.append(topic.id, 0, batch()))).toMatchObject(refused(expected));
    expect(await highWatermark()).toBe(before);
    // The stream stands, and so does the partition.
    expect(await stream.append(topic.id, 0, good())).toBe(before);
  });

  test('sequences with a gap, and of an earlier epoch', async () => {
    const { producerId } = await raw.rpc.unary(methods.broker.initProducer, leader, {}, { timeoutMs: 5000 });
    const stamp = (producerEpoch: number, baseSequence: number): Uint8Array =>
      batchOf(['x'], { producerId, producerEpoch, baseSequence });
    const gap: Refusal = { code: 'OUT_OF_ORDER_SEQUENCE', says: /batches before it first/ };
    expect(await refusal(stream.append(topic.id, 0, stamp(1, 5)))).toMatchObject(refused(gap));
    const first = await stream.append(topic.id, 0, stamp(1, 0));
    expect(await refusal(stream.append(topic.id, 0, stamp(1, 2)))).toMatchObject(refused(gap));
    expect(await stream.append(topic.id, 0, stamp(1, 0))).toBe(first);
    const fenced: Refusal = { code: 'INVALID_PRODUCER_EPOCH', says: /newer epoch/ };
    expect(await refusal(stream.append(topic.id, 0, stamp(0, 1)))).toMatchObject(refused(fenced));
    expect(await stream.append(topic.id, 0, stamp(1, 1))).toBe(first + 1);
  });

  test('places that are not there', async () => {
    const noTopic: Refusal = { code: 'UNKNOWN_TOPIC', says: /create it first/, retry: 'refresh-metadata' };
    expect(await refusal(stream.append('0'.repeat(32), 0, good()))).toMatchObject(refused(noTopic));
    for (const id of ['', 'target', 'Z'.repeat(32)]) {
      const error = await refusal(stream.append(id, 0, good()));
      expect(error).toMatchObject(refused({ code: 'INVALID_REQUEST', says: /32 lower-case hex digits/ }));
    }
    for (const partition of [1, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1]) {
      const error = await refusal(stream.append(topic.id, partition, good()));
      expect(error).toMatchObject(refused({ code: 'UNKNOWN_PARTITION', says: /partition/ }));
    }
    const other = cluster.nodes.find((node) => node.client !== leader);
    const follower = raw.produce(other?.client ?? '');
    const notLeader: Refusal = { code: 'NOT_LEADER', says: /metadata/, retry: 'refresh-metadata' };
    expect(await refusal(follower.append(topic.id, 0, good()))).toMatchObject(refused(notLeader));
    follower.close();
  });

  test('one request id for two batches in flight: both are answered, both lie in the log once', async () => {
    const before = (await highWatermark()) ?? 0;
    const batch = { requestId: 77_777, topicId: topic.id, partition: 0, batch: batchOf(['twice']) };
    stream.send({ batches: [batch] });
    stream.send({ batches: [{ ...batch, batch: batchOf(['twice']) }] });
    await stream.append(topic.id, 0, batchOf(['behind']));
    const answers = stream.results.filter((result) => result.requestId === 77_777);
    expect(answers.map(({ baseOffset, error }) => ({ baseOffset, error }))).toEqual([
      { baseOffset: before, error: null },
      { baseOffset: before + 1, error: null },
    ]);
    expect(await highWatermark()).toBe(before + 3);
  });
});

describe('streams', () => {
  test('a produce before the stream is open', async () => {
    const stream = raw.unopened(leader);
    stream.send({ batches: [{ requestId: 1, topicId: topic.id, partition: 0, batch: batchOf(['early']) }] });
    expect(await stream.closed()).toMatchObject(
      refused({ code: 'INVALID_REQUEST', says: /first message .* opens it/ }),
    );
  });

  test('a sender that ignores its credit', async () => {
    const stream = raw.produce(leader);
    const batches = Array.from({ length: 100 }, (_, requestId) => {
      return { requestId, topicId: topic.id, partition: 0, batch: batchOf(['y'.repeat(60_000)]) };
    });
    stream.send({ batches });
    expect(await stream.closed()).toMatchObject(
      refused({ code: 'CREDIT_EXCEEDED', says: /more bytes than it was granted/ }),
    );
  });

  const start = { topicId: '', partition: 0, fromOffset: 0, leaderEpoch: -1 };
  const opened = (): RawFetch => {
    const stream = raw.fetch(leader);
    stream.send({ open: { clientId: 'raw' }, creditBytes: 100_000 });
    return stream;
  };

  test('a fetch before the stream is open', async () => {
    const stream = raw.fetch(leader);
    stream.send({ start: [{ ...start, topicId: topic.id, subscription: 1 }] });
    expect(await stream.closed()).toMatchObject(
      refused({ code: 'INVALID_REQUEST', says: /first message .* opens it/ }),
    );
  });

  test('subscriptions to what is not there', async () => {
    const stream = opened();
    const ask = (subscription: number, change: object): Promise<SluiceError> => {
      stream.send({ start: [{ ...start, topicId: topic.id, subscription, ...change }] });
      return refusal(stream.run(subscription));
    };
    const end = (await highWatermark()) ?? 0;
    const beyond: Refusal = { code: 'OFFSET_OUT_OF_RANGE', says: /seek to start or end/ };
    expect(await ask(1, { fromOffset: end + 1000 })).toMatchObject(refused(beyond));
    expect(await ask(2, { fromOffset: Number.MAX_SAFE_INTEGER })).toMatchObject(refused(beyond));
    expect(await ask(3, { partition: 2 ** 32 - 1 })).toMatchObject(
      refused({ code: 'UNKNOWN_PARTITION', says: /partition/ }),
    );
    expect(await ask(4, { topicId: 'x' })).toMatchObject(
      refused({ code: 'INVALID_REQUEST', says: /32 lower-case hex digits/ }),
    );
    const retry = 'refresh-metadata';
    expect(await ask(5, { topicId: 'f'.repeat(32) })).toMatchObject(
      refused({ code: 'UNKNOWN_TOPIC', says: /create it first/, retry }),
    );
    const newer = await ask(6, { leaderEpoch: 1000 });
    expect(newer).toMatchObject(refused({ code: 'UNKNOWN_LEADER_EPOCH', says: /newer/, retry: 'backoff' }));
    // The stream stands all the same.
    stream.send({ start: [{ ...start, topicId: topic.id, subscription: 7 }] });
    expect((await stream.run(7)).batches.length).toBeGreaterThan(0);
    stream.close();
  });

  test.each(['while it is open', 'after it was stopped'])('a subscription number used again %s', async (when) => {
    const stream = opened();
    stream.send({ start: [{ ...start, topicId: topic.id, subscription: 9 }] });
    await stream.run(9);
    if (when !== 'while it is open') stream.send({ stop: [9] });
    stream.send({ start: [{ ...start, topicId: topic.id, subscription: 9 }] });
    expect(await stream.closed()).toMatchObject(
      refused({ code: 'INVALID_REQUEST', says: /Subscription 9 was used before/ }),
    );
  });

  test('an offset beyond 2^53 on the wire, in a fetch and in a produce', async () => {
    const open = Buffer.from([0x0a, 0x00]);
    const beyond = Buffer.from([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]);
    const says = /2\^53/;
    const fetchStart = Buffer.concat([Buffer.from([0x08, 1, 0x20]), beyond]);
    const fetch = Buffer.concat([open, Buffer.from([0x12, fetchStart.length]), fetchStart]);
    const ended = await raw.bytes(leader, methods.broker.fetch.path, [fetch]);
    expect(ended).toMatchObject(refused({ code: 'INVALID_REQUEST', says }));
    const batch = Buffer.concat([Buffer.from([0x08]), beyond]);
    const produce = Buffer.concat([open, Buffer.from([0x12, batch.length]), batch]);
    expect(await raw.bytes(leader, methods.broker.produce.path, [produce])).toMatchObject(
      refused({ code: 'INVALID_REQUEST', says }),
    );
  });

  test('bounds of partitions that are not there', async () => {
    const partitions = [
      { topicId: 'x', partition: 0 },
      { topicId: topic.id, partition: 2 ** 32 - 1 },
      { topicId: 'e'.repeat(32), partition: 0 },
      { topicId: topic.id, partition: 0 },
    ];
    const answer = await raw.rpc.unary(methods.broker.listOffsets, leader, { partitions }, { timeoutMs: 5000 });
    expect(answer.partitions.map(({ error }) => error?.code)).toEqual([
      'INVALID_REQUEST',
      'UNKNOWN_PARTITION',
      'UNKNOWN_TOPIC',
      undefined,
    ]);
  });
});

test('a produce under the id of a deleted topic, after one of the same name was created', async () => {
  const before = await client.admin.createTopic({ name: 'again', replication: 3 });
  await producer.send('again', { value: 'first life' });
  const { producerId } = await raw.rpc.unary(methods.broker.initProducer, leader, {}, { timeoutMs: 5000 });
  await client.admin.deleteTopic('again');
  const after = await client.admin.createTopic({ name: 'again', replication: 3 });
  expect(after.id).not.toBe(before.id);
  for (const node of cluster.nodes) {
    const stream = raw.produce(node.client);
    const batch = batchOf(['second life'], { producerId, producerEpoch: 0, baseSequence: 0 });
    const retry = 'refresh-metadata';
    expect(await refusal(stream.append(before.id, 0, batch))).toMatchObject(
      refused({ code: 'UNKNOWN_TOPIC', says: /topic/, retry }),
    );
    stream.close();
  }
  expect(await highWatermark('again')).toBe(0);
  // A producer that knew the old one learns the new one.
  expect(await producer.send('again', { value: 'second life' })).toEqual({ partition: 0, offset: 0 });
});

test('no node met anything that it did not expect, and the honest producer lost nothing', async () => {
  expect(await honest.finish()).toMatchObject(unharmed);
  for (const { id } of cluster.nodes) {
    const lines = readFileSync(`${cluster.directory}/node-${id}.log`, 'utf8').trimEnd().split('\n');
    const bugs = lines.filter((line) => /"level":(?:50|60|"error"|"fatal")/.test(line));
    expect(bugs).toEqual([]);
  }
});
