import { isSluiceError, SluiceError } from '@sluice/base';
import { partitionForKey } from '@sluice/record';
import { expect, test } from 'vitest';
import type { Deliveries } from './deliveries.ts';
import type { ProducerRecord } from './producer-record.ts';
import { ScriptedCluster } from './scripted-cluster.testing.ts';

const valuesOf = (count: number, prefix = 'value'): ProducerRecord[] =>
  Array.from({ length: count }, (_, at) => ({ value: `${prefix} ${at}` }));

const outcome = async (promise: Promise<Deliveries>): Promise<Deliveries | SluiceError> =>
  promise.catch((thrown: unknown) => {
    if (isSluiceError(thrown)) return thrown;
    throw thrown;
  });

const refused = (result: Deliveries | SluiceError): SluiceError => {
  if (isSluiceError(result)) return result;
  throw new Error('all records were delivered');
};

async function oneTopic(leaders: readonly number[] = [1], config = {}): Promise<ScriptedCluster> {
  const cluster = await ScriptedCluster.start();
  cluster.createTopic('orders', leaders, config);
  return cluster;
}

test('the records lie in their order, one range a batch, and every one is found', async () => {
  const cluster = await oneTopic();
  const producer = cluster.client().producer({ batchBytesMax: 1000 });
  const records = valuesOf(500);
  const deliveries = await cluster.clock.outcome(producer.sendMany('orders', records));
  expect(cluster.log('orders').values()).toEqual(records.map(({ value }) => value));
  expect(deliveries.length).toBe(500);
  expect([...deliveries].map(({ offset }) => offset)).toEqual(records.map((_, at) => at));
  expect([0, 7, 499].map((at) => deliveries.at(at))).toEqual([0, 7, 499].map((offset) => ({ partition: 0, offset })));
  expect([-1, 500].map((at) => deliveries.at(at))).toEqual([undefined, undefined]);
  expect([...deliveries.ranges()]).toHaveLength(cluster.received.length);
});

test('keyed and keyless records of one call, among others, tell where each of them lies', async () => {
  const cluster = await oneTopic([1, 2, 3]);
  const producer = cluster.client().producer({ batchBytesMax: 2000 });
  await cluster.clock.outcome(producer.send('orders', { value: 'warm' }));
  const records = Array.from({ length: 300 }, (_, at) => ({
    ...(at % 3 === 0 ? {} : { key: `ключ ${at}` }),
    value: `value ${at}`,
  }));
  const calls = [producer.sendMany('orders', records.slice(0, 100))];
  const posted = producer.send('orders', { value: 'between' });
  calls.push(producer.sendMany('orders', records.slice(100)));
  const [first, second] = await cluster.clock.outcome(Promise.all(calls));
  await cluster.clock.outcome(posted);
  const places = [...first!, ...second!];
  expect(places).toHaveLength(300);
  for (const [at, { key, value }] of records.entries()) {
    const { partition, offset } = places[at]!;
    expect(cluster.log('orders', partition).values()[offset]).toBe(value);
    const expected = key === undefined ? partition : partitionForKey(new TextEncoder().encode(key), 3);
    expect(partition).toBe(expected);
    expect(at < 100 ? first!.at(at) : second!.at(at - 100)).toEqual(places[at]);
  }
});

test('no records are delivered at once', async () => {
  const cluster = await oneTopic();
  const deliveries = await cluster.clock.outcome(cluster.client().producer().sendMany('orders', []));
  expect([...deliveries]).toEqual([]);
});

test('what fails rejects when all is decided, with counts; the rest is delivered', async () => {
  const cluster = await oneTopic([1], { recordBytesMax: '2048' });
  const producer = cluster.client().producer({ bufferBytesMax: 10_000 });
  const records = [...valuesOf(3), { value: 'x'.repeat(3000) }, { value: 'x'.repeat(20_000) }, ...valuesOf(2, 'late')];
  const told: unknown[] = [];
  const call = producer.sendMany('orders', records, { onFailed: (index, { code }) => told.push(`${index} ${code}`) });
  const error = refused(await cluster.clock.outcome(outcome(call)));
  expect(error).toMatchObject({ code: 'RECORD_TOO_LARGE', definite: false, details: { failed: 2, records: 7 } });
  expect(new Set(told)).toEqual(new Set(['3 RECORD_TOO_LARGE', '4 RECORD_TOO_LARGE']));
  expect(cluster.log('orders').values()).toEqual(['value 0', 'value 1', 'value 2', 'late 0', 'late 1']);
});

test('a batch that fails for good tells each of its records; definite when nothing is in the log', async () => {
  const cluster = await oneTopic();
  const producer = cluster.client().producer({ batchBytesMax: 300 });
  await cluster.clock.outcome(producer.send('orders', { value: 'warm' }));
  let at = 0;
  cluster.onProduce = () => {
    at += 1;
    return at === 2 ? new SluiceError('CORRUPT_BATCH') : 'append';
  };
  const told: number[] = [];
  const records = valuesOf(60);
  const call = producer.sendMany('orders', records, { onFailed: (index) => told.push(index) });
  const error = refused(await cluster.clock.outcome(outcome(call)));
  expect(error).toMatchObject({ code: 'CORRUPT_BATCH', definite: false, details: { failed: told.length } });
  const missing = records.filter((_, index) => told.includes(index)).map(({ value }) => value);
  const log = cluster.log('orders').values();
  expect(missing.length).toBeGreaterThan(5);
  expect(new Set([...log.slice(1), ...missing])).toEqual(new Set(records.map(({ value }) => value)));
  expect(log.length + missing.length).toBe(61);
  cluster.onProduce = () => new SluiceError('CORRUPT_BATCH');
  const none = refused(await cluster.clock.outcome(outcome(producer.sendMany('orders', valuesOf(50)))));
  expect(none).toMatchObject({ code: 'CORRUPT_BATCH', definite: true, details: { failed: 50, records: 50 } });
});

test('a record that cannot be sent at all fails alone, at once or after it waited', async () => {
  const cluster = await oneTopic();
  const spoilt = [{ value: 'x', timestamp: -1 }, { value: 5 }, { value: undefined }, { key: {}, value: null }];
  for (const bufferBytesMax of [100_000, 500]) {
    const producer = cluster.client().producer({ bufferBytesMax });
    const records = [...valuesOf(10), ...spoilt, ...valuesOf(10)] as ProducerRecord[];
    const told: string[] = [];
    const onFailed = (index: number, { code, definite }: SluiceError): void => {
      told.push(`${index} ${code} ${definite}`);
    };
    const error = refused(await cluster.clock.outcome(outcome(producer.sendMany('orders', records, { onFailed }))));
    expect(error).toMatchObject({ code: 'INVALID_BATCH', definite: false, details: { failed: 4, records: 24 } });
    expect(told).toEqual([10, 11, 12, 13].map((index) => `${index} INVALID_BATCH true`));
    expect(cluster.log('orders').values().slice(-20)).toEqual(
      [...valuesOf(10), ...valuesOf(10)].map(({ value }) => value),
    );
    expect(producer.bufferedBytes).toBe(0);
    expect(() => producer.post('orders', spoilt[1] as unknown as ProducerRecord)).toThrow(/text, bytes or null/);
  }
});

test('records that the caller spoils, and a list that it empties, while they wait fail and are settled', async () => {
  const cluster = await oneTopic();
  const producer = cluster.client().producer({ bufferBytesMax: 1_000 });
  const records = valuesOf(50) as { value: string | undefined }[];
  const call = outcome(producer.sendMany('orders', records as ProducerRecord[]));
  for (const record of records) record.value = undefined;
  records.length = 0;
  const error = refused(await cluster.clock.outcome(call));
  expect(error).toMatchObject({ code: 'INVALID_BATCH', details: { failed: 50, records: 50 } });
  expect(producer.bufferedBytes).toBe(0);
});

test('a call larger than the buffer waits for room piece by piece, and nobody overtakes it', async () => {
  const cluster = await oneTopic();
  const producer = cluster.client().producer({ bufferBytesMax: 2_000, batchBytesMax: 500 });
  let most = 0;
  cluster.onProduce = () => {
    most = Math.max(most, producer.bufferedBytes);
    return 'append';
  };
  const first = valuesOf(300);
  const second = valuesOf(300, 'second');
  const calls = [producer.sendMany('orders', first), producer.sendMany('orders', second)];
  const last = producer.send('orders', { value: 'last' });
  expect(producer.post('orders', { value: 'refused' })).toBe(false);
  await cluster.clock.outcome(Promise.all([...calls, last, producer.flush()]));
  expect(cluster.log('orders').values()).toEqual([...first, ...second, { value: 'last' }].map(({ value }) => value));
  expect(most).toBeGreaterThan(1_500);
  expect(most).toBeLessThanOrEqual(2_000);
  expect(producer.bufferedBytes).toBe(0);
});

test('a record that the topic refuses while a call waits lets the next in, in order', async () => {
  const cluster = await oneTopic([1], { recordBytesMax: '100' });
  const producer = cluster.client().producer({ bufferBytesMax: 1_000, batchBytesMax: 500 });
  const records = valuesOf(100).flatMap((record) => [record, { value: 'x'.repeat(101) }]);
  const error = refused(await cluster.clock.outcome(outcome(producer.sendMany('orders', records))));
  expect(error).toMatchObject({ code: 'RECORD_TOO_LARGE', details: { failed: 100, records: 200 } });
  expect(cluster.log('orders').values()).toEqual(valuesOf(100).map(({ value }) => value));
  expect(producer.bufferedBytes).toBe(0);
});

test('records that the caller changes while they wait are accounted for as they are sent', async () => {
  const cluster = await oneTopic();
  const producer = cluster.client().producer({ bufferBytesMax: 1_000 });
  const records = Array.from({ length: 50 }, () => ({ value: 'x' }));
  const call = producer.sendMany('orders', records);
  for (const record of records) record.value = 'longer than before';
  await cluster.clock.outcome(call);
  expect(producer.bufferedBytes).toBe(0);
});

test('an aborted call withdraws what waits', async () => {
  const cluster = await oneTopic();
  const producer = cluster.client().producer({ bufferBytesMax: 2_000 });
  await cluster.clock.outcome(producer.send('orders', { value: 'warm' }));
  cluster.onProduce = () => 'drop';
  const abort = new AbortController();
  const begun = outcome(producer.sendMany('orders', valuesOf(100), { signal: abort.signal }));
  const waiting = outcome(producer.sendMany('orders', valuesOf(100, 'second'), { signal: abort.signal }));
  await cluster.clock.pass(100);
  abort.abort();
  const results = await cluster.clock.outcome(Promise.all([begun, waiting]));
  expect(results).toMatchObject([
    { code: 'CANCELLED', definite: false },
    { code: 'CANCELLED', definite: true },
  ]);
  cluster.onProduce = () => 'append';
  cluster.network.disconnect('client', 'node-1');
  await cluster.clock.outcome(producer.flush());
  const values = cluster.log('orders').values();
  expect(values.length).toBeLessThan(40);
  expect(values.filter((value) => value.startsWith('second'))).toEqual([]);
  expect(codeOf(await outcome(producer.sendMany('orders', valuesOf(1), { signal: abort.signal })))).toBe('CANCELLED');
});

test('a call of which something was sent after it had waited is no longer certain', async () => {
  const cluster = await oneTopic();
  const producer = cluster.client().producer({ bufferBytesMax: 2_000 });
  cluster.onProduce = () => (cluster.received.length <= 1 ? 'append' : 'drop');
  const first = producer.sendMany('orders', valuesOf(27));
  const abort = new AbortController();
  const call = outcome(producer.sendMany('orders', valuesOf(100, 'second'), { signal: abort.signal }));
  await cluster.clock.outcome(first);
  abort.abort();
  expect(refused(await cluster.clock.outcome(call))).toMatchObject({ code: 'CANCELLED', definite: false });
});

const codeOf = (result: Deliveries | SluiceError): string => (isSluiceError(result) ? result.code : 'ok');

test('the deadline is of the whole call, also for what waits for room or for its topic', async () => {
  const cluster = await oneTopic([0]);
  const producer = cluster.client().producer({ bufferBytesMax: 2_000, deliveryTimeoutMs: 2_000 });
  const call = outcome(producer.sendMany('orders', valuesOf(100)));
  const error = refused(await cluster.clock.outcome(call, 2_100));
  expect(error).toMatchObject({ code: 'EXPIRED', definite: true, details: { failed: 100, records: 100 } });
  expect(producer.bufferedBytes).toBe(0);
});

test('close fails what it cannot deliver, and a closed producer takes nothing', async () => {
  const cluster = await oneTopic();
  cluster.onProduce = () => 'drop';
  const producer = cluster.client().producer({ bufferBytesMax: 2_000, batchBytesMax: 300 });
  const call = outcome(producer.sendMany('orders', valuesOf(100)));
  await cluster.clock.pass(100);
  await cluster.clock.outcome(producer.close({ timeoutMs: 10 }));
  expect(refused(await call)).toMatchObject({ code: 'CLOSED', definite: false, details: { failed: 100 } });
  expect(codeOf(await outcome(producer.sendMany('orders', valuesOf(1))))).toBe('CLOSED');
});

test('an unknown topic fails all of them', async () => {
  const cluster = await oneTopic();
  const producer = cluster.client().producer();
  const error = refused(await cluster.clock.outcome(outcome(producer.sendMany('nothing', valuesOf(3))), 2_000));
  expect(error).toMatchObject({ code: 'UNKNOWN_TOPIC', definite: true, details: { failed: 3, records: 3 } });
});

test('an onFailed that throws surfaces as the error of the caller, and the others are told', async () => {
  const cluster = await oneTopic();
  cluster.onProduce = () => new SluiceError('CORRUPT_BATCH');
  const told: number[] = [];
  const onFailed = (index: number): void => {
    told.push(index);
    throw new Error('of the caller');
  };
  const call = outcome(cluster.client().producer().sendMany('orders', valuesOf(3), { onFailed }));
  await expect(cluster.clock.outcome(call)).rejects.toThrow('of the caller');
  expect(told).toEqual([0, 1, 2]);
  expect(codeOf(await call)).toBe('CORRUPT_BATCH');
});
