/** Real batches for tests of this package: written by the encoder, patched as a leader does. */
import type { Offset } from '@sluice/base';
import { leaderEpoch, offset } from '@sluice/base';
import { BatchBuilder, draftOf, patchBatch, unstamped } from '@sluice/record';
import type { OffsetSpan } from './log-store.ts';

export interface TestBatch {
  readonly base: number;
  readonly records?: number;
  /** Of each record's value. */
  readonly valueBytes?: number;
  readonly epoch?: number;
  /** Makes equal places differ. */
  readonly mark?: number;
  readonly timestampMs?: number;
}

export function testBatch(what: TestBatch): Uint8Array {
  const { base, records = 1, valueBytes = 10, epoch = 0, mark = 0, timestampMs = 1_700_000_000_000 } = what;
  const builder = new BatchBuilder();
  for (let at = 0; at < records; at += 1) {
    const value = new Uint8Array(valueBytes).fill((mark * 31 + base + at) % 256);
    builder.append(draftOf({ timestamp: timestampMs + mark, key: null, value, headers: [] }));
  }
  const batch = builder.build(unstamped);
  patchBatch(batch, 0, { baseOffset: offset(base), leaderEpoch: leaderEpoch(epoch) });
  return batch;
}

export const testSpan = (base: number, end: number): OffsetSpan => ({
  baseOffset: offset(base),
  endOffset: offset(end),
});

export const at = (value: number): Offset => offset(value);

export function concat(parts: readonly Uint8Array[]): Uint8Array {
  let bytes = 0;
  for (const part of parts) bytes += part.length;
  const whole = new Uint8Array(bytes);
  let position = 0;
  for (const part of parts) {
    whole.set(part, position);
    position += part.length;
  }
  return whole;
}
