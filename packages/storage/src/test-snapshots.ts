/** A state snapshot for tests: it names every batch that it was derived from, so that it can be held against the log. */
import { offset } from '@sluice/base';
import { batchesIn } from '@sluice/record';
import type { LogStore, StateSnapshot } from './log-store.ts';
import { contents } from './test-node-log.ts';

export interface KnownBatch {
  readonly base: number;
  readonly end: number;
  readonly crc: number;
}

type Line = readonly [base: number, end: number, crc: number];

/** Of all batches of this life of the log, those that are expired too. */
export function testSnapshot(end: number, batches: readonly KnownBatch[]): StateSnapshot {
  const lines = batches.map(({ base, end: last, crc }): Line => [base, last, crc]);
  return { offset: offset(end), bytes: Buffer.from(JSON.stringify(lines)) };
}

/** Why the snapshot that the log has is not of its batches, in a sentence; undefined when it is, or when there is none. */
export async function wrongSnapshot(log: LogStore): Promise<string | undefined> {
  const snapshot = await log.loadSnapshot();
  if (snapshot === undefined) return undefined;
  const { offset: upTo } = snapshot;
  const what = `log ${log.id.topicId}, ${log.startOffset} to ${log.endOffset}: the snapshot at ${upTo}`;
  if (upTo < log.startOffset || upTo > log.endOffset) return `${what} is not in it`;
  const told = knownFrom(snapshot).filter(({ end }) => end > log.startOffset);
  const held = knownBatches(await contents(log)).filter(({ end }) => end <= upTo);
  const [one, other] = [JSON.stringify(told), JSON.stringify(held)];
  return one === other ? undefined : `${what} tells of ${one}, the log holds ${other}`;
}

export function knownFrom(snapshot: StateSnapshot): KnownBatch[] {
  const lines = JSON.parse(Buffer.from(snapshot.bytes).toString()) as readonly Line[];
  return lines.map(([base, end, crc]) => ({ base, end, crc }));
}

export function knownBatches(batches: Uint8Array): KnownBatch[] {
  return Array.from(batchesIn(batches), (found) => {
    if (!found.ok) throw new Error('a batch is damaged');
    const { baseOffset: base, lastOffsetDelta, crc } = found.header;
    return { base, end: base + lastOffsetDelta + 1, crc };
  });
}
