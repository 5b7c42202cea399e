import { isSluiceError, SluiceError } from '@sluice/base';
import { partitionForKey } from '@sluice/record';
import { describe, expect, test } from 'vitest';
import type { Delivery } from './producer-record.ts';
import { ScriptedCluster } from './scripted-cluster.testing.ts';

const outcome = async (promise: Promise<Delivery>): Promise<Delivery | SluiceError> =>
  promise.catch((thrown: unknown) => {
    if (isSluiceError(thrown)) return thrown;
    throw thrown;
  });

const codeOf = (result: Delivery | SluiceError): string =>
  isSluiceError(result) ? `${result.code} ${result.definite}` : 'ok';

describe('sending', () => {
  test('records come to lie in the order of the calls, in few batches, and tell their offsets', async () => {
    const cluster = await ScriptedCluster.start();
    cluster.createTopic('orders');
    const producer = cluster.client().producer();
    const values = Array.from({ length: 1000 }, (_, at) => `value ${at}`);
    const sent = await cluster.clock.outcome(Promise.all(values.map((value) => producer.send('orders', { value }))));
    expect(sent.map(({ offset }) => offset)).toEqual(values.map((_, at) => at));
    expect(cluster.log('orders').values()).toEqual(values);
    expect(cluster.received.length).toBeLessThan(5);
  });

  test('keys, values and headers are text, bytes or null', async () => {
    const cluster = await ScriptedCluster.start();
    cluster.createTopic('orders');
    await using sluice = cluster.client();
    const producer = sluice.producer();
    await cluster.clock.outcome(
      Promise.all([
        producer.send('orders', { key: 'k', value: null, headers: { a: 'x', b: null } }),
        producer.send('orders', { key: new Uint8Array([1]), value: new Uint8Array([2]), timestamp: 5 }),
        producer.send('orders', {
          value: '',
          headers: [
            { key: 'a', value: 'ü' },
            { key: 'a', value: new Uint8Array() },
          ],
        }),
      ]),
    );
    const consumer = sluice.consumer({ assignments: [{ topic: 'orders', partition: 0 }] });
    const batches = consumer.batches();
    const records = [];
    while (records.length < 3) {
      const next = await cluster.clock.outcome(batches.next());
      if (next.done !== true) records.push(...next.value.records());
    }
    const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
    expect(records).toEqual([
      {
        offset: 0,
        timestamp: 1_800_000_000_000,
        key: bytes('k'),
        value: null,
        headers: [
          { key: 'a', value: bytes('x') },
          { key: 'b', value: null },
        ],
      },
      { offset: 1, timestamp: 5, key: bytes('\u0001'), value: bytes('\u0002'), headers: [] },
      {
        offset: 2,
        timestamp: 1_800_000_000_000,
        key: null,
        value: bytes(''),
        headers: [
          { key: 'a', value: bytes('ü') },
          { key: 'a', value: bytes('') },
        ],
      },
    ]);
    await consumer.close();
  });

  test('keyed records go by murmur2, keyless ones stick to a partition for a batch and then change', async () => {
    const cluster = await ScriptedCluster.start();
    cluster.createTopic('orders', [1, 2, 3, 1, 2, 3]);
    const producer = cluster.client().producer({ batchBytesMax: 1000 });
    const keys = Array.from({ length: 50 }, (_, at) => `key ${at}`);
    const keyed = await cluster.clock.outcome(
      Promise.all(keys.map((key) => producer.send('orders', { key, value: '' }))),
    );
    expect(keyed.map(({ partition }) => partition)).toEqual(
      keys.map((key) => partitionForKey(new TextEncoder().encode(key), 6)),
    );
    const value = 'x'.repeat(90);
    const calls = Array.from({ length: 400 }, () => producer.send('orders', { value }));
    const keyless = (await cluster.clock.outcome(Promise.all(calls))).map(({ partition }) => partition);
    expect(new Set(keyless).size).toBe(6);
    const changes = keyless.filter((partition, at) => at > 0 && partition !== keyless[at - 1]).length;
    expect(changes).toBeLessThan(50);
    expect(await cluster.clock.outcome(outcome(producer.send('orders', { value: '', partition: 4 })))).toMatchObject({
      partition: 4,
    });
    expect(codeOf(await cluster.clock.outcome(outcome(producer.send('orders', { value: '', partition: 6 }))))).toBe(
      'UNKNOWN_PARTITION true',
    );
  });

  test('a trickle of keyless records reaches all partitions, those that follow each other closely share one', async () => {
    const cluster = await ScriptedCluster.start();
    cluster.createTopic('orders', [1, 2, 3, 1, 2, 3]);
    const producer = cluster.client().producer();
    const partitions: number[] = [];
    for (let at = 0; at < 60; at += 1) {
      const sent = producer.send('orders', { value: 'x' });
      await cluster.clock.pass(1);
      partitions.push((await sent).partition);
      await cluster.clock.pass(at < 30 ? 30 : 0);
    }
    expect(new Set(partitions.slice(0, 30)).size).toBe(6);
    const changes = partitions.slice(30).filter((partition, at) => partition !== partitions[at + 29]).length;
    expect(changes).toBeLessThan(4);
  });

  test('a record over the limit is refused before anything is sent, with limit and size', async () => {
    const cluster = await ScriptedCluster.start();
    cluster.createTopic('orders', [1], { recordBytesMax: '2048' });
    const producer = cluster.client().producer({ bufferBytesMax: 10_000 });
    const at = await cluster.clock.outcome(outcome(producer.send('orders', { value: 'x'.repeat(2048) })));
    const over = await cluster.clock.outcome(outcome(producer.send('orders', { value: 'x'.repeat(2049) })));
    expect(codeOf(at)).toBe('ok');
    expect(codeOf(over)).toBe('RECORD_TOO_LARGE true');
    expect(over).toMatchObject({ details: { bytes: 2049, limit: 2048 } });
    expect(cluster.received).toHaveLength(1);
    expect(codeOf(await cluster.clock.outcome(outcome(producer.send('orders', { value: 'x'.repeat(20_000) }))))).toBe(
      'RECORD_TOO_LARGE true',
    );
  });

  test('a record without a key is refused before anything is sent to a compacted topic', async () => {
    const cluster = await ScriptedCluster.start();
    cluster.createTopic('states', [1], { cleanupPolicy: 'compact,delete' });
    const producer = cluster.client().producer();
    const without = await cluster.clock.outcome(outcome(producer.send('states', { value: 'x' })));
    const empty = await cluster.clock.outcome(outcome(producer.send('states', { key: '', value: null })));
    expect([codeOf(without), codeOf(empty)]).toEqual(['INVALID_RECORD true', 'ok']);
    expect(cluster.received).toHaveLength(1);
  });

  test('an unknown topic fails after a moment; one that appears in that moment does not', async () => {
    const cluster = await ScriptedCluster.start();
    const producer = cluster.client().producer();
    const unknown = outcome(producer.send('nothing', { value: '' }));
    expect(codeOf(await cluster.clock.outcome(unknown, 2_000))).toBe('UNKNOWN_TOPIC true');
    const late = outcome(producer.send('late', { value: '' }));
    await cluster.clock.pass(500);
    cluster.createTopic('late');
    expect(codeOf(await cluster.clock.outcome(late, 100))).toBe('ok');
    expect(codeOf(await cluster.clock.outcome(outcome(producer.send('nothing', { value: '' })), 10))).toBe(
      'UNKNOWN_TOPIC true',
    );
  });

  test('lingering batches wait for their time, and flush does not', async () => {
    const cluster = await ScriptedCluster.start();
    cluster.createTopic('orders');
    const producer = cluster.client().producer({ lingerMs: 50 });
    await cluster.clock.outcome(producer.send('orders', { value: 'first' }));
    const before = cluster.received.length;
    const second = producer.send('orders', { value: 'second' });
    await cluster.clock.pass(49);
    expect(cluster.received).toHaveLength(before);
    await cluster.clock.pass(2);
    await second;
    const third = producer.send('orders', { value: 'third' });
    await cluster.clock.outcome(producer.flush(), 1);
    await third;
  });

  test('compressed batches arrive whole', async () => {
    const cluster = await ScriptedCluster.start();
    cluster.createTopic('orders');
    const sluice = cluster.client();
    const codecs = ['gzip', 'snappy', 'lz4', 'zstd'] as const;
    for (const compression of codecs) {
      const producer = sluice.producer({ compression });
      await cluster.clock.outcome(producer.send('orders', { value: 'x'.repeat(500) }));
    }
    expect(cluster.received.map(({ header }) => header.codec)).toEqual(codecs);
    expect(cluster.log('orders').values()).toEqual(codecs.map(() => 'x'.repeat(500)));
  });
});

describe('what fails is sent again', () => {
  test('the same bytes and sequences, in order, and the caller notices nothing', async () => {
    const cluster = await ScriptedCluster.start();
    cluster.createTopic('orders');
    let refusals = 6;
    const errors = [
      'NOT_ENOUGH_REPLICAS',
      'STORAGE_FAILED',
      'TIMEOUT',
      'LEADER_NOT_AVAILABLE',
      'SHUTTING_DOWN',
      'UNKNOWN_PRODUCER_ID',
    ] as const;
    cluster.onProduce = () => {
      refusals -= 1;
      return refusals < 0 ? 'append' : new SluiceError(errors[refusals] ?? 'INTERNAL');
    };
    const producer = cluster.client().producer({ batchBytesMax: 200 });
    const values = Array.from({ length: 40 }, (_, at) => `value ${at}`);
    const sent = await cluster.clock.outcome(Promise.all(values.map((value) => producer.send('orders', { value }))));
    expect(sent.map(({ offset }) => offset)).toEqual(values.map((_, at) => at));
    expect(cluster.log('orders').values()).toEqual(values);
    const bySequence = new Map<number, Uint8Array>();
    for (const { header, bytes } of cluster.received) {
      expect(bytes).toEqual(bySequence.get(header.baseSequence) ?? bytes);
      bySequence.set(header.baseSequence, bytes);
    }
    expect(cluster.received.length).toBeGreaterThan(bySequence.size + 5);
  });

  test('at most five batches of a partition are under way', async () => {
    const cluster = await ScriptedCluster.start();
    cluster.createTopic('orders');
    cluster.onProduce = () => 'drop';
    const producer = cluster.client().producer({ batchBytesMax: 200 });
    const sends = Array.from({ length: 100 }, (_, at) => outcome(producer.send('orders', { value: `value ${at}` })));
    await cluster.clock.pass(1000);
    expect(cluster.received).toHaveLength(5);
    const closed = cluster.clock.outcome(producer.close({ timeoutMs: 10 }));
    await closed;
    const codes = new Set((await Promise.all(sends)).map(codeOf));
    expect([...codes]).toEqual(['CLOSED false', 'CLOSED true']);
  });

  test('a batch in doubt is known to its leader for as long as it is in doubt', async () => {
    const cluster = await ScriptedCluster.start();
    cluster.createTopic('orders');
    const producer = cluster.client().producer({ batchBytesMax: 150 });
    await cluster.clock.outcome(producer.send('orders', { value: 'warm' }));
    cluster.onProduce = ({ header }) => (header.baseSequence === 1 ? 'appendOnly' : 'append');
    const values = Array.from({ length: 20 }, (_, at) => `${at} ${'x'.repeat(80)}`);
    const sends = Promise.all(values.map((value) => producer.send('orders', { value })));
    await cluster.clock.pass(500);
    cluster.onProduce = () => 'append';
    cluster.network.disconnect('client', 'node-1');
    await cluster.clock.outcome(sends, 1_000);
    values.unshift('warm');
    expect(cluster.log('orders').values()).toEqual(values);
  });

  test('a lost connection: appended and not answered is one copy', async () => {
    const cluster = await ScriptedCluster.start();
    cluster.createTopic('orders');
    cluster.onProduce = () => 'appendOnly';
    const producer = cluster.client().producer();
    const sent = producer.send('orders', { value: 'once' });
    await cluster.clock.pass(100);
    expect(cluster.log('orders').values()).toEqual(['once']);
    cluster.onProduce = () => 'append';
    cluster.network.disconnect('client', 'node-1');
    expect(await cluster.clock.outcome(sent, 1000)).toEqual({ partition: 0, offset: 0 });
    expect(cluster.log('orders').values()).toEqual(['once']);
  });

  test('a new leader gets everything at once, not after a pause', async () => {
    const cluster = await ScriptedCluster.start();
    cluster.createTopic('orders');
    cluster.onProduce = ({ node }) => (node === 1 ? 'drop' : 'append');
    const producer = cluster.client().producer({ batchBytesMax: 100 });
    const values = Array.from({ length: 20 }, (_, at) => `value ${at}`);
    const sends = Promise.all(values.map((value) => producer.send('orders', { value })));
    await cluster.clock.pass(1000);
    cluster.kill(1);
    await cluster.clock.pass(300);
    const before = cluster.clock.monotonicMs();
    cluster.moveLeader('orders', 0, 2);
    await cluster.clock.settle();
    await sends;
    expect(cluster.clock.monotonicMs()).toBe(before);
    expect(cluster.log('orders').values()).toEqual(values);
  });

  test('a leader that hangs is left for the new one that metadata shows', async () => {
    const cluster = await ScriptedCluster.start();
    cluster.createTopic('orders', [2]);
    cluster.onProduce = ({ node }) => (node === 2 ? 'drop' : 'append');
    const producer = cluster.client().producer();
    const sent = producer.send('orders', { value: 'moved' });
    await cluster.clock.pass(100);
    cluster.moveLeader('orders', 0, 3);
    expect(await cluster.clock.outcome(sent, 10)).toEqual({ partition: 0, offset: 0 });
  });

  test('a node that never answers is given up after requestTimeoutMs', async () => {
    const cluster = await ScriptedCluster.start();
    cluster.createTopic('orders');
    let first = true;
    cluster.onProduce = () => {
      const fate = first ? 'drop' : 'append';
      first = false;
      return fate;
    };
    const producer = cluster.client().producer({ requestTimeoutMs: 700 });
    const sent = producer.send('orders', { value: 'again' });
    await cluster.clock.pass(650);
    expect(cluster.received).toHaveLength(1);
    await cluster.clock.outcome(sent, 200);
  });

  test('a leader that forgot the producer gets a new epoch, not an error', async () => {
    const cluster = await ScriptedCluster.start();
    cluster.createTopic('orders');
    const producer = cluster.client().producer();
    await cluster.clock.outcome(producer.send('orders', { value: 'before' }));
    cluster.log('orders').forgetProducers();
    await cluster.clock.outcome(producer.send('orders', { value: 'after' }));
    expect(cluster.log('orders').values()).toEqual(['before', 'after']);
    expect(cluster.received.at(-1)?.header).toMatchObject({ producerEpoch: 1, baseSequence: 0 });
  });

  test('a batch that is refused for good fails alone; those behind it go on in a new epoch', async () => {
    const cluster = await ScriptedCluster.start();
    cluster.createTopic('orders');
    const producer = cluster.client().producer({ batchBytesMax: 150 });
    await cluster.clock.outcome(producer.send('orders', { value: 'warm' }));
    let at = 0;
    cluster.onProduce = () => {
      at += 1;
      return at === 2 ? new SluiceError('CORRUPT_BATCH') : 'append';
    };
    const values = ['a', 'b', 'c', 'd'].map((letter) => letter.repeat(80));
    const results = await cluster.clock.outcome(
      Promise.all(values.map((value) => outcome(producer.send('orders', { value })))),
    );
    expect(results.map(codeOf)).toEqual(['ok', 'CORRUPT_BATCH true', 'ok', 'ok']);
    expect(
      cluster
        .log('orders')
        .values()
        .map((value) => value[0]),
    ).toEqual(['w', 'a', 'c', 'd']);
  });
});

describe('deadlines', () => {
  test('never sent, or always refused: EXPIRED and definite', async () => {
    const cluster = await ScriptedCluster.start();
    cluster.createTopic('orders', [0]);
    const producer = cluster.client().producer({ deliveryTimeoutMs: 2_000 });
    const unsent = outcome(producer.send('orders', { value: 'a' }));
    expect(codeOf(await cluster.clock.outcome(unsent, 2_100))).toBe('EXPIRED true');
    cluster.onProduce = () => new SluiceError('NOT_ENOUGH_REPLICAS');
    cluster.moveLeader('orders', 0, 1);
    const refused = outcome(producer.send('orders', { value: 'b' }));
    const result = await cluster.clock.outcome(refused, 2_100);
    expect(codeOf(result)).toBe('EXPIRED true');
    expect(result).toMatchObject({ details: { lastCode: 'NOT_ENOUGH_REPLICAS', topic: 'orders', partition: 0 } });
    cluster.onProduce = () => 'append';
    await cluster.clock.outcome(producer.send('orders', { value: 'c' }));
    expect(cluster.log('orders').values()).toEqual(['c']);
  });

  test('unknown outcome: TIMEOUT for all that was sent, and the next epoch leaves other partitions alone', async () => {
    const cluster = await ScriptedCluster.start();
    cluster.createTopic('orders', [1, 1]);
    const producer = cluster.client().producer({ deliveryTimeoutMs: 2_000, batchBytesMax: 150 });
    await cluster.clock.outcome(
      Promise.all([0, 1].map((partition) => producer.send('orders', { value: 'warm', partition }))),
    );
    cluster.onProduce = ({ partition }) => (partition === 0 ? 'appendOnly' : 'append');
    const value = 'x'.repeat(80);
    const lost = Array.from({ length: 7 }, () => outcome(producer.send('orders', { value, partition: 0 })));
    await cluster.clock.outcome(producer.send('orders', { value: 'other', partition: 1 }));
    await cluster.clock.pass(1_990);
    cluster.onProduce = () => 'append';
    await cluster.clock.pass(20);
    expect((await Promise.all(lost)).map(codeOf)).toEqual([
      ...Array.from({ length: 5 }, () => 'TIMEOUT false'),
      'EXPIRED true',
      'EXPIRED true',
    ]);
    await cluster.clock.outcome(
      Promise.all([0, 1].map((partition) => producer.send('orders', { value: 'next', partition }))),
    );
    const [zero, one] = cluster.received.slice(-2).toSorted((a, b) => a.partition - b.partition);
    expect(zero?.header).toMatchObject({ producerEpoch: 1, baseSequence: 0 });
    expect(one?.header).toMatchObject({ producerEpoch: 0, baseSequence: 2, producerId: zero?.header.producerId });
    expect(cluster.log('orders', 1).values()).toEqual(['warm', 'other', 'next']);
    expect(cluster.log('orders', 0).values().at(-1)).toBe('next');
  });

  test('what an old leader never answered stays in doubt, though the new one refuses it', async () => {
    const cluster = await ScriptedCluster.start();
    cluster.createTopic('orders');
    cluster.onProduce = ({ node }) => (node === 1 ? 'appendOnly' : new SluiceError('NOT_ENOUGH_REPLICAS'));
    const producer = cluster.client().producer({ deliveryTimeoutMs: 2_000 });
    const sent = outcome(producer.send('orders', { value: 'a' }));
    await cluster.clock.pass(100);
    cluster.moveLeader('orders', 0, 2);
    expect(codeOf(await cluster.clock.outcome(sent, 2_100))).toBe('TIMEOUT false');
    expect(cluster.log('orders').values()).toEqual(['a']);
  });

  test('a record keeps its own time, though an older one waits before it', async () => {
    const cluster = await ScriptedCluster.start();
    cluster.createTopic('orders', [0]);
    const producer = cluster.client().producer({ deliveryTimeoutMs: 2_000 });
    const older = outcome(producer.send('orders', { value: 'a' }));
    await cluster.clock.pass(1_500);
    const newer = outcome(producer.send('orders', { value: 'b' }));
    expect(codeOf(await cluster.clock.outcome(older, 510))).toBe('EXPIRED true');
    await cluster.clock.pass(500);
    cluster.moveLeader('orders', 0, 1);
    expect(codeOf(await cluster.clock.outcome(newer, 100))).toBe('ok');
  });

  test('nobody reachable at first contact: UNREACHABLE, not a wait for ever', async () => {
    const cluster = await ScriptedCluster.start();
    const sluice = cluster.client({ bootstrap: ['nowhere:1', 'nowhere:2'], requestTimeoutMs: 3_000 });
    const failed = await cluster.clock.outcome(outcome(sluice.producer().send('orders', { value: '' })), 3_100);
    expect(codeOf(failed)).toBe('UNREACHABLE true');
    const listed = sluice.admin.listTopics().catch((thrown: unknown) => thrown);
    expect(await cluster.clock.outcome(listed, 3_100)).toMatchObject({ code: 'UNREACHABLE' });
  });
});

describe('bounds', () => {
  test('no more is under way than the server granted, and it goes on as credit returns', async () => {
    const cluster = await ScriptedCluster.start();
    cluster.createTopic('orders', [1, 1, 1, 1]);
    cluster.produceWindowBytes = 1_000;
    cluster.onProduce = () => 'drop';
    const producer = cluster.client().producer({ batchBytesMax: 500, requestTimeoutMs: 5_000 });
    const sends = Array.from({ length: 80 }, (_, at) =>
      producer.send('orders', { value: 'x'.repeat(100), partition: at % 4 }),
    );
    await cluster.clock.pass(1_000);
    const under = cluster.received.reduce((sum, { bytes }) => sum + bytes.length, 0);
    expect(under).toBeGreaterThanOrEqual(1_000);
    expect(under).toBeLessThan(1_500);
    cluster.onProduce = () => 'append';
    await cluster.clock.outcome(Promise.all(sends), 10_000);
  });

  test('send waits for room and expires there; post refuses and ready calls back', async () => {
    const cluster = await ScriptedCluster.start();
    cluster.createTopic('orders');
    cluster.onProduce = () => 'drop';
    const producer = cluster
      .client()
      .producer({ bufferBytesMax: 2_000, deliveryTimeoutMs: 5_000, requestTimeoutMs: 1_000 });
    const value = 'x'.repeat(336);
    const sends = Array.from({ length: 8 }, () => outcome(producer.send('orders', { value })));
    await cluster.clock.pass(3_000);
    expect(producer.bufferedBytes).toBe(2_000);
    expect(producer.post('orders', { value })).toBe(false);
    let ready = false;
    void producer.ready().then(() => {
      ready = true;
    });
    const late = outcome(producer.send('orders', { value }));
    await cluster.clock.settle();
    expect(ready).toBe(false);
    expect((await cluster.clock.outcome(Promise.all(sends), 2_100)).map(codeOf)).toEqual([
      ...Array.from({ length: 5 }, () => 'TIMEOUT false'),
      ...Array.from({ length: 3 }, () => 'EXPIRED true'),
    ]);
    cluster.onProduce = () => 'append';
    expect(codeOf(await cluster.clock.outcome(late, 5_000))).toBe('ok');
    expect(ready).toBe(true);
    expect(producer.bufferedBytes).toBe(0);
    let heard = -1;
    expect(producer.post('orders', { value }, (_error, { offset }) => (heard = offset))).toBe(true);
    await cluster.clock.outcome(producer.flush());
    expect(heard).toBe(cluster.log('orders').highWatermark - 1);
  });

  test('a failure of a post without a callback is told by flush', async () => {
    const cluster = await ScriptedCluster.start();
    cluster.createTopic('orders', [1], { recordBytesMax: '1024' });
    const producer = cluster.client().producer();
    producer.post('orders', { value: 'x'.repeat(2000) });
    await expect(cluster.clock.outcome(producer.flush())).rejects.toMatchObject({ code: 'RECORD_TOO_LARGE' });
    await cluster.clock.outcome(producer.flush());
  });

  test('an aborted send that waits for room leaves no trace; one that was taken goes on', async () => {
    const cluster = await ScriptedCluster.start();
    cluster.createTopic('orders');
    cluster.onProduce = () => 'drop';
    const producer = cluster.client().producer({ bufferBytesMax: 400, requestTimeoutMs: 1_000 });
    const abort = new AbortController();
    const taken = outcome(producer.send('orders', { value: 'x'.repeat(300) }, { signal: abort.signal }));
    const waiting = outcome(producer.send('orders', { value: 'y'.repeat(300) }, { signal: abort.signal }));
    await cluster.clock.pass(100);
    abort.abort();
    expect([codeOf(await taken), codeOf(await waiting)]).toEqual(['CANCELLED false', 'CANCELLED true']);
    cluster.onProduce = () => 'append';
    await cluster.clock.outcome(producer.flush());
    expect(cluster.log('orders').values()).toEqual(['x'.repeat(300)]);
  });
});

describe('topics and ends', () => {
  test('a node that will not have this client fails what is for it, at once and definitely', async () => {
    const cluster = await ScriptedCluster.start();
    cluster.createTopic('orders', [2]);
    cluster.nodes.get(2)!.refusing = true;
    const producer = cluster.client().producer();
    const refused = outcome(producer.send('orders', { value: 'a' }));
    expect(codeOf(await cluster.clock.outcome(refused, 100))).toBe('PERMISSION_DENIED true');
    cluster.nodes.get(2)!.refusing = false;
    await cluster.clock.outcome(producer.send('orders', { value: 'b' }), 2_000);
    expect(cluster.log('orders').values()).toEqual(['b']);
  });

  test('a deleted topic fails what was for it; its name made anew takes what comes', async () => {
    const cluster = await ScriptedCluster.start();
    cluster.createTopic('orders');
    cluster.onProduce = () => 'drop';
    const producer = cluster.client().producer({ batchBytesMax: 150 });
    const old = Array.from({ length: 7 }, () => outcome(producer.send('orders', { value: 'x'.repeat(80) })));
    await cluster.clock.pass(100);
    cluster.onProduce = () => 'append';
    cluster.deleteTopic('orders');
    cluster.createTopic('orders', [2]);
    await cluster.clock.settle();
    expect((await Promise.all(old)).map(codeOf)).toEqual([
      ...Array.from({ length: 5 }, () => 'UNKNOWN_TOPIC false'),
      'UNKNOWN_TOPIC true',
      'UNKNOWN_TOPIC true',
    ]);
    await cluster.clock.outcome(producer.send('orders', { value: 'new' }));
    expect(cluster.log('orders').values()).toEqual(['new']);
  });

  test('close is bounded while everything is down, and leaves no timer', async () => {
    const cluster = await ScriptedCluster.start();
    cluster.createTopic('orders');
    const sluice = cluster.client();
    const producer = sluice.producer();
    await cluster.clock.outcome(producer.send('orders', { value: 'a' }));
    for (const id of [1, 2, 3]) cluster.kill(id);
    const lost = outcome(producer.send('orders', { value: 'b' }));
    await cluster.clock.pass(5_000);
    await cluster.clock.outcome(sluice.close({ timeoutMs: 300 }), 350);
    expect(codeOf(await lost)).toMatch(/^CLOSED/);
    expect(codeOf(await outcome(producer.send('orders', { value: 'c' })))).toBe('CLOSED true');
    await cluster.clock.settle();
    expect(cluster.clock.timers).toBe(0);
  });

  test('without idempotence nothing whose outcome is unknown is sent twice', async () => {
    const cluster = await ScriptedCluster.start();
    cluster.createTopic('orders');
    const producer = cluster.client().producer({ acks: 'none', requestTimeoutMs: 500 });
    expect(await cluster.clock.outcome(producer.send('orders', { value: 'a' }))).toEqual({ partition: 0, offset: 0 });
    expect(cluster.received.at(-1)?.header.producerId).toBe(-1);
    cluster.onProduce = () => new SluiceError('NOT_LEADER');
    const refused = producer.send('orders', { value: 'b' });
    await cluster.clock.pass(50);
    cluster.onProduce = () => 'appendOnly';
    expect(codeOf(await cluster.clock.outcome(outcome(refused), 5_000))).toBe('CONNECTION_LOST false');
    expect(cluster.log('orders').values()).toEqual(['a', 'b']);
  });
});
