import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { resealed } from '../testdata/golden-batches.ts';
import { keyedBatch, testCompression } from '../testdata/keyed-batches.ts';
import type { KeyedRecord } from '../testdata/keyed-batches.ts';
import { unwrap } from '../testdata/unwrap.ts';
import { batchesIn } from './batches-in.ts';
import { offsetAfterBatch, readBatchHeader } from './batch-header.ts';
import { LogCompaction } from './compaction.ts';
import type { LogCompactionOptions } from './compaction.ts';
import { withoutOffsetsBelow, withoutOffsetsFrom } from './empty-batch.ts';
import { codecs } from './layout.ts';
import { decodeRecords } from './record-decoder.ts';

const utf8 = new TextDecoder();
const textOf = (bytes: Uint8Array | null): string | null => (bytes === null ? null : utf8.decode(bytes));

interface Read extends KeyedRecord {
  readonly offset: number;
}

const headerOf = (batch: Uint8Array) => unwrap(readBatchHeader(batch));

function read(log: readonly Uint8Array[]): readonly Read[] {
  return log.flatMap((batch) =>
    unwrap(decodeRecords(batch, { decompress: testCompression.decompress })).map(
      ({ offset, timestamp, key, value }) => ({ offset, timestamp, key: textOf(key), value: textOf(value) }),
    ),
  );
}

/** Offset of the newest record of each key below `end`. */
function newestBelow(log: readonly Uint8Array[], end: number): ReadonlyMap<string, number> {
  const newest = new Map<string, number>();
  for (const { key, offset } of read(log)) if (key !== null && offset < end) newest.set(key, offset);
  return newest;
}

async function compacted(
  log: readonly Uint8Array[],
  options: Partial<LogCompactionOptions> = {},
): Promise<readonly Uint8Array[]> {
  const end = options.end ?? Infinity;
  const newest = newestBelow(log, end);
  const compaction = new LogCompaction({
    end,
    isNewest: (key, offset) => (newest.get(utf8.decode(key)) ?? -1) <= offset,
    inProducerWindow: () => false,
    passedMs: 0,
    newHorizonMs: 1_000_000,
    batchBytesMax: 100_000,
    compression: testCompression,
    turn: () => Promise.resolve(),
    ...options,
  });
  const out: Uint8Array[] = [];
  for (const batch of log) out.push(...(await compaction.next(batch, headerOf(batch))));
  out.push(...compaction.finish());
  return out;
}

/** The last value of each key: what a reader from the start ends with. */
function finalValues(records: readonly Read[]): ReadonlyMap<string, string> {
  const values = new Map<string, string>();
  for (const { key, value } of records) {
    if (key === null) continue;
    if (value === null) values.delete(key);
    else values.set(key, value);
  }
  return new Map([...values].toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

/** What every replica and recovery ask of the batches of a log. */
function expectContiguous(log: readonly Uint8Array[], from: number, to: number): void {
  let next = from;
  for (const batch of log) {
    const found = [...batchesIn(batch)];
    expect(found).toMatchObject([{ ok: true, header: { baseOffset: next } }]);
    next = offsetAfterBatch(headerOf(batch));
  }
  expect(next).toBe(to);
}

const at = (key: string | null, value: string | null, timestamp = 5000): KeyedRecord => ({ key, value, timestamp });

describe.each(codecs)('%s', (codec) => {
  const filler = 'value '.repeat(20);

  test('older records of a key go, the others keep offset, time and bytes', async () => {
    const log = [
      keyedBatch([at('a', `${filler}1`, 10), at('b', `${filler}2`, 20), at('c', `${filler}3`, 15)], {
        baseOffset: 7,
        leaderEpoch: 3,
        codec,
        stamp: { producerId: 5, producerEpoch: 1, baseSequence: 40 },
      }),
      keyedBatch([at('b', 'new', 30), at(null, 'no key', 31)], { baseOffset: 10, leaderEpoch: 4, codec }),
    ];
    const out = await compacted(log);
    expect(read(out)).toEqual(read(log).filter(({ offset }) => offset !== 8));
    expectContiguous(out, 7, 12);
    const kept = [
      'baseOffset',
      'lastOffsetDelta',
      'leaderEpoch',
      'producerId',
      'producerEpoch',
      'baseSequence',
      'codec',
    ];
    const [before, after] = [headerOf(log[0]!), headerOf(out[0]!)];
    for (const field of kept) expect(after).toHaveProperty(field, before[field as keyof typeof before]);
    expect(after).toMatchObject({ recordCount: 2, maxTimestamp: 15 });
    // The second lost nothing and is the very same.
    expect(out[1]).toBe(log[1]);
  });

  test('a tombstone is kept to its horizon, with its own time, and then goes', async () => {
    const log = [
      keyedBatch([at('a', filler, 10), at('a', null, 4_000_000_000), at('b', filler, 30)], { baseOffset: 0, codec }),
    ];
    const once = await compacted(log, { newHorizonMs: 9000 });
    expect(read(once)).toEqual(read(log).slice(1));
    expect(headerOf(once[0]!)).toMatchObject({ deleteHorizon: true, baseTimestamp: 9000, maxTimestamp: 4_000_000_000 });
    // A later pass does not move the horizon.
    const early = await compacted(once, { passedMs: 8999, newHorizonMs: 20_000 });
    expect(early).toEqual(once);
    const late = await compacted(once, { passedMs: 9000, newHorizonMs: 20_000 });
    expect(read(late)).toEqual(read(log).slice(2));
    expectContiguous(late, 0, 3);
  });
});

test('a null key is never compacted, with or without a value', async () => {
  const log = [keyedBatch([at(null, null), at(null, 'x'), at(null, 'x')], { baseOffset: 0 })];
  expect(await compacted(log, { passedMs: Infinity })).toEqual(log);
});

test('a record of the append time of the broker keeps that time under a horizon', async () => {
  const written = keyedBatch([at('a', null, 10), at('b', 'x', 20)], { baseOffset: 0 });
  const stamped = resealed(written, (view) => {
    view.setInt16(21, 0x08);
    view.setBigInt64(35, 777n);
  });
  const out = await compacted([stamped], { newHorizonMs: 9000 });
  expect(headerOf(out[0]!)).toMatchObject({ deleteHorizon: true, timestampType: 'append', maxTimestamp: 777 });
  expect(read(out).map(({ timestamp }) => timestamp)).toEqual([777, 777]);
});

test('batches that lose everything become one empty batch for each leader epoch', async () => {
  const log = [1, 1, 1, 2, 2].map((leaderEpoch, base) =>
    keyedBatch([at('a', `${base}`)], { baseOffset: base, leaderEpoch }),
  );
  const out = await compacted([...log, keyedBatch([at('a', 'last')], { baseOffset: 5, leaderEpoch: 2 })]);
  expectContiguous(out, 0, 6);
  expect(out.map((batch) => headerOf(batch))).toMatchObject([
    { baseOffset: 0, lastOffsetDelta: 2, leaderEpoch: 1, recordCount: 0, batchBytes: 61, producerId: -1 },
    { baseOffset: 3, lastOffsetDelta: 1, leaderEpoch: 2, recordCount: 0, batchBytes: 61, producerId: -1 },
    { baseOffset: 5, recordCount: 1 },
  ]);
  // And again with what came later: the span grows.
  const more = await compacted([...out, keyedBatch([at('a', 'more')], { baseOffset: 6, leaderEpoch: 2 })]);
  expect(more.map((batch) => headerOf(batch).lastOffsetDelta)).toEqual([2, 2, 0]);
});

test('an emptied batch that its producer may send again keeps its header until it may not', async () => {
  const stamp = (baseSequence: number) => ({ producerId: 9, producerEpoch: 2, baseSequence });
  const log = [0, 1, 2].map((base) => keyedBatch([at('a', `${base}`)], { baseOffset: base, stamp: stamp(base) }));
  const out = await compacted(log, { inProducerWindow: (base) => base >= 1 });
  expectContiguous(out, 0, 3);
  expect(out.map((batch) => headerOf(batch))).toMatchObject([
    { producerId: -1, recordCount: 0 },
    {
      producerId: 9,
      producerEpoch: 2,
      baseSequence: 1,
      lastOffsetDelta: 0,
      recordCount: 0,
      baseTimestamp: -1,
      codec: 'none',
    },
    { producerId: 9, baseSequence: 2, recordCount: 1 },
  ]);
  const later = await compacted(out, { inProducerWindow: () => false });
  expect(later.map((batch) => headerOf(batch).lastOffsetDelta)).toEqual([1, 0]);
});

test('what lies at or past the end, control batches and those of transactions stay as they are', async () => {
  const flagged = (bits: number, base: number): Uint8Array =>
    resealed(keyedBatch([at('a', 'x')], { baseOffset: base }), (view) => view.setInt16(21, bits));
  const log = [
    flagged(0x20, 0),
    flagged(0x10, 1),
    ...[2, 3, 4].map((base) => keyedBatch([at('a', 'x')], { baseOffset: base })),
  ];
  const out = await compacted(log, { end: 3, isNewest: () => false });
  expect(out).toHaveLength(5);
  expect(out.map((batch, index) => batch === log[index])).toEqual([true, true, false, true, true]);
});

test('a batch that cannot be read stays as it is, and is counted', async () => {
  const good = keyedBatch([at('a', 'x'.repeat(500))], { baseOffset: 0, codec: 'gzip' });
  const broken = resealed(good, (view) => view.setInt32(61, -1));
  const compaction = new LogCompaction({
    end: 1,
    isNewest: () => false,
    inProducerWindow: () => false,
    passedMs: 0,
    newHorizonMs: 0,
    batchBytesMax: 100_000,
    compression: testCompression,
    turn: () => Promise.resolve(),
  });
  expect(await compaction.next(broken, headerOf(broken))).toEqual([broken]);
  expect(compaction.counts).toEqual({ recordsBefore: 1, recordsAfter: 1, leftAlone: 1, nextHorizonMs: Infinity });
});

test('behind a batch that was left alone no tombstone goes: what it put an end to is still there', async () => {
  const broken = resealed(keyedBatch([at('a', 'x'.repeat(500))], { baseOffset: 0, codec: 'gzip' }), (view) =>
    view.setInt32(61, -1),
  );
  const tombstone = keyedBatch([at('a', null)], { baseOffset: 1 });
  const rule = { isNewest: (_key: Uint8Array, offset: number) => offset === 1, newHorizonMs: 5 };
  const run = async (log: readonly Uint8Array[], passedMs: number) => {
    const options = { ...rule, end: 2, inProducerWindow: () => false, passedMs, batchBytesMax: 1000 };
    const compaction = new LogCompaction({ ...options, compression: testCompression, turn: () => Promise.resolve() });
    const out: Uint8Array[] = [];
    for (const batch of log) out.push(...(await compaction.next(batch, headerOf(batch))));
    return [...out, ...compaction.finish()];
  };
  const once = await run([broken, tombstone], 0);
  expect(headerOf(once[1]!)).toMatchObject({ deleteHorizon: true, recordCount: 1 });
  expect(await run(once, 1_000)).toEqual(once);
  // Without it before, the tombstone would have gone.
  expect(headerOf((await run(once.slice(1), 1_000))[0]!).recordCount).toBe(0);
});

test('a batch that a delete horizon would make larger than a replica takes stays as it is', async () => {
  const tombstones = Array.from({ length: 100 }, (_, key) => at(`${key}`, null));
  const batch = keyedBatch(tombstones, { baseOffset: 0 });
  expect(await compacted([batch], { batchBytesMax: batch.length })).toEqual([batch]);
  const [grown] = await compacted([batch], { batchBytesMax: batch.length * 2 });
  expect(grown?.length).toBeGreaterThan(batch.length);
});

test('an empty span is cut where a reader with other boundaries stands, and nothing else is', async () => {
  const [span] = await compacted([keyedBatch([at('a', '1'), at('a', '2')], { baseOffset: 4, leaderEpoch: 6 })], {
    isNewest: () => false,
  });
  const cut = withoutOffsetsBelow(span!, headerOf(span!), 5);
  expectContiguous([cut], 5, 6);
  expect(headerOf(cut)).toMatchObject({ leaderEpoch: 6, recordCount: 0 });
  expect(withoutOffsetsBelow(span!, headerOf(span!), 4)).toBe(span);
  expectContiguous([withoutOffsetsFrom(span!, headerOf(span!), 5)], 4, 5);
  expect(withoutOffsetsFrom(span!, headerOf(span!), 6)).toBe(span);
  const full = keyedBatch([at('a', '1'), at('b', '2')], { baseOffset: 4 });
  expect(withoutOffsetsBelow(full, headerOf(full), 5)).toBe(full);
  expect(withoutOffsetsFrom(full, headerOf(full), 5)).toBe(full);
});

const records = fc.array(
  fc.record({
    key: fc.constantFrom('a', 'b', 'c', 'd', null),
    value: fc.option(fc.string({ maxLength: 12 }), { nil: null, freq: 3 }),
    timestamp: fc.integer({ min: 0, max: 10_000_000 }),
  }),
  { minLength: 1, maxLength: 5 },
);
const produced = fc.record({
  kind: fc.constant('produce' as const),
  records,
  codec: fc.constantFrom(...codecs),
  newEpoch: fc.boolean(),
  producerId: fc.integer({ min: -1, max: 2 }),
});
const pass = fc.record({ kind: fc.constant('compact' as const), share: fc.nat(100), afterMs: fc.nat(40) });

interface Model {
  readonly all: Map<number, Read>;
  readonly horizons: Map<number, number>;
  log: readonly Uint8Array[];
  end: number;
  nowMs: number;
}

const retentionMs = 50;

function expectAsPromised(model: Model, compactedTo: number): void {
  const found = read(model.log);
  expectContiguous(model.log, 0, model.end);
  for (const record of found) expect(record).toEqual(model.all.get(record.offset));
  const every = [...model.all.values()];
  expect(finalValues(found)).toEqual(finalValues(every));
  const here = new Set(found.map(({ offset }) => offset));
  const untouched = every.filter(({ offset, key }) => offset >= compactedTo || key === null);
  expect(untouched.filter(({ offset }) => !here.has(offset))).toEqual([]);
  const last = new Map(every.filter(({ offset }) => offset < compactedTo).map((record) => [record.key, record]));
  for (const { offset, key, value } of last.values()) {
    const horizon = model.horizons.get(offset);
    // A tombstone goes by a pass at or after its horizon, and by no other.
    const gone = key !== null && value === null && horizon !== undefined && model.nowMs >= horizon;
    expect([offset, here.has(offset)]).toEqual([offset, !gone]);
  }
}

/** Any order of appends and passes with any end: what a reader from the start ends with is what was written last. */
test('a random log reads the same to its end, whatever passes went over it', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.oneof(produced, produced, pass), { maxLength: 25 }), async (steps) => {
      const model: Model = { all: new Map(), horizons: new Map(), log: [], end: 0, nowMs: 0 };
      let epoch = 0;
      let compactedTo = 0;
      for (const step of steps) {
        if (step.kind === 'produce') {
          if (step.newEpoch) epoch += 1;
          const stamp = {
            producerId: step.producerId,
            producerEpoch: 0,
            baseSequence: step.producerId < 0 ? -1 : model.end,
          };
          const place = { baseOffset: model.end, leaderEpoch: epoch, codec: step.codec, stamp };
          model.log = [...model.log, keyedBatch(step.records, place)];
          step.records.forEach((record, index) =>
            model.all.set(model.end + index, { ...record, offset: model.end + index }),
          );
          model.end += step.records.length;
          continue;
        }
        model.nowMs += step.afterMs;
        const boundaries = model.log
          .map((batch) => offsetAfterBatch(headerOf(batch)))
          .filter((to) => to >= compactedTo);
        const end = boundaries[Math.floor((boundaries.length * step.share) / 101)] ?? compactedTo;
        const before = new Set(read(model.log).map(({ offset }) => offset));
        const horizonMs = model.nowMs + retentionMs;
        model.log = await compacted(model.log, {
          end,
          passedMs: model.nowMs,
          newHorizonMs: horizonMs,
          inProducerWindow: (base) => base % 3 === 0,
        });
        compactedTo = end;
        for (const batch of model.log) {
          const { deleteHorizon, baseTimestamp } = headerOf(batch);
          if (!deleteHorizon) continue;
          for (const { offset, value } of read([batch])) if (value === null) model.horizons.set(offset, baseTimestamp);
        }
        for (const { offset, key, value } of read(model.log)) {
          if (key === null || value !== null || offset >= compactedTo) continue;
          expect(before).toContain(offset);
          expect(model.horizons.get(offset)).toBeLessThanOrEqual(horizonMs);
          expect(model.horizons.get(offset)).toBeGreaterThan(model.nowMs);
        }
        expectAsPromised(model, compactedTo);
      }
      expectAsPromised(model, compactedTo);
    }),
    { numRuns: 150 },
  );
});
