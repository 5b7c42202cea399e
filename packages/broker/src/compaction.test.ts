/**
 * Passes over one partition whose log is a list of batches: what they leave, against a map of the newest value of each key.
 * A rewrite takes a few batches at a time, the oldest first, and may be broken off at any of them, as by a crash.
 */
import { LogKind, leaderEpoch, offset, partitionIndex, silentLogger, topicId } from '@sluice/base';
import { SeededRandom } from '@sluice/base';
import { batchFactsOf, LogScan } from '@sluice/partition';
import {
  baseOffsetOf,
  BatchBuilder,
  batchesIn,
  codecs,
  compressionOver,
  decodeRecords,
  draftOf,
  endOffsetOf,
  patchBatch,
  unstamped,
} from '@sluice/record';
import type { BatchHeader, BatchStamp, Codec } from '@sluice/record';
import type { AskedLog } from '@sluice/storage';
import { inlineZlib, keyHash, ManualClock } from '@sluice/wire';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Compaction } from './compaction.ts';
import type { CompactedPartition } from './compaction.ts';

const compression = compressionOver(inlineZlib);
const intervalMs = 1_000;
const hourMs = 3_600_000;
const utf8 = { encode: new TextEncoder(), decode: new TextDecoder() };

interface Written {
  readonly offset: number;
  readonly key: string;
  readonly value: string | null;
}

type Input = Pick<Written, 'key' | 'value'>;

class Subject {
  readonly clock = new ManualClock();
  readonly all: Written[] = [];
  readonly appendedMs: number[] = [];
  readonly warnings: string[] = [];
  log: readonly Uint8Array[] = [];
  end = 0;
  /** Of the finished files. */
  finishedEnd = 0;
  clocksAgree = true;
  cuts = 0;
  /** A rewrite is broken off when so many pieces were written. */
  piecesLeft = Infinity;
  piecesWritten = 0;
  /** Of everything that was appended. */
  readonly scan = new LogScan(100);
  compaction: Compaction;
  host: CompactedPartition;
  readonly #config;
  #sequence = 0;

  constructor(config: { tombstoneRetentionMs?: number; compactionLagMsMin?: number; memoryBytesMax?: number } = {}) {
    this.#config = { tombstoneRetentionMs: hourMs, compactionLagMsMin: 0, memoryBytesMax: 1024 * 1024, ...config };
    this.host = this.#host();
    this.compaction = this.#compaction();
    this.compaction.start();
  }

  append(records: readonly Input[], options: { codec?: Codec; producerId?: number } = {}): void {
    const { codec = 'none', producerId = -1 } = options;
    const builder = new BatchBuilder();
    for (const { key, value } of records) {
      const bytes = { key: utf8.encode.encode(key), value: value === null ? null : utf8.encode.encode(value) };
      builder.append(draftOf({ timestamp: this.clock.wallMs(), headers: [], ...bytes }));
      this.all.push({ offset: this.all.length, key, value });
      this.appendedMs.push(this.clock.wallMs());
    }
    const compressor = codec === 'none' ? undefined : compression.compressor(codec);
    const stamp: BatchStamp =
      producerId < 0 ? unstamped : { producerId, producerEpoch: 0, baseSequence: this.#sequence };
    this.#sequence += producerId < 0 ? 0 : records.length;
    const batch = builder.build({ ...stamp, ...(compressor === undefined ? {} : { compressor }) });
    patchBatch(batch, 0, { baseOffset: offset(this.end), leaderEpoch: leaderEpoch(0) });
    for (const header of headersOf([batch])) this.scan.add(batchFactsOf(header));
    this.log = [...this.log, batch];
    this.end += records.length;
  }

  get tombstoneRetentionMs(): number {
    return this.#config.tombstoneRetentionMs;
  }

  finish(): void {
    this.finishedEnd = this.end;
  }

  /** A new life of the process: what the compaction knew is gone. */
  restart(): void {
    this.compaction.stop();
    this.host = this.#host();
    this.compaction = this.#compaction();
    this.compaction.start();
  }

  async look(): Promise<void> {
    await this.clock.pass(intervalMs * 2);
  }

  read(): readonly Written[] {
    return this.log.flatMap((batch) => {
      const decoded = decodeRecords(batch, { decompress: compression.decompress });
      if (!decoded.ok) throw new Error(decoded.problem.message);
      return decoded.value.map(({ offset: at, key, value }) => ({
        offset: at,
        key: utf8.decode.decode(key ?? undefined),
        value: value === null ? null : utf8.decode.decode(value),
      }));
    });
  }

  #host(): CompactedPartition {
    const log = (): readonly Uint8Array[] => this.log;
    const cuts = (): number => this.cuts;
    return {
      id: { topicId: topicId('1'.padStart(32, '0')), partition: partitionIndex(0), kind: LogKind.data },
      topicName: 'states',
      get cuts() {
        return cuts();
      },
      log: {
        startOffset: offset(0),
        lossy: undefined,
        expiredEnd: ({ appendedBeforeMs = 0 }) => offset(appendedBeforeMs > this.clock.wallMs() ? this.finishedEnd : 0),
        finishedBytes: (from, to) =>
          log().reduce(
            (sum, batch) => sum + (baseOffsetOf(batch, 0) >= from && endOffsetOf(batch, 0) <= to ? batch.length : 0),
            0,
          ),
        read: async (from, upTo) => {
          const batches = log()
            .filter((batch) => endOffsetOf(batch, 0) > from && endOffsetOf(batch, 0) <= upTo)
            .slice(0, 3);
          const bytes = batches.reduce((sum, batch) => sum + batch.length, 0);
          const last = batches.at(-1);
          return {
            kind: 'batches',
            batches,
            bytes,
            endOffset: last === undefined ? from : offset(endOffsetOf(last, 0)),
          };
        },
      },
      replica: {
        get removableEnd() {
          return offset(Number.MAX_SAFE_INTEGER);
        },
        producerWindows: () =>
          new Set(this.scan.producers().flatMap(({ batches }) => batches.map(({ baseOffset }) => baseOffset))),
      },
    };
  }

  #compaction(): Compaction {
    const { host } = this;
    const config = {
      cleanupPolicy: 'compact',
      minIsr: 1,
      durability: 'fsync',
      recordBytesMax: 1024 * 1024,
      retentionMs: -1,
      retentionBytes: -1,
      ...this.#config,
    } as const;
    return new Compaction({
      hosts: [host],
      configOf: () => config,
      clocksAgree: () => this.clocksAgree,
      nodeLog: { rewrite: ([asked]) => this.#rewrite(asked) },
      compression,
      hash: keyHash,
      clock: this.clock,
      random: new SeededRandom(1),
      logger: { ...silentLogger, warn: (phrase) => this.warnings.push(phrase) },
      intervalMs,
      memoryBytesMax: this.#config.memoryBytesMax,
      readBytesPerSecondMax: 1_000_000_000,
    });
  }

  async #rewrite(asked: AskedLog | undefined): Promise<boolean> {
    if (asked === undefined) return true;
    const { upTo, transform } = asked;
    for (let at = 0; at < this.log.length; at += 1) {
      const piece = this.log.slice(at, at + 2);
      const [first] = piece;
      if (first === undefined || baseOffsetOf(first, 0) >= upTo) break;
      if (this.piecesLeft === 0) return false;
      this.piecesLeft -= 1;
      this.piecesWritten += 1;
      const given = Buffer.concat(piece);
      const out = await transform(given);
      const batches = [...batchesIn(out)].map((found) => {
        if (!found.ok) throw new Error(found.problem.message);
        return out.slice(found.position, found.position + found.header.batchBytes);
      });
      this.log = [...this.log.slice(0, at), ...batches, ...this.log.slice(at + piece.length)];
      at += batches.length - 1;
    }
    return true;
  }
}

function headersOf(log: readonly Uint8Array[]): readonly BatchHeader[] {
  return log.flatMap((batch) =>
    [...batchesIn(batch)].map((found) => {
      if (!found.ok) throw new Error(found.problem.message);
      return found.header;
    }),
  );
}

function finalValues(records: readonly Input[]): ReadonlyMap<string, string> {
  const values = new Map<string, string>();
  for (const { key, value } of records) {
    if (value === null) values.delete(key);
    else values.set(key, value);
  }
  return new Map([...values].toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

function windowsOf(log: readonly Uint8Array[]): unknown {
  const scan = new LogScan(100);
  for (const header of headersOf(log)) scan.add(batchFactsOf(header));
  return byProducer(scan);
}

const byProducer = (scan: LogScan): unknown => scan.producers().toSorted((a, b) => a.producerId - b.producerId);

/** What holds whatever passes went over the log, and wherever they ended. */
function expectWhole(subject: Subject): void {
  let next = 0;
  for (const { baseOffset, lastOffsetDelta } of headersOf(subject.log)) {
    expect(baseOffset).toBe(next);
    next = baseOffset + lastOffsetDelta + 1;
  }
  expect(next).toBe(subject.end);
  const found = subject.read();
  for (const record of found) expect(record).toEqual(subject.all[record.offset]);
  expect(finalValues(found)).toEqual(finalValues(subject.all));
  const untouched = subject.all.filter(({ offset: at }) => at >= subject.finishedEnd);
  expect(found.filter(({ offset: at }) => at >= subject.finishedEnd)).toEqual(untouched);
  // The newest of a key stays; as a tombstone, for as long as its topic says at least.
  const newest = new Map(subject.all.map((record) => [record.key, record]));
  const offsets = new Set(found.map((record) => record.offset));
  for (const { offset: at, value } of newest.values()) {
    const ageMs = subject.clock.wallMs() - (subject.appendedMs[at] ?? 0);
    const isYoung = value !== null || ageMs < subject.tombstoneRetentionMs;
    expect([at, offsets.has(at) || !isYoung]).toEqual([at, true]);
  }
  // What a restart would know of producers is what is known now.
  expect(windowsOf(subject.log)).toEqual(byProducer(subject.scan));
}

const updates = (rounds: number): readonly Input[] =>
  Array.from({ length: rounds * 10 }, (_, at) => ({ key: `k${at % 10}`, value: `round ${Math.floor(at / 10)}` }));

describe('a partition', () => {
  test('of many updates shrinks to the newest of each key, and is left alone until as much has come', async () => {
    const subject = new Subject();
    for (const record of updates(50)) subject.append([record]);
    subject.finish();
    const bytes = (): number => subject.log.reduce((sum, batch) => sum + batch.length, 0);
    const before = bytes();
    await subject.look();
    expect(subject.read()).toEqual(subject.all.slice(-10));
    expectWhole(subject);
    expect(bytes()).toBeLessThan(before / 2);
    expect(subject.compaction.stats).toEqual({ passes: 1, records: 490 });
    const written = subject.piecesWritten;
    await subject.look();
    await subject.look();
    expect(subject.piecesWritten).toBe(written);
    for (const record of updates(1)) subject.append([record]);
    subject.finish();
    await subject.look();
    expect(subject.piecesWritten).toBe(written);
    for (const record of updates(40)) subject.append([record]);
    subject.finish();
    await subject.look();
    expect(subject.read()).toEqual(subject.all.slice(-10));
  });

  test('is not touched past its finished files', async () => {
    const subject = new Subject();
    for (const record of updates(5)) subject.append([record]);
    subject.finish();
    for (const record of updates(5)) subject.append([record]);
    await subject.look();
    expectWhole(subject);
    expect(subject.read()).toHaveLength(60);
  });

  test('whose records have all different keys is read, and not written again', async () => {
    const subject = new Subject();
    for (let at = 0; at < 100; at += 1) subject.append([{ key: `k${at}`, value: 'v' }]);
    subject.finish();
    await subject.look();
    expect([subject.piecesWritten, subject.compaction.stats.passes]).toEqual([0, 0]);
    subject.restart();
    await subject.look();
    expect(subject.piecesWritten).toBe(0);
  });

  test('with too little to remove is compacted from its start when more has come', async () => {
    const subject = new Subject();
    for (let at = 0; at < 20; at += 1) subject.append([{ key: `k${at}`, value: 'v' }]);
    subject.append([{ key: 'k15', value: 'again' }]);
    subject.finish();
    await subject.look();
    expect(subject.piecesWritten).toBe(0);
    for (const record of updates(5)) subject.append([record]);
    subject.append([{ key: 'k0', value: null }]);
    subject.finish();
    await subject.look();
    expectWhole(subject);
    expect(subject.read().map(({ key }) => key)).toHaveLength(20);
  });

  test('whose log was cut is compacted anew: what was found out of it is void', async () => {
    const subject = new Subject();
    for (const record of updates(5)) subject.append([record]);
    subject.finish();
    const before = subject.log;
    await subject.look();
    expect(subject.read()).toHaveLength(10);
    // Cut away, and fetched again from a leader that has not compacted it.
    subject.log = before;
    await subject.look();
    expect(subject.read()).toHaveLength(50);
    subject.cuts += 1;
    await subject.look();
    expect(subject.read()).toHaveLength(10);
  });

  test('that has more keys than memory is compacted part by part', async () => {
    // A thousand places, of which 768 are used.
    const subject = new Subject({ memoryBytesMax: 24 * 1024 });
    for (let round = 0; round < 3; round += 1) {
      for (let at = 0; at < 1500; at += 10) {
        subject.append(Array.from({ length: 10 }, (_, n) => ({ key: `k${at + n}`, value: `${round}` })));
      }
    }
    subject.finish();
    for (let look = 0; look < 10; look += 1) await subject.look();
    expectWhole(subject);
    expect(subject.read().length).toBeLessThan(4500);
    expect(subject.compaction.stats.passes).toBeGreaterThan(1);
    expect(subject.warnings).toEqual([]);
  });

  test('with one batch of more keys than memory stays as it is, and says why once', async () => {
    const subject = new Subject({ memoryBytesMax: 24 * 1024 });
    subject.append(Array.from({ length: 2000 }, (_, at) => ({ key: `k${at}`, value: 'v' })));
    subject.append([{ key: 'k1', value: null }]);
    subject.finish();
    await subject.look();
    await subject.look();
    expect(subject.read()).toHaveLength(2001);
    expect(subject.warnings).toEqual([
      'a batch has more keys than compaction has memory for; raise compactionMemoryBytesMax',
    ]);
  });

  test('loses its tombstones by itself once their horizon has passed, and not while clocks are in doubt', async () => {
    const subject = new Subject();
    for (const record of updates(3)) subject.append([record]);
    subject.append([{ key: 'k3', value: null }]);
    subject.finish();
    await subject.look();
    expect(subject.read().at(-1)).toMatchObject({ key: 'k3', value: null });
    await subject.clock.pass(hourMs / 2);
    expect(subject.read()).toHaveLength(10);
    subject.clocksAgree = false;
    await subject.clock.pass(hourMs);
    expect(subject.read()).toHaveLength(10);
    subject.clocksAgree = true;
    await subject.look();
    expect(subject.read()).toHaveLength(9);
    expectWhole(subject);
  });

  test('keeps what is younger than its least age', async () => {
    const subject = new Subject({ compactionLagMsMin: hourMs });
    for (const record of updates(3)) subject.append([record]);
    subject.finish();
    await subject.look();
    expect(subject.read()).toHaveLength(30);
  });
});

const records = fc.array(
  fc.record({
    key: fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i'),
    value: fc.option(fc.string({ maxLength: 8 }), { nil: null, freq: 3 }),
  }),
  { minLength: 1, maxLength: 4 },
);
const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('append' as const),
      records,
      codec: fc.constantFrom(...codecs),
      producerId: fc.integer({ min: -1, max: 1 }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('look' as const),
      finishes: fc.boolean(),
      pieces: fc.option(fc.nat(6), { nil: Infinity }),
    }),
  },
  { weight: 1, arbitrary: fc.constant({ kind: 'restart' as const }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('wait' as const), ms: fc.nat(15_000) }) },
);

/** For six keys, or for all. */
const memory = fc.constantFrom(192, 1024 * 1024);

test('any order of appends, passes, passes that are broken off, restarts and time: a reader ends with what was written last', async () => {
  let passes = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { minLength: 10, maxLength: 60, size: 'max' }),
      memory,
      async (steps, memoryBytesMax) => {
        const subject = new Subject({ tombstoneRetentionMs: 10_000, memoryBytesMax });
        for (const one of steps) {
          if (one.kind === 'append') subject.append(one.records, one);
          else if (one.kind === 'restart') subject.restart();
          else if (one.kind === 'wait') await subject.clock.pass(one.ms);
          else {
            if (one.finishes) subject.finish();
            subject.piecesLeft = one.pieces;
            await subject.look();
            subject.piecesLeft = Infinity;
          }
          expectWhole(subject);
        }
        passes += subject.compaction.stats.passes;
      },
    ),
    { numRuns: 150 },
  );
  // Of the last life of each.
  expect(passes).toBeGreaterThan(100);
}, 60_000);
