import type { Offset } from '@sluice/base';
import type { BatchProblem } from './result.ts';

/** Text is written as UTF-8. */
export type Bytes = string | Uint8Array;

/** What a batch takes of a record, beside its timestamp, in any form that callers have it in. */
export interface RecordContent {
  readonly key?: Bytes | null;
  readonly value: Bytes | null;
  /** A list, because a key may occur twice and order counts; or an object. */
  readonly headers?: readonly ContentHeader[] | Readonly<Record<string, Bytes | null>>;
}

export interface ContentHeader {
  readonly key: string;
  readonly value: Bytes | null;
}

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

/** What makes a record of this time impossible to encode, to be asked before it is. */
export function timestampProblem(timestamp: number): BatchProblem | undefined {
  if (Number.isInteger(timestamp) && timestamp >= 0 && timestamp <= recordTimestampMax) return undefined;
  return {
    code: 'INVALID_BATCH',
    rule: 'range',
    message: `a record's timestamp is whole milliseconds from 0 to ${recordTimestampMax}, this is ${timestamp}`,
  };
}
