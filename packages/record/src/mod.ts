/** Record batches, format v2: layout, checks, encoding, decoding, offset and sequence arithmetic. */
export * from './batch-bounds.ts';
export * from './batch-builder.ts';
export * from './batch-check.ts';
export {
  type BatchHeader,
  batchBytesMaxFor,
  compressedRecordsPerByteMax,
  lastOffset,
  offsetAfterBatch,
  patchBatch,
  readBatchHeader,
} from './batch-header.ts';
export * from './batches-in.ts';
export * from './codec.ts';
export type * from './compacted-records.ts';
export * from './compaction.ts';
export { type Crc32c, crc32c, crc32cOf, installCrc32c } from './crc32c.ts';
export { emptyBatch, withoutOffsetsBelow, withoutOffsetsFrom } from './empty-batch.ts';
export { batchHeaderBytes, type Codec, codecs } from './layout.ts';
export * from './key-offsets.ts';
export * from './partition-for-key.ts';
export * from './producer-times.ts';
export * from './record.ts';
export * from './record-decoder.ts';
export { draftOf, RecordDraft } from './record-draft.ts';
export { type BatchProblem, type BatchRule, batchError, type Result } from './result.ts';
export * from './sequence.ts';
