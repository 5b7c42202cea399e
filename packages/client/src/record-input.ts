/** What a record counts for, and which ones are too large. */
import { SluiceError } from '@sluice/base';
import type { RecordDraft } from '@sluice/record';
import { batchBytesMaxFor } from '@sluice/record';
import type { TopicMetadata } from '@sluice/wire';

/** What a record costs in the buffer beyond its bytes. */
const recordOverheadBytes = 64;

/** Bytes that the record counts for in the buffer. */
export const bufferedBytes = (record: RecordDraft): number => record.payloadBytes + recordOverheadBytes;

/** The largest record and batch that a topic takes. */
export interface TopicLimits {
  readonly recordBytesMax: number;
  readonly batchBytesMax: number;
}

export function topicLimits(topic: TopicMetadata): TopicLimits {
  const configured = Number(topic.config['recordBytesMax']);
  const recordBytesMax = Number.isSafeInteger(configured) && configured > 0 ? configured : Number.MAX_SAFE_INTEGER;
  return { recordBytesMax, batchBytesMax: batchBytesMaxFor(recordBytesMax) };
}

export const recordTooLarge = (bytes: number, limit: number, what: string): SluiceError =>
  new SluiceError('RECORD_TOO_LARGE', {
    message: `The record has ${bytes} bytes, ${what} is ${limit}. Nothing was sent; send smaller records or raise the limit.`,
    details: { bytes, limit },
  });
