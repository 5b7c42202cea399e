/** State snapshots: what they tell is what a scan of the whole log tells, and bytes that are none are refused. */
import { leaderEpoch, offset, producerEpoch, producerId } from '@sluice/base';
import { SeededRandom } from '@sluice/base';
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import type { BatchFacts, EpochStart, ProducerSnapshot } from './events.ts';
import { LogScan } from './log-scan.ts';
import { ProducerStates } from './producer-state.ts';
import { decodeSnapshot, encodeSnapshot, type ReplicaSnapshot } from './state-snapshot.ts';

const countMax = 1000;

/** A log as leaders make it: epochs that grow, producers that number their batches and begin anew. */
function randomLog(random: SeededRandom, length: number): BatchFacts[] {
  const batches: BatchFacts[] = [];
  const next = new Map<number, { epoch: number; sequence: number }>();
  let epoch = 0;
  let end = random.below(3) === 0 ? random.below(1000) * 2 ** 33 : 0;
  for (let n = 0; n < length; n += 1) {
    if (random.below(8) === 0) epoch += 1 + random.below(3);
    const records = 1 + random.below(5);
    const id = random.below(6);
    const known = next.get(id) ?? { epoch: 0, sequence: random.below(2) === 0 ? 0 : 2 ** 31 - 2 };
    const producer = random.below(10) === 0 ? { epoch: known.epoch + 1, sequence: 0 } : known;
    next.set(id, { ...producer, sequence: (producer.sequence + records) % 2 ** 31 });
    batches.push({
      bytes: 100,
      baseOffset: offset(end),
      endOffset: offset(end + records),
      leaderEpoch: leaderEpoch(epoch),
      producer:
        id === 0
          ? undefined
          : {
              producerId: producerId(id),
              producerEpoch: producerEpoch(producer.epoch),
              baseSequence: producer.sequence,
            },
    });
    end += records;
  }
  return batches;
}

const scanOf = (batches: readonly BatchFacts[], known?: ReplicaSnapshot): LogScan => {
  const scan = new LogScan(countMax, known);
  for (const batch of batches) scan.add(batch);
  return scan;
};

const stateOf = (scan: LogScan): readonly [readonly EpochStart[], readonly ProducerSnapshot[]] => [
  scan.epochs,
  scan.producers(),
];

const snapshotOf = (batches: readonly BatchFacts[]): ReplicaSnapshot => {
  const scan = scanOf(batches);
  return { logEnd: batches.at(-1)?.endOffset ?? offset(0), epochs: scan.epochs, producers: scan.producers() };
};

test('a snapshot and the batches behind it tell what all batches tell', () => {
  for (let seed = 1; seed <= 400; seed += 1) {
    const random = new SeededRandom(seed);
    const log = randomLog(random, random.below(60));
    const at = random.below(log.length + 1);
    const taken = snapshotOf(log.slice(0, at));
    const known = decodeSnapshot(encodeSnapshot(taken), taken.logEnd);
    expect(known, `seed ${seed}`).toEqual(taken);
    expect(stateOf(scanOf(log.slice(at), known)), `seed ${seed}`).toEqual(stateOf(scanOf(log)));
  }
});

test('it tells of producers whose batches are gone, and how long they have been idle', () => {
  const states = new ProducerStates(countMax);
  const facts = { producerId: producerId(7), producerEpoch: producerEpoch(3), baseSequence: 4 };
  states.record({ baseOffset: offset(10), endOffset: offset(12), producer: facts }, 1000.5);
  const taken = { logEnd: offset(12), epochs: [], producers: states.snapshots(61_000.7) };
  const known = decodeSnapshot(encodeSnapshot(taken), offset(12));
  const again = new ProducerStates(countMax);
  for (const producer of new LogScan(countMax, known).producers()) again.load(producer, offset(12), 5000);
  expect(again.judge(facts, 2, 5000)).toMatchObject({ kind: 'duplicate', batch: { baseOffset: 10, endOffset: 12 } });
  again.expire(5000 - 60_000);
  expect(again.count).toBe(1);
  again.expire(5000 - 59_999);
  expect(again.count).toBe(0);
});

test('the newest producers stay when there are too many', () => {
  const log = randomLog(new SeededRandom(5), 60);
  const known = snapshotOf(log);
  const kept = new LogScan(2, known).producers();
  expect(kept).toEqual(known.producers.slice(-2));
});

test('a batch of an older epoch than the snapshot knows contradicts it', () => {
  const [first] = randomLog(new SeededRandom(1), 1);
  const known = { logEnd: offset(1), epochs: [{ epoch: leaderEpoch(2), startOffset: offset(0) }], producers: [] };
  const batch = (epoch: number): BatchFacts => ({ ...first!, leaderEpoch: leaderEpoch(epoch) });
  expect([1, 2, 3].map((epoch) => new LogScan(1, known).contradicts(batch(epoch)))).toEqual([true, false, false]);
  expect(new LogScan(1).contradicts(batch(0))).toBe(false);
});

test('a log that was empty goes on inside a batch', () => {
  const [batch] = randomLog(new SeededRandom(1), 1);
  const known = { logEnd: offset(37), epochs: [{ epoch: leaderEpoch(1), startOffset: offset(36) }], producers: [] };
  const scan = new LogScan(1, known);
  scan.add({ ...batch!, baseOffset: offset(35), endOffset: offset(39), leaderEpoch: leaderEpoch(4) });
  expect(scan.epochs).toEqual([
    { epoch: 1, startOffset: 36 },
    { epoch: 4, startOffset: 37 },
  ]);
});

test('of another log end, or another version, it is none', () => {
  const taken = snapshotOf(randomLog(new SeededRandom(3), 20));
  const bytes = encodeSnapshot(taken);
  expect(decodeSnapshot(bytes, taken.logEnd)).toBeDefined();
  expect(decodeSnapshot(bytes, offset(taken.logEnd + 1))).toBeUndefined();
  expect(decodeSnapshot(bytes.with(0, 2), taken.logEnd)).toBeUndefined();
  expect(decodeSnapshot(bytes.subarray(0, -1), taken.logEnd)).toBeUndefined();
  expect(decodeSnapshot(new Uint8Array([...bytes, 0]), taken.logEnd)).toBeUndefined();
});

test('whatever the bytes, what is read can be loaded, and is written as it was read', () => {
  const check = (bytes: Uint8Array, logEnd: number): void => {
    const known = decodeSnapshot(bytes, offset(logEnd));
    if (known === undefined) return;
    const again = decodeSnapshot(encodeSnapshot(known), offset(logEnd));
    expect(again).toEqual(known);
    const states = new ProducerStates(countMax);
    for (const producer of new LogScan(countMax, known).producers()) states.load(producer, known.logEnd, 0);
    expect(states.count).toBe(known.producers.length);
  };
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(), (bytes, logEnd) => check(bytes, logEnd)));
  const random = new SeededRandom(11);
  const whole = snapshotOf(randomLog(new SeededRandom(2), 30));
  const bytes = encodeSnapshot(whole);
  let taken = 0;
  for (let round = 0; round < 50_000; round += 1) {
    const mutated = bytes.slice(0, random.below(20) === 0 ? random.below(bytes.length) : bytes.length);
    // Never the log end, so that what is behind it is met.
    for (let n = random.below(3); n >= 0; n -= 1) mutated[12 + random.below(bytes.length)] = random.below(256);
    check(mutated, whole.logEnd);
    if (decodeSnapshot(mutated, whole.logEnd) !== undefined) taken += 1;
  }
  expect(taken).toBeGreaterThan(1000);
});
