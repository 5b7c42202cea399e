/** From what callers hand over to what the batch format takes. */
import { SluiceError, utf8Encode } from '@sluice/base';
import type { LogRecord, RecordHeader } from '@sluice/record';
import { batchBytesMaxFor, batchError, recordProblem } from '@sluice/record';
import type { TopicMetadata } from '@sluice/wire';
import type { Bytes, ProducerRecord } from './producer-record.ts';

/** What a record costs in the buffer beyond its bytes. */
const recordOverheadBytes = 64;

const noHeaders: readonly RecordHeader[] = [];

/** Throws `INVALID_BATCH` for a timestamp outside the format's range. */
export function logRecord(record: ProducerRecord, nowMs: number): LogRecord {
  const made: LogRecord = {
    timestamp: record.timestamp ?? Math.trunc(nowMs),
    key: bytesOf(record.key ?? null),
    value: bytesOf(record.value),
    headers: headersOf(record.headers),
  };
  const problem = recordProblem(made);
  if (problem !== undefined) throw batchError(problem);
  return made;
}

const bytesOf = (bytes: Bytes | null): Uint8Array | null => (typeof bytes === 'string' ? utf8Encode(bytes) : bytes);

function headersOf(headers: ProducerRecord['headers']): readonly RecordHeader[] {
  if (headers === undefined) return noHeaders;
  if (isList(headers)) return headers.map(({ key, value }) => ({ key, value: bytesOf(value) }));
  return Object.entries(headers).map(([key, value]) => ({ key, value: bytesOf(value) }));
}

const isList = (
  headers: NonNullable<ProducerRecord['headers']>,
): headers is Extract<typeof headers, readonly unknown[]> => Array.isArray(headers);

/** Bytes that the record counts for in the buffer. */
export function recordBytes(record: LogRecord): number {
  return payloadBytes(record) + recordOverheadBytes;
}

function payloadBytes(record: LogRecord): number {
  let bytes = (record.key?.length ?? 0) + (record.value?.length ?? 0);
  for (const { key, value } of record.headers) bytes += key.length + (value?.length ?? 0);
  return bytes;
}

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

export function sizeProblem(record: LogRecord, limit: number, what: string): SluiceError | undefined {
  const bytes = payloadBytes(record);
  return bytes <= limit ? undefined : recordTooLarge(bytes, limit, what);
}

export const recordTooLarge = (bytes: number, limit: number, what: string): SluiceError =>
  new SluiceError('RECORD_TOO_LARGE', {
    message: `The record has ${bytes} bytes, ${what} is ${limit}. Nothing was sent; send smaller records or raise the limit.`,
    details: { bytes, limit },
  });
