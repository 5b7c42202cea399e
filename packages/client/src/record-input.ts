/** What a record counts for, and which ones are too large. */
import { SluiceError } from '@sluice/base';
import type { RecordDraft } from '@sluice/record';
import { batchBytesMaxFor } from '@sluice/record';
import type { TopicMetadata } from '@sluice/wire';

/** What a record costs in the buffer beyond its bytes. */
const recordOverheadBytes = 64;

/** Bytes that the record counts for in the buffer. */
export const bufferedBytes = (record: RecordDraft): number => record.payloadBytes + recordOverheadBytes;

/** Which records and batches a topic takes. */
export interface TopicLimits {
  readonly recordBytesMax: number;
  readonly batchBytesMax: number;
  /** The topic is compacted. */
  readonly keyRequired: boolean;
}

export function topicLimits(topic: TopicMetadata): TopicLimits {
  const configured = Number(topic.config['recordBytesMax']);
  const recordBytesMax = Number.isSafeInteger(configured) && configured > 0 ? configured : Number.MAX_SAFE_INTEGER;
  const keyRequired = topic.config['cleanupPolicy']?.includes('compact') === true;
  return { recordBytesMax, batchBytesMax: batchBytesMaxFor(recordBytesMax), keyRequired };
}

/** Why the topic would not take it. */
export function refusalOf(record: RecordDraft, { recordBytesMax, keyRequired }: TopicLimits): SluiceError | undefined {
  if (record.payloadBytes > recordBytesMax) {
    return recordTooLarge(record.payloadBytes, recordBytesMax, `the topic's recordBytesMax`);
  }
  if (record.hasKey || !keyRequired) return undefined;
  return new SluiceError('INVALID_RECORD', {
    message: 'The record has no key, and the topic is compacted. Nothing was sent; give it a key.',
  });
}

export const recordTooLarge = (bytes: number, limit: number, what: string): SluiceError =>
  new SluiceError('RECORD_TOO_LARGE', {
    message: `The record has ${bytes} bytes, ${what} is ${limit}. Nothing was sent; send smaller records or raise the limit.`,
    details: { bytes, limit },
  });
