/**
 * Indexes that lie under checksums that fit (A1): a read gives the batch that contains its offset, or says that there is
 * damage. It never gives nothing without a word, for its reader would ask for ever, and it leaves no gap.
 */
import { isSluiceError, SeededRandom } from '@sluice/base';
import { batchesIn } from '@sluice/record';
import { expect, test } from 'vitest';
import type { Extent } from './extents.ts';
import { forgeFooter, type Told } from './forged-footer.testing.ts';
import { journalName } from './journal-file.ts';
import type { LogStore } from './log-store.ts';
import { MemoryDisk } from './memory-disk.ts';
import { at, concat, testBatch, testSpan } from './test-batches.ts';
import { contents, durable, openTestNode, testLogId, type TestNode } from './test-node-log.ts';

const limits = { journalBytesMax: 40_000, tailBytesMax: 0, spaceAheadBytes: 0 };
const batches = 12;
const end = batches * 2;

const batch = (base: number): Uint8Array => testBatch({ base, records: 2, valueBytes: 3000 });

async function append(log: LogStore, base: number): Promise<void> {
  log.append(batch(base), testSpan(base, base + 2));
  await durable(log);
}

/** Twelve batches of two records, in finished files of a few batches each, and in the open one. */
async function written(): Promise<MemoryDisk> {
  const disk = new MemoryDisk();
  const node = await openTestNode({ disk, limits });
  for (let base = 0; base < end; base += 2) await append(node.log.log(testLogId(1)), base);
  await node.close();
  return disk;
}

/** The second file: others come before it and behind. */
const forged = { path: `/node/${journalName(2)}`, fileId: 2 };

interface Walk {
  readonly reached: number;
  readonly refused: boolean;
  readonly wrong: string | undefined;
}

/** Reads on from where it is told to, as a consumer does. */
async function walk(log: LogStore, { from, bytesMax = 100_000 }: { from: number; bytesMax?: number }): Promise<Walk> {
  let next = from;
  for (let reads = 0; next < log.endOffset; reads += 1) {
    if (reads > end) return { reached: next, refused: false, wrong: 'it has no end' };
    try {
      const read = await log.read(at(next), log.endOffset, bytesMax);
      if (read.kind === 'out-of-range') return { reached: next, refused: false, wrong: 'out of range' };
      const wrong = wrongIn(read.batches, next, read.endOffset);
      if (wrong !== undefined) return { reached: next, refused: false, wrong };
      next = read.endOffset;
    } catch (error) {
      if (!isSluiceError(error) || error.code !== 'STORAGE_FAILED') throw error;
      const told = log.lossy?.intactEnd ?? Number.POSITIVE_INFINITY;
      const wrong = told > next ? `a read at ${next} is refused, and the damage told at ${told}` : undefined;
      return { reached: next, refused: true, wrong };
    }
  }
  return { reached: next, refused: false, wrong: undefined };
}

function wrongIn(parts: readonly Uint8Array[], from: number, told: number): string | undefined {
  let next: number | undefined;
  for (const found of parts.flatMap((part) => [...batchesIn(part)])) {
    if (!found.ok) return `what is read at ${from} is no batch`;
    const { baseOffset, lastOffsetDelta } = found.header;
    if (next === undefined ? baseOffset > from : baseOffset !== next) return `a gap before ${baseOffset}`;
    next = baseOffset + lastOffsetDelta + 1;
  }
  if (next === undefined) return `a read at ${from} gives nothing, and says nothing`;
  return next > from && next === told ? undefined : `a read at ${from} reaches ${next}, and tells ${told}`;
}

const changed = (told: Told, summary: Partial<Told['summary']>): Told => ({
  ...told,
  summary: { ...told.summary, ...summary },
});

const extents = (told: Told, change: (extent: Extent, number: number) => Extent | undefined): Told => ({
  ...told,
  extents: told.extents.map(change).filter((extent) => extent !== undefined),
});

/** Each is told of a file that holds several batches, with others behind it. */
const lies: Readonly<Record<string, (told: Told) => Told>> = {
  'claims what the next file holds': (told) => changed(told, { segmentEnd: told.summary.segmentEnd + 2 }),
  'claims all that can be': (told) => changed(told, { segmentEnd: 2 ** 45 }),
  'claims half of a batch behind it': (told) => changed(told, { segmentEnd: told.summary.segmentEnd + 1 }),
  'lists no place': (told) => extents(told, () => undefined),
  'leaves out its first place': (told) => extents(told, (extent, number) => (number === 0 ? undefined : extent)),
  'leaves out a place in the middle': (told) => extents(told, (extent, number) => (number === 1 ? undefined : extent)),
  'leaves out its last place': (told) =>
    extents(told, (extent, number) => (number === told.extents.length - 1 ? undefined : extent)),
  'ends a place inside of a batch': (told) =>
    extents(told, (extent, number) => (number === 1 ? { ...extent, end: extent.end - 1 } : extent)),
  'begins a place where another begins': (told) =>
    extents(told, (extent, number) => (number === 1 ? { ...extent, base: extent.base - 2 } : extent)),
};

/** Each shows by itself when the log is put together: the file ends before the next begins. */
const gaps: Readonly<Record<string, (told: Told) => Told>> = {
  'claims one offset too few': (told) => changed(told, { segmentEnd: told.summary.segmentEnd - 1 }),
  'claims one batch and a half too few': (told) => changed(told, { segmentEnd: told.summary.segmentEnd - 3 }),
  'claims one offset too few, and lists no place there': (told) =>
    extents(changed(told, { segmentEnd: told.summary.segmentEnd - 1 }), (extent, number) =>
      number === told.extents.length - 1 ? undefined : extent,
    ),
  'claims one offset too few, and ends a place inside of the batch before': (told) =>
    extents(changed(told, { segmentEnd: told.summary.segmentEnd - 1 }), (extent, number) =>
      number === told.extents.length - 2 ? { ...extent, end: extent.end - 1 } : extent,
    ),
};

/** As a follower does that leaves the in-sync replicas: back to what is whole, and on from there. */
async function refill(disk: MemoryDisk, { node, log }: { node: TestNode; log: LogStore }): Promise<void> {
  log.truncate(at(log.lossy?.intactEnd ?? end));
  for (let base: number = log.endOffset; base < end; base += 2) await append(log, base);
  log.healed();
  await node.close();
  const again = await reopened(disk);
  const whole = Array.from({ length: batches }, (__, number) => batch(number * 2));
  expect([again.log.lossy, again.log.endOffset]).toEqual([undefined, end]);
  expect(Buffer.compare(await contents(again.log), concat(whole))).toBe(0);
  await again.node.close();
}

test.each(Object.entries(gaps))('a footer that %s is found by recovery, at the end of a batch (D1)', async (_, lie) => {
  const disk = await written();
  forgeFooter(disk, forged, lie);
  for (let round = 0; round < 2; round += 1) {
    const { node, log } = await reopened(disk);
    const intactEnd = log.lossy?.intactEnd ?? end;
    expect([intactEnd % 2, intactEnd < end, log.endOffset]).toEqual([0, true, intactEnd]);
    expect(log.lossy?.knownEnd).toBe(end);
    expect(await walk(log, { from: 0 })).toEqual({ reached: intactEnd, refused: false, wrong: undefined });
    await node.close();
  }
  await refill(disk, await reopened(disk));
});

const copied = (given: Uint8Array): Uint8Array => given.slice();

async function reopened(disk: MemoryDisk, more = {}): Promise<{ node: TestNode; log: LogStore }> {
  const node = await openTestNode({ disk, limits: { ...limits, ...more } });
  return { node, log: node.log.log(testLogId(1)) };
}

test('the files are as the lies want them', async () => {
  const disk = await written();
  let seen: Told | undefined;
  forgeFooter(disk, forged, (told) => (seen = told));
  expect(seen?.extents.length).toBeGreaterThanOrEqual(3);
  expect([seen?.summary.base, (seen?.summary.end ?? end) < end - 4]).toEqual([seen?.extents[0]?.base, true]);
  const { node, log } = await reopened(disk);
  expect(await walk(log, { from: 0 })).toEqual({ reached: end, refused: false, wrong: undefined });
  await node.close();
});

test.each(Object.entries(lies))('a footer that %s is damage, and is mended', async (_, lie) => {
  const disk = await written();
  forgeFooter(disk, forged, lie);
  const { node, log } = await reopened(disk);
  const { reached, refused, wrong } = await walk(log, { from: 0 });
  expect([refused, wrong]).toEqual([true, undefined]);
  const intactEnd = log.lossy?.intactEnd ?? end;
  expect(intactEnd).toBeLessThanOrEqual(reached);
  expect(intactEnd % 2).toBe(0);
  for (let from = 0; from < end; from += 1) expect((await walk(log, { from })).wrong).toBeUndefined();
  await refill(disk, { node, log });
});

test.each(Object.entries(lies))(
  'a rewrite of a file whose footer %s is given up, and nothing halts',
  async (_, lie) => {
    const disk = await written();
    forgeFooter(disk, forged, lie);
    const { node, log } = await reopened(disk, { rewriteBytesPerSecondMax: Number.POSITIVE_INFINITY });
    expect(await node.log.rewrite([{ id: log.id, upTo: end, transform: copied }])).toBe(false);
    expect([node.halts, log.lossy === undefined]).toEqual([[], false]);
    expect(await disk.exists(forged.path)).toBe(true);
    await node.close();
  },
);

test('a place that reaches over the next costs nothing: every batch is where the others say', async () => {
  const disk = await written();
  forgeFooter(disk, forged, (told) =>
    extents(told, (extent, number) => (number === 1 ? { ...extent, end: extent.end + 2 } : extent)),
  );
  const { node, log } = await reopened(disk);
  expect(await walk(log, { from: 0 })).toEqual({ reached: end, refused: false, wrong: undefined });
  await node.close();
});

/** Of the newest finished file: nothing that was there before lies behind it. */
async function lastForged(lie: (told: Told) => Told): Promise<{ node: TestNode; log: LogStore }> {
  const disk = await written();
  await (await reopened(disk)).node.close();
  const finished = (await disk.list('/node')).filter((name) => name.startsWith('journal-')).length - 1;
  forgeFooter(disk, { path: `/node/${journalName(finished)}`, fileId: finished }, lie);
  return reopened(disk);
}

const toldDamage = async (log: LogStore): Promise<void> => {
  const { refused, wrong } = await walk(log, { from: 0 });
  expect([refused, wrong]).toEqual([true, undefined]);
};

test('a last file that claims more than the log has is damage as soon as there is more', async () => {
  const { node, log } = await lastForged((told) => changed(told, { segmentEnd: end + 100 }));
  expect(await walk(log, { from: 0 })).toEqual({ reached: end, refused: false, wrong: undefined });
  await append(log, end);
  await toldDamage(log);
  await node.close();
});

test.each([
  ['its file', { segmentEnd: end - 1, end: end - 1 }],
  ['the log', { segmentEnd: end, end: end - 1 }],
])('an end of %s inside of the last batch is damage, also when there is more behind it', async (_, ends) => {
  let { node, log } = await lastForged((told) => changed(told, ends));
  expect(log.endOffset).toBe(end - 1);
  await toldDamage(log);
  await node.close();
  ({ node, log } = await lastForged((told) => changed(told, ends)));
  await append(log, end - 1);
  await toldDamage(log);
  await node.close();
});

test('a reader that may not see all of a batch yet gets nothing, and no damage', async () => {
  const { node, log } = await reopened(await written());
  expect(await log.read(at(4), at(5), 100_000)).toEqual({ kind: 'batches', batches: [], bytes: 0, endOffset: 4 });
  expect(await log.read(at(5), at(6), 100_000)).toMatchObject({ kind: 'batches', endOffset: 6 });
  expect(log.lossy).toBeUndefined();
  await node.close();
});

/** D1: the batches of this log begin at even offsets. */
function wrongEnd({ lossy, startOffset, endOffset }: LogStore): string | undefined {
  if (lossy === undefined) return undefined;
  const { intactEnd } = lossy;
  const isInside = intactEnd >= startOffset && intactEnd <= endOffset;
  if (isInside && (intactEnd % 2 === 0 || intactEnd === startOffset)) return undefined;
  return `${startOffset} to ${endOffset} is told to be intact up to ${intactEnd}`;
}

/** One of what a footer says, near to what it was, or far from it. */
function randomLie(random: SeededRandom): (told: Told) => Told {
  const other = (value: number): number =>
    random.below(4) === 0 ? random.below(2 ** 31) * 2 ** random.below(20) : Math.max(0, value + random.below(9) - 4);
  const fields = ['start', 'end', 'base', 'segmentEnd', 'keepBelow', 'bytes', 'maxTimestampMs'] as const;
  const places = ['base', 'end', 'position', 'bytes', 'maxTimestampMs'] as const;
  return (told) => {
    if (random.below(2) === 0) {
      const field = fields[random.below(fields.length)] ?? 'end';
      return changed(told, { [field]: other(told.summary[field] ?? told.summary.end) });
    }
    const place = random.below(told.extents.length);
    const field = places[random.below(places.length)] ?? 'end';
    const isLeftOut = random.below(4) === 0;
    return extents(told, (extent, number) => {
      if (number !== place) return extent;
      return isLeftOut ? undefined : { ...extent, [field]: other(extent[field]) };
    });
  };
}

test('random lies: whoever reads gets on, or hears of damage', async () => {
  const files = await filesOf(await written());
  let refusals = 0;
  for (let seed = 0; seed < 300; seed += 1) {
    const random = new SeededRandom(seed);
    const disk = new MemoryDisk();
    await disk.makeDirectory('/node');
    for (const [path, bytes] of files) disk.plant(path, bytes);
    // In one go: what cannot be read any more is not told on.
    const told = Array.from({ length: 1 + random.below(3) }, () => randomLie(random));
    forgeFooter(disk, forged, (of) => told.reduce((so, lie) => lie(so), of));
    const { node, log } = await reopened(disk);
    const bytesMax = 1 + random.below(30_000);
    for (let from: number = log.startOffset; from < log.endOffset && from < end; from += 1) {
      const { refused, wrong } = await walk(log, { from, bytesMax });
      expect([seed, from, wrong]).toEqual([seed, from, undefined]);
      if (refused) refusals += 1;
      expect([seed, from, wrongEnd(log)]).toEqual([seed, from, undefined]);
    }
    await log.offsetSince(1_700_000_000_000 + random.below(3), log.endOffset).catch(isTold);
    await headersOf(log).catch(isTold);
    await node.close();
    const rewriting = await reopened(disk, { rewriteBytesPerSecondMax: Number.POSITIVE_INFINITY });
    // One that halts the node would not end.
    await rewriting.node.log.rewrite([{ id: log.id, upTo: end, transform: copied }]);
    expect([seed, rewriting.node.halts]).toEqual([seed, []]);
    await rewriting.node.close();
  }
  expect(refusals).toBeGreaterThan(300);
}, 60_000);

async function headersOf(log: LogStore): Promise<void> {
  const start = log.startOffset;
  let next: number = start;
  for await (const { baseOffset, lastOffsetDelta } of log.headers(start)) {
    expect([next, baseOffset]).toEqual([next, next === start ? Math.min(baseOffset, start) : next]);
    next = baseOffset + lastOffsetDelta + 1;
  }
  expect(next).toBe(log.endOffset);
}

async function filesOf(disk: MemoryDisk): Promise<ReadonlyMap<string, Uint8Array>> {
  const paths = (await disk.list('/node')).map((name) => `/node/${name}`);
  return new Map(paths.map((path) => [path, disk.durableBytes(path)]));
}

function isTold(error: unknown): void {
  expect(isSluiceError(error) && error.code).toBe('STORAGE_FAILED');
}
