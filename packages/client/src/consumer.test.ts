import { SluiceError } from '@sluice/base';
import { BatchBuilder, draftOf, emptyBatch, unstamped } from '@sluice/record';
import { describe, expect, test } from 'vitest';
import type { ConsumerOptions, StartPosition } from './consumer-options.ts';
import type { Consumer } from './consumer.ts';
import type { ConsumedBatch } from './fetched-batch.ts';
import type { Sluice } from './sluice.ts';
import { ScriptedCluster } from './scripted-cluster.testing.ts';

const text = (bytes: Uint8Array | null): string => new TextDecoder().decode(bytes ?? new Uint8Array());

/** One batch in the log, of these values; each at its time, or at 0. */
function write(cluster: ScriptedCluster, topic: string, values: readonly (string | TimedValue)[], partition = 0): void {
  const builder = new BatchBuilder();
  for (const each of values) {
    const [text, timestamp] = typeof each === 'string' ? [each, 0] : each;
    builder.append(draftOf({ timestamp, key: null, value: new TextEncoder().encode(text), headers: [] }));
  }
  cluster.log(topic, partition).append(builder.build(unstamped), 0);
  for (const node of cluster.nodes.values()) for (const stream of node.fetchStreams) stream.pump();
}

type TimedValue = readonly [text: string, timestampMs: number];

/** Four batches of three records, from 0 to 11. */
function fill(cluster: ScriptedCluster, topic: string, partition = 0): void {
  for (let first = 0; first < 12; first += 3) {
    write(
      cluster,
      topic,
      [first, first + 1, first + 2].map((at) => `${partition}:${at}`),
      partition,
    );
  }
}

class Reading {
  readonly cluster: ScriptedCluster;
  readonly batches: AsyncGenerator<ConsumedBatch, void, undefined>;
  readonly values: string[] = [];
  readonly offsets: number[] = [];

  constructor(cluster: ScriptedCluster, consumer: Consumer, signal?: AbortSignal) {
    this.cluster = cluster;
    this.batches = consumer.batches({ signal });
  }

  async until(count: number, ms = 60_000): Promise<readonly string[]> {
    while (this.values.length < count) {
      const next = await this.cluster.clock.outcome(this.batches.next(), ms);
      if (next.done === true) break;
      for (const { value, offset } of next.value.records()) {
        this.values.push(text(value));
        this.offsets.push(offset);
      }
    }
    return this.values;
  }
}

const consumerOf = (sluice: Sluice, from?: StartPosition, options: Partial<ConsumerOptions> = {}): Consumer =>
  sluice.consumer({
    assignments: [{ topic: 'orders', partition: 0, ...(from === undefined ? {} : { from }) }],
    ...options,
  });

const upTo = (first: number, end: number): string[] =>
  Array.from({ length: end - first }, (_, at) => `0:${first + at}`);

async function filled(): Promise<ScriptedCluster> {
  const cluster = await ScriptedCluster.start();
  cluster.createTopic('orders');
  fill(cluster, 'orders');
  return cluster;
}

describe('where it begins', () => {
  const starts: readonly [StartPosition, number][] = [
    ['start', 0],
    [0, 0],
    [4, 4],
    [{ last: 2 }, 10],
    [{ last: 100 }, 0],
    [{ after: 5 }, 5],
  ];
  for (const [from, first] of starts) {
    test(`${JSON.stringify(from)} is offset ${first}, though a batch begins before it`, async () => {
      const cluster = await filled();
      const reading = new Reading(cluster, consumerOf(cluster.client(), from));
      expect(await reading.until(12 - first)).toEqual(upTo(first, 12));
      expect(reading.offsets[0]).toBe(first);
    });
  }

  test('the end gets only what comes later; so does a place ahead of the end', async () => {
    const cluster = await filled();
    const end = new Reading(cluster, consumerOf(cluster.client(), 'end'));
    const ahead = new Reading(cluster, consumerOf(cluster.client(), { after: 14 }));
    const first = end.until(1);
    const second = ahead.until(1);
    await cluster.clock.pass(50);
    write(cluster, 'orders', ['0:12', '0:13']);
    write(cluster, 'orders', ['0:14']);
    expect(await first).toEqual(['0:12', '0:13']);
    expect(await second).toEqual(['0:14']);
  });

  test('a time begins at its first record, inside the batch, and drops nothing behind it', async () => {
    const cluster = await ScriptedCluster.start();
    cluster.createTopic('orders');
    write(cluster, 'orders', [
      ['0:0', 100],
      ['0:1', 200],
    ]);
    write(cluster, 'orders', [['0:2', 120]]);
    write(cluster, 'orders', [
      ['0:3', 150],
      ['0:4', 300],
      ['0:5', 250],
    ]);
    write(cluster, 'orders', [['0:6', 10]]);
    const found = async (sinceMs: number, records: number): Promise<readonly number[]> => {
      const reading = new Reading(cluster, consumerOf(cluster.client(), { sinceMs }));
      await reading.until(records);
      return reading.offsets;
    };
    expect(await found(0, 7)).toEqual([0, 1, 2, 3, 4, 5, 6]);
    expect(await found(150, 6)).toEqual([1, 2, 3, 4, 5, 6]);
    expect(await found(201, 3)).toEqual([4, 5, 6]);
    // As where batches do not say their time: they hold none that counts.
    cluster.log('orders', 0).offsetSince = () => 0;
    expect(await found(201, 3)).toEqual([4, 5, 6]);
    const later = found(301, 2);
    await cluster.clock.pass(50);
    write(cluster, 'orders', [
      ['0:7', 20],
      ['0:8', 301],
    ]);
    write(cluster, 'orders', [['0:9', 0]]);
    expect(await later).toEqual([8, 9]);
    expect(() => consumerOf(cluster.client(), { sinceMs: -1 })).toThrow(/is no place to begin/);
  });

  test('an iteration that ended before it got anything looks for the time again', async () => {
    const cluster = await ScriptedCluster.start();
    cluster.createTopic('orders');
    write(cluster, 'orders', [
      ['0:0', 100],
      ['0:1', 300],
      ['0:2', 200],
    ]);
    const consumer = consumerOf(cluster.client(), { sinceMs: 200 });
    const abort = new AbortController();
    const ended = new Reading(cluster, consumer, abort.signal).until(1);
    abort.abort();
    await expect(ended).rejects.toMatchObject({ code: 'CANCELLED' });
    const again = new Reading(cluster, consumer);
    await again.until(2);
    expect(again.offsets).toEqual([1, 2]);
  });

  test('an offset that is not there is an error with its facts', async () => {
    const cluster = await filled();
    const reading = new Reading(cluster, consumerOf(cluster.client(), 40));
    await expect(reading.until(1)).rejects.toMatchObject({
      code: 'OFFSET_OUT_OF_RANGE',
      details: { topic: 'orders', partition: 0, offset: 40 },
    });
  });

  test('a start that retention takes away before it was read is asked for again, one that was given is an error', async () => {
    const cluster = await filled();
    cluster.onOffsetsListed = () => {
      if (cluster.log('orders', 0).logStart < 6) cluster.log('orders', 0).logStart += 3;
    };
    const reading = new Reading(cluster, consumerOf(cluster.client(), 'start'));
    expect(await reading.until(6)).toEqual(upTo(6, 12));
    const given = new Reading(cluster, consumerOf(cluster.client(), 0));
    await expect(given.until(1)).rejects.toMatchObject({ code: 'OFFSET_OUT_OF_RANGE', details: { offset: 0 } });
  });

  test('an unknown topic, an unknown partition and a bad assignment are errors', async () => {
    const cluster = await filled();
    const sluice = cluster.client();
    const topic = sluice.consumer({ assignments: [{ topic: 'nothing', partition: 0 }] });
    await expect(new Reading(cluster, topic).until(1)).rejects.toMatchObject({ code: 'UNKNOWN_TOPIC' });
    const partition = sluice.consumer({ assignments: [{ topic: 'orders', partition: 3 }] });
    await expect(new Reading(cluster, partition).until(1)).rejects.toMatchObject({ code: 'UNKNOWN_PARTITION' });
    expect(() => consumerOf(sluice, -1)).toThrow('-1 is no place to begin');
    expect(() => sluice.consumer({ assignments: [] })).toThrow('at least one');
  });
});

describe('going on', () => {
  test('a leader change in the middle: every record once, in order', async () => {
    const cluster = await filled();
    const reading = new Reading(cluster, consumerOf(cluster.client()));
    await reading.until(3);
    cluster.moveLeader('orders', 0, 2);
    cluster.kill(1);
    await cluster.clock.pass(100);
    write(cluster, 'orders', ['0:12']);
    expect(await reading.until(13)).toEqual(upTo(0, 13));
  });

  test('the leader dies, and only later is there another', async () => {
    const cluster = await filled();
    const reading = new Reading(cluster, consumerOf(cluster.client()));
    await reading.until(12);
    cluster.kill(1);
    await cluster.clock.pass(3_000);
    cluster.moveLeader('orders', 0, 3);
    await cluster.clock.settle();
    write(cluster, 'orders', ['0:12']);
    expect(await reading.until(13, 10)).toEqual(upTo(0, 13));
  });

  test('errors of one subscription are met by another, with a number never used before', async () => {
    const cluster = await filled();
    const reading = new Reading(cluster, consumerOf(cluster.client()));
    await reading.until(12);
    for (const code of ['NOT_LEADER', 'UNKNOWN_LEADER_EPOCH', 'OFFSET_NOT_AVAILABLE', 'INTERNAL'] as const) {
      for (const stream of cluster.nodes.get(1)!.fetchStreams) stream.fail(new SluiceError(code));
      await cluster.clock.pass(2_000);
    }
    write(cluster, 'orders', ['0:12']);
    expect(await reading.until(13)).toEqual(upTo(0, 13));
    const numbers = cluster.fetches.flatMap(({ start }) => start.map(({ subscription }) => subscription));
    expect(numbers).toEqual([1, 2, 3, 4, 5]);
    expect(cluster.statuses.filter(({ kind }) => kind === 'resuming')).toHaveLength(4);
  });

  test('a damaged batch is fetched again, and reported when it stays damaged', async () => {
    const cluster = await filled();
    let damage = 1;
    cluster.onSend = (batches) => {
      for (const batch of batches) {
        if (damage > 0) batch[70] = 255 - batch[70]!;
        damage -= 1;
      }
      return batches;
    };
    const sluice = cluster.client();
    expect(await new Reading(cluster, consumerOf(sluice)).until(12)).toEqual(upTo(0, 12));
    damage = 100;
    await expect(new Reading(cluster, consumerOf(sluice)).until(12)).rejects.toMatchObject({ code: 'CORRUPT_BATCH' });
  });

  test('a batch that comes twice is handed out once', async () => {
    const cluster = await filled();
    cluster.onSend = (batches) => batches.flatMap((batch) => [batch, batch]);
    expect(await new Reading(cluster, consumerOf(cluster.client())).until(12)).toEqual(upTo(0, 12));
  });

  test('control batches are hidden, and their offsets are passed', async () => {
    const cluster = await ScriptedCluster.start();
    cluster.createTopic('orders');
    write(cluster, 'orders', ['a']);
    write(cluster, 'orders', ['marker']);
    write(cluster, 'orders', ['b']);
    const { crc32c } = await import('@sluice/record');
    const control = cluster.log('orders').batches[1]!;
    const view = new DataView(control.buffer, control.byteOffset, control.byteLength);
    view.setUint16(21, 0x20);
    view.setUint32(17, crc32c(control.subarray(21)));
    const reading = new Reading(cluster, consumerOf(cluster.client()));
    expect(await reading.until(2)).toEqual(['a', 'b']);
    expect(reading.offsets).toEqual([0, 2]);
  });

  test('where compaction left no records the application hears how far it is', async () => {
    const cluster = await ScriptedCluster.start();
    cluster.createTopic('orders');
    write(cluster, 'orders', ['a', 'b']);
    write(cluster, 'orders', ['c']);
    const log = cluster.log('orders');
    const end = log.highWatermark;
    log.batches.splice(
      0,
      log.batches.length,
      emptyBatch({ baseOffset: 0, endOffset: end, leaderEpoch: 0, maxTimestamp: 5 }),
    );
    for (const from of [0, 1, 'start', { sinceMs: 4 }] as const) {
      const consumer = cluster.client().consumer({ assignments: [{ topic: 'orders', partition: 0, from }] });
      const first = await cluster.clock.outcome(consumer.batches()[Symbol.asyncIterator]().next());
      expect(first.value).toMatchObject({ nextOffset: end, highWatermark: end });
      expect([...(first.value?.records() ?? [])]).toEqual([]);
    }
  });

  test('a deleted topic ends it', async () => {
    const cluster = await filled();
    const reading = new Reading(cluster, consumerOf(cluster.client()));
    await reading.until(12);
    const more = reading.until(13);
    await cluster.clock.settle();
    cluster.deleteTopic('orders');
    await expect(more).rejects.toMatchObject({ code: 'UNKNOWN_TOPIC' });
  });

  test('a watch that falls silent is replaced, and the change it hid is followed', async () => {
    const cluster = await filled();
    const reading = new Reading(cluster, consumerOf(cluster.client()));
    await reading.until(12);
    cluster.network.cut('client', 'node-1');
    cluster.moveLeader('orders', 0, 2);
    write(cluster, 'orders', ['0:12']);
    const startMs = cluster.clock.monotonicMs();
    expect(await reading.until(13)).toEqual(upTo(0, 13));
    expect(cluster.clock.monotonicMs() - startMs).toBeLessThan(6_000);
  });
});

describe('bounds', () => {
  test('no more is fetched than credit allows until the application takes it', async () => {
    const cluster = await ScriptedCluster.start();
    cluster.createTopic('orders');
    for (let at = 0; at < 100; at += 1) write(cluster, 'orders', [`${at}:${'x'.repeat(10_000)}`]);
    let sent = 0;
    cluster.onSend = (batches) => {
      for (const batch of batches) sent += batch.length;
      return batches;
    };
    const reading = new Reading(cluster, consumerOf(cluster.client(), 'start', { creditBytes: 100_000 }));
    await reading.until(1);
    await cluster.clock.pass(5_000);
    expect(sent).toBeGreaterThan(90_000);
    expect(sent).toBeLessThan(150_000);
    expect(await reading.until(100)).toHaveLength(100);
  });

  test('break releases everything; another iteration goes on where the first one stood', async () => {
    const cluster = await filled();
    const sluice = cluster.client();
    const consumer = consumerOf(sluice);
    const first = new Reading(cluster, consumer);
    await first.until(3);
    await expect(consumer.batches().next()).rejects.toMatchObject({ code: 'INVALID_CONFIG' });
    await cluster.clock.outcome(first.batches.return());
    await cluster.clock.pass(10);
    expect([...cluster.nodes.values()].map((node) => node.fetchStreams.size)).toEqual([0, 0, 0]);
    expect(consumer.position('orders', 0)).toBe(3);
    const second = new Reading(cluster, consumer);
    expect(await second.until(9)).toEqual(upTo(3, 12));
    await cluster.clock.outcome(sluice.close());
    expect(cluster.clock.timers).toBe(0);
  });

  test('close ends an iteration that waits, also while nothing can be reached', async () => {
    const cluster = await filled();
    const sluice = cluster.client();
    const consumer = consumerOf(sluice);
    const reading = new Reading(cluster, consumer);
    await reading.until(12);
    for (const id of [1, 2, 3]) cluster.kill(id);
    const next = reading.batches.next();
    await cluster.clock.pass(4_000);
    await cluster.clock.outcome(sluice.close(), 0);
    expect(await next).toEqual({ done: true, value: undefined });
    await cluster.clock.settle();
    expect(cluster.clock.timers).toBe(0);
  });

  test('an aborted signal ends it with CANCELLED', async () => {
    const cluster = await filled();
    const abort = new AbortController();
    const reading = new Reading(cluster, consumerOf(cluster.client()), abort.signal);
    await reading.until(12);
    const more = reading.until(13);
    abort.abort();
    await expect(more).rejects.toMatchObject({ code: 'CANCELLED' });
  });

  test('many partitions on several leaders: each in order', async () => {
    const cluster = await ScriptedCluster.start();
    cluster.createTopic('orders', [1, 2, 3, 1]);
    for (const partition of [0, 1, 2, 3]) fill(cluster, 'orders', partition);
    const assignments = [0, 1, 2, 3].map((partition) => ({ topic: 'orders', partition }));
    const consumer = cluster.client().consumer({ assignments });
    const reading = new Reading(cluster, consumer);
    const values = await reading.until(48);
    for (const partition of [0, 1, 2, 3]) {
      const own = values.filter((value) => value.startsWith(`${partition}:`));
      expect(own).toEqual(Array.from({ length: 12 }, (_, at) => `${partition}:${at}`));
      expect(consumer.position('orders', partition)).toBe(12);
    }
  });
});
