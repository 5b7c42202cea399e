import { offset } from '@sluice/base';
import type { Offset } from '@sluice/base';
import { readBatchHeader, withoutOffsetsFrom } from '@sluice/record';
import type { LogStore } from '@sluice/storage';

/**
 * Cuts the log back to `to`, where a batch of the leader's ends. Where more is taken back than was ever committed there, an
 * empty batch that a compacting leader had pushed may reach over it: its first part is appended again. Of one that is no
 * longer in memory the next read finds that it does not end where the log does, as of any damage.
 */
export function cutLog(log: LogStore, to: Offset): void {
  const over = batchOver(log, to);
  const read = over && readBatchHeader(over);
  if (over === undefined || read?.ok !== true) return log.truncate(to);
  const { baseOffset } = read.value;
  log.truncate(offset(Math.max(baseOffset, log.startOffset)));
  log.append(withoutOffsetsFrom(over, read.value, to), { baseOffset, endOffset: to });
}

/** The batch in memory that begins before `to` and ends behind it. */
function batchOver(log: LogStore, to: Offset): Uint8Array | undefined {
  if (to <= log.startOffset || to >= log.endOffset || to <= log.tailStart) return undefined;
  const read = log.read(offset(to - 1), log.endOffset, 1);
  if (read instanceof Promise || read.kind !== 'batches' || read.endOffset <= to) return undefined;
  return read.batches[0];
}
