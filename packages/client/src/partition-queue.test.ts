import { SeededRandom, SluiceError } from '@sluice/base';
import { draftOf, readBatchHeader } from '@sluice/record';
import { expect, test } from 'vitest';
import { nodeCompression } from './node-compression.ts';
import { PartitionQueue, type QueuePorts } from './partition-queue.ts';
import { ManualClock } from '@sluice/wire';

function queueWith(requestProducerId: QueuePorts['requestProducerId']): PartitionQueue {
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
    batchBytesMax: 1_000,
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
