import { SeededRandom, SluiceError } from '@sluice/base';
import { draftOf, readBatchHeader } from '@sluice/record';
import { describe, expect, test } from 'vitest';
import { nodeCompression } from './compression.ts';
import { PartitionQueue, type QueuePorts } from './partition-queue.ts';
import type { Attempt } from './pending-batch.ts';
import { ManualClock } from '@sluice/wire';

function queueWith(
  requestProducerId: QueuePorts['requestProducerId'],
  batchBytesMax = 1_000,
  clock = new ManualClock(),
): PartitionQueue {
  const ports: QueuePorts = {
    clock,
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

describe('a leader that is new', () => {
  const metadata = { partition: 0, leader: 2, leaderEpoch: 5, replicas: [1, 2], isr: [2], elr: [], partitionEpoch: 5 };
  const notLeader = (leaderEpoch: number | null): SluiceError =>
    new SluiceError('NOT_LEADER', { details: { leaderEpoch } });
  const tooFew = new SluiceError('NOT_ENOUGH_REPLICAS');

  function moved() {
    const clock = new ManualClock();
    const queue = queueWith((waiting) => waiting.begin(1), 1_000, clock);
    queue.append(draftOf({ timestamp: 0, key: null, value: null, headers: [] }), undefined, 100_000, 0);
    queue.onMetadata(metadata);
    /** How long the batch waits after each refusal, until it may go again. */
    const waitsMs = async (errors: readonly SluiceError[]): Promise<number[]> => {
      const waits: number[] = [];
      for (const error of errors) {
        queue.onFailed(queue.takeFor(2)!.attempt, error);
        const sinceMs = clock.monotonicMs();
        while (!isReady(queue) && clock.monotonicMs() - sinceMs < 2_000) await clock.pass(1);
        waits.push(clock.monotonicMs() - sinceMs);
      }
      return waits;
    };
    return { clock, queue, waitsMs };
  }

  /** Looks without taking: what is taken is sent. */
  const isReady = (queue: PartitionQueue): boolean => {
    const taken = queue.takeFor(2);
    if (taken === undefined) return false;
    taken.attempt.batch.state = 'waiting';
    return true;
  };

  test('one that has not heard of it yet gets the batch again within milliseconds, the pauses doubling', async () => {
    const { waitsMs } = moved();
    for (const [at, waited] of (await waitsMs([4, 4, 4, 4, 4].map(notLeader))).entries()) {
      expect(waited).toBeGreaterThanOrEqual(2 ** at);
      expect(waited).toBeLessThanOrEqual(2 ** (at + 1));
    }
  });

  test('so does one that is still loading the partition, and one that has not heard of its followers', async () => {
    const { waitsMs } = moved();
    expect(Math.max(...(await waitsMs([notLeader(null), tooFew])))).toBeLessThanOrEqual(4);
  });

  test('each change of the leader begins with the shortest pause', async () => {
    const { queue, waitsMs } = moved();
    await waitsMs(Array.from({ length: 8 }, () => notLeader(4)));
    queue.onMetadata({ ...metadata, leaderEpoch: 6, partitionEpoch: 6 });
    expect((await waitsMs([notLeader(5)]))[0]).toBeLessThanOrEqual(2);
  });

  test('one that knows a newer leader, or has long been one, gets it after the ordinary pause', async () => {
    const { clock, waitsMs } = moved();
    const [newer = 0] = await waitsMs([notLeader(6)]);
    await clock.pass(1_000);
    const [late = 0] = await waitsMs([tooFew]);
    expect(newer).toBeGreaterThanOrEqual(20);
    expect(late).toBeGreaterThanOrEqual(20);
  });
});
