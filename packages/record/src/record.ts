import type { Offset } from '@sluice/base';
import type { BatchProblem } from './result.ts';

export interface RecordHeader {
  readonly key: string;
  readonly value: Uint8Array | null;
}

/** One message as a producer hands it over. */
export interface LogRecord {
  /** Milliseconds since the Unix epoch, 0 to 8.64e15 (the range of a Date). */
  readonly timestamp: number;
  readonly key: Uint8Array | null;
  readonly value: Uint8Array | null;
  readonly headers: readonly RecordHeader[];
}

/** One message as a consumer gets it. Key and values are views of the batch (or of its decompressed records). */
export interface DecodedRecord extends LogRecord {
  readonly offset: Offset;
}

export const recordTimestampMax = 8.64e15;

/** What makes a record impossible to encode, to be asked before `BatchBuilder.append`. */
export function recordProblem(record: LogRecord): BatchProblem | undefined {
  const { timestamp } = record;
  if (Number.isInteger(timestamp) && timestamp >= 0 && timestamp <= recordTimestampMax) return undefined;
  return {
    code: 'INVALID_BATCH',
    rule: 'range',
    message: `a record's timestamp is whole milliseconds from 0 to ${recordTimestampMax}, this is ${timestamp}`,
  };
}
