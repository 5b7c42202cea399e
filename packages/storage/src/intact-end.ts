/**
 * Up to where a damaged log is whole, as its report tells: who refills it cuts it there, and asks for what follows.
 *
 * D1 `intactEnd` lies in the log, start and end included, and is the start, or where a batch ends that was read whole and
 *    in its place. No index is believed of it: each of them may be the one that is damaged. What cuts or trims the log
 *    later moves it along, for other batches may then lie where it was.
 */
import type { Offset } from '@sluice/base';
import { offset } from '@sluice/base';
import { baseOffsetOf } from '@sluice/record';
import { DamagedRead } from './damaged-read.ts';
import type { LossyReport, ReadBatches } from './log-store.ts';

type Read = (range: {
  readonly from: number;
  readonly upTo: number;
  readonly bytesMax: number;
}) => Promise<ReadBatches>;

/** The last such place at or below `to`. Rejects as the read does, but for damage. */
export async function intactEndBelow(read: Read, start: number, to: number): Promise<number> {
  let end = to;
  while (end > start) {
    const last = await lastBatch(read, end);
    if (last === 'ends there') return end;
    // What lies further back is looked at as well: the damage may be there.
    end = Math.min(last, end - 1);
  }
  return start;
}

/** Of the batch that holds what comes before `end`: where it begins, or what damage says instead, when it does not end there. */
async function lastBatch(read: Read, end: number): Promise<'ends there' | number> {
  const from = end - 1;
  try {
    const { batches } = await read({ from, upTo: end, bytesMax: 1 });
    if (batches.length > 0) return 'ends there';
    const [longer] = (await read({ from, upTo: Number.MAX_SAFE_INTEGER, bytesMax: 1 })).batches;
    return longer === undefined ? from : baseOffsetOf(longer, 0);
  } catch (error) {
    if (error instanceof DamagedRead) return error.intactEnd;
    throw error;
  }
}

/** Of a log that reaches from `start` to `end` now. */
export function lossWithin(
  lossy: LossyReport | undefined,
  { start, end }: { readonly start: Offset | number; readonly end: Offset | number },
): LossyReport | undefined {
  if (lossy === undefined || (lossy.intactEnd >= start && lossy.intactEnd <= end)) return lossy;
  return { ...lossy, intactEnd: offset(Math.min(Math.max(lossy.intactEnd, start), end)) };
}
