import { SeededRandom, SluiceError } from '@sluice/base';
import { draftOf, readBatchHeader } from '@sluice/record';
import { describe, expect, test } from 'vitest';
import { nodeCompression } from './compression.ts';
import { PartitionQueue, type QueuePorts } from './partition-queue.ts';
import type { Attempt } from './pending-batch.ts';
import { ManualClock } from '@sluice/wire';

function queueWith(requestProducerId: QueuePorts['requestProducerId'], batchBytesMax = 1_000): PartitionQueue {
  const ports: QueuePorts = {
    clock: new ManualClock(),
    random: new SeededRandom(1),
    decompress: nodeCompression.decompress,
    wake: () => undefined,
    requestProducerId,
    refreshMetadata: () => undefined,
    onDecided: () => undefined,
    onRetry: () => undefined,
    onBusy: () => undefined,
    onThrown: () => undefined,
  };
  const options = {
    topic: 'orders',
    topicId: '0'.repeat(32),
    idempotent: true,
    batchBytesMax,
    lingerMs: 0,
    deliveryTimeoutMs: 1_000,
    compressor: undefined,
  };
  const metadata = { partition: 0, leader: 1, leaderEpoch: 0, replicas: [1], isr: [1], elr: [], partitionEpoch: 0 };
  return new PartitionQueue(options, metadata, ports);
}

test('when all epochs of a producer id are used up, a fresh id is asked for', () => {
  const asked: boolean[] = [];
  const queue = queueWith((waiting, fresh) => {
    asked.push(fresh);
    waiting.begin(asked.length);
  });
  const failOne = (): { producerId: number; producerEpoch: number; baseSequence: number } => {
    queue.append(draftOf({ timestamp: 0, key: null, value: null, headers: [] }), undefined, 1_000, 0);
    const taken = queue.takeFor(1)!;
    const header = readBatchHeader(taken.bytes);
    queue.onFailed(taken.attempt, new SluiceError('CORRUPT_BATCH'));
    return header.ok ? header.value : { producerId: -2, producerEpoch: -2, baseSequence: -2 };
  };
  const wrong: unknown[] = [];
  for (let epoch = 0; epoch <= 0x7fff; epoch += 1) {
    const stamp = failOne();
    if (stamp.producerId !== 1 || stamp.producerEpoch !== epoch || stamp.baseSequence !== 0) wrong.push(stamp);
  }
  expect(wrong).toEqual([]);
  expect(failOne()).toMatchObject({ producerId: 2, producerEpoch: 0, baseSequence: 0 });
  expect(asked).toEqual([false, true]);
});

describe('what may go', () => {
  const value = new Uint8Array(3_000);
  const add = (queue: PartitionQueue, count: number): void => {
    for (let at = 0; at < count; at += 1) {
      queue.append(draftOf({ timestamp: 0, key: null, value, headers: [] }), undefined, 1_000, 0);
    }
  };
  const queue = (): PartitionQueue => queueWith((waiting) => waiting.begin(1), 64_000);
  const takeAll = (from: PartitionQueue): Attempt[] => {
    const attempts: Attempt[] = [];
    for (let taken = from.takeFor(1); taken !== undefined; taken = from.takeFor(1)) attempts.push(taken.attempt);
    return attempts;
  };
  const counts = (attempts: readonly Attempt[]): number[] => attempts.map(({ batch }) => batch.recordCount);

  test('small batches go at once, whatever is under way, five at most', () => {
    const small = queue();
    const taken: number[] = [];
    for (let at = 0; at < 6; at += 1) {
      add(small, 1);
      taken.push(...counts(takeAll(small)));
    }
    expect(taken).toEqual([1, 1, 1, 1, 1]);
  });

  test('with much under way a batch gathers until an answer comes', () => {
    const busy = queue();
    add(busy, 6);
    const [first] = takeAll(busy);
    add(busy, 3);
    expect(counts(takeAll(busy))).toEqual([]);
    add(busy, 4);
    busy.onDelivered(first!, 0);
    expect(counts(takeAll(busy))).toEqual([7]);
  });

  test('full batches do not wait, and nothing waits when sealed', () => {
    const busy = queue();
    add(busy, 6);
    takeAll(busy);
    add(busy, 45);
    expect(counts(takeAll(busy))).toEqual([21, 21]);
    busy.seal();
    expect(counts(takeAll(busy))).toEqual([3]);
  });
});
