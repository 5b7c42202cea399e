/**
 * One record, measured and ready to be written into a batch. Owns the bytes of its texts, encoded once, in memory that
 * the next record uses again: a producer needs one draft for all its records, and makes nothing per field.
 *
 * W1. After `take` the sizes are exact: `write` writes `contentBytes` bytes.
 * W2. Bytes that were handed over are read by `write`, not by `take`: they must not change in between.
 */
import type { SluiceError } from '@sluice/base';
import { invariant, utf8BytesMax, utf8Encode, utf8Write, varintBytes, writeVarint } from '@sluice/base';
import { partitionForKey } from './partition-for-key.ts';
import type { Bytes, LogRecord, RecordContent } from './record.ts';
import { timestampProblem } from './record.ts';
import { batchError } from './result.ts';

const scratchBytesMin = 1024;
/** Longer texts get memory of their own, so that one of them does not stay for good. */
const scratchTextUnitsMax = 256 * 1024;
/** Below this a loop copies faster than the call, which takes 15 ns and, for a part of an array, a view. */
const loopBytesMax = 24;

/** Where bytes are: `source` undefined means the draft's own memory, `start` −1 that there are none. */
class Span {
  source: Uint8Array | undefined = undefined;
  start = -1;
  end = -1;

  /** −1: null. */
  get bytes(): number {
    return this.start < 0 ? -1 : this.end - this.start;
  }
}

export class RecordDraft {
  #timestamp = 0;
  #contentBytes = 0;
  #payloadBytes = 0;
  #headerCount = 0;
  #scratch = new Uint8Array(scratchBytesMin);
  #used = 0;
  readonly #key = new Span();
  readonly #value = new Span();
  /** Key and value of each header in turn; longer than two for each of them if an earlier record had more. */
  readonly #headers: Span[] = [];

  /** Milliseconds since the Unix epoch. */
  get timestamp(): number {
    return this.#timestamp;
  }

  /** Bytes of keys and values as the caller sees them, those of headers included. */
  get payloadBytes(): number {
    return this.#payloadBytes;
  }

  /** Bytes that key, value and headers take in a batch. */
  get contentBytes(): number {
    return this.#contentBytes;
  }

  get hasKey(): boolean {
    return this.#key.start >= 0;
  }

  /**
   * Takes the place of the record before. The timestamp must be one for which `timestampProblem` is undefined. Throws
   * `INVALID_BATCH` for keys and values that are neither text nor bytes nor null; the draft is of no record then.
   */
  take(record: RecordContent, timestamp: number): this {
    invariant(timestampProblem(timestamp) === undefined, 'a draft of a record that was not checked');
    const { key = null, value, headers } = record;
    this.#used = 0;
    this.#timestamp = timestamp;
    this.#payloadBytes = 0;
    this.#contentBytes = this.#span(this.#key, key) + this.#span(this.#value, value);
    this.#headerCount = 0;
    if (headers === undefined) this.#contentBytes += 1;
    else this.#takeHeaders(headers);
    return this;
  }

  /** The partition that a record with this key goes to in a topic of so many. */
  partition(partitionCount: number): number {
    const { source = this.#scratch, start, end } = this.#key;
    invariant(start >= 0, 'a keyless record has no partition of its own');
    return partitionForKey(source.subarray(start, end), partitionCount);
  }

  /** Writes key, value and headers, and returns the position after them (W1). */
  write(target: Uint8Array, at: number): number {
    let end = this.#write(target, this.#write(target, at, this.#key), this.#value);
    end = writeVarint(target, end, this.#headerCount);
    for (let index = 0; index < this.#headerCount * 2; index += 1) {
      end = this.#write(target, end, this.#headers[index] as Span);
    }
    return end;
  }

  #takeHeaders(headers: NonNullable<RecordContent['headers']>): void {
    if (isList(headers)) {
      for (const { key, value } of headers) this.#takeHeader(key, value);
    } else {
      for (const key of Object.keys(headers)) this.#takeHeader(key, headers[key] ?? null);
    }
    this.#contentBytes += varintBytes(this.#headerCount);
  }

  #takeHeader(key: string, value: Bytes | null): void {
    const at = this.#headerCount * 2;
    this.#contentBytes += this.#span((this.#headers[at] ??= new Span()), key);
    this.#contentBytes += this.#span((this.#headers[at + 1] ??= new Span()), value);
    this.#headerCount += 1;
  }

  /** Returns the bytes that the span takes with its length. */
  #span(span: Span, bytes: Bytes | null): number {
    if (bytes === null) {
      span.start = -1;
      span.source = undefined;
      return 1;
    }
    // By what it can do, not by its class: a test runner may have classes of its own.
    if (typeof (bytes as Bytes | undefined)?.length !== 'number') throw notBytes(bytes);
    if (typeof bytes === 'string' && bytes.length <= scratchTextUnitsMax) this.#encode(span, bytes);
    else {
      span.source = typeof bytes === 'string' ? utf8Encode(bytes) : bytes;
      span.start = 0;
      span.end = span.source.length;
    }
    const length = span.bytes;
    this.#payloadBytes += length;
    return varintBytes(length) + length;
  }

  #encode(span: Span, text: string): void {
    const needed = this.#used + utf8BytesMax(text);
    if (needed > this.#scratch.length) {
      const grown = new Uint8Array(Math.max(needed, this.#scratch.length * 2));
      grown.set(this.#scratch.subarray(0, this.#used));
      this.#scratch = grown;
    }
    span.source = undefined;
    span.start = this.#used;
    span.end = utf8Write(text, this.#scratch, this.#used);
    this.#used = span.end;
  }

  #write(target: Uint8Array, at: number, span: Span): number {
    const { source = this.#scratch, start, end, bytes } = span;
    const to = writeVarint(target, at, bytes);
    if (bytes <= 0) return to;
    if (bytes <= loopBytesMax) {
      for (let index = 0; index < bytes; index += 1) target[to + index] = source[start + index] as number;
    } else {
      target.set(bytes === source.length ? source : source.subarray(start, end), to);
    }
    return to + bytes;
  }
}

const notBytes = (found: unknown): SluiceError =>
  batchError({
    code: 'INVALID_BATCH',
    rule: 'record',
    message: `keys and values are text, bytes or null, this is ${typeof found}`,
  });

/** A draft of its own for one whole record. */
export const draftOf = (record: LogRecord): RecordDraft => new RecordDraft().take(record, record.timestamp);

const isList = (
  headers: NonNullable<RecordContent['headers']>,
): headers is Extract<typeof headers, readonly unknown[]> => Array.isArray(headers);
