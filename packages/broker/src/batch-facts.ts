/** From bytes that arrived to what the partition machine wants to know of them. */
import { batchFactsOf } from '@sluice/partition';
import type { BatchFacts } from '@sluice/partition';
import { batchError, batchesIn } from '@sluice/record';

/** The facts of all batches in `bytes`, each checked against its CRC; throws `CORRUPT_BATCH` at the first bad one. */
export function checkedFacts(bytes: Uint8Array): readonly BatchFacts[] {
  const facts: BatchFacts[] = [];
  for (const found of batchesIn(bytes)) {
    if (!found.ok) throw batchError(found.problem);
    facts.push(batchFactsOf(found.header));
  }
  return facts;
}
