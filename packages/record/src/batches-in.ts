import { checkReplicatedBatch } from './batch-check.ts';
import type { BatchHeader } from './batch-header.ts';
import { readBatchHeader } from './batch-header.ts';
import type { BatchProblem } from './result.ts';

export type BatchFound =
  | { readonly ok: true; readonly position: number; readonly header: BatchHeader }
  | { readonly ok: false; readonly position: number; readonly problem: BatchProblem };

/**
 * The batches that lie one after another in `bytes`, with their positions. The first bad one gives its problem and is
 * the last item, since nothing says where the next would start; `rule: 'cut-off'` then means that the bytes end inside
 * it. Never throws. With `crc: 'skip'` the content is not checked: for bytes that this process checked before.
 */
export function* batchesIn(bytes: Uint8Array, crc: 'check' | 'skip' = 'check'): Generator<BatchFound, void, undefined> {
  let position = 0;
  while (position < bytes.byteLength) {
    const read = crc === 'check' ? checkReplicatedBatch(bytes, position) : readBatchHeader(bytes, position);
    if (!read.ok) {
      yield { ok: false, position, problem: read.problem };
      return;
    }
    yield { ok: true, position, header: read.value };
    position += read.value.batchBytes;
  }
}
