/**
 * Encodes records into one batch. Owns one growing buffer: room for the header, then the records as they will lie on
 * the wire. Called by the producer, one builder a batch.
 *
 * B1. The bytes in `#buffer` from 61 to `#end` are `#count` whole records, numbered from 0, relative to the first one's
 *     timestamp.
 * B2. After `build` the buffer belongs to the caller and the builder refuses everything.
 */
import { invariant, utf8Encode } from '@sluice/base';
import { writeInt64 } from './batch-header.ts';
import type { Compressor } from './codec.ts';
import { crc32c } from './crc32c.ts';
import {
  attributesAt,
  baseSequenceAt,
  baseTimestampAt,
  batchHeaderBytes,
  batchLengthAt,
  batchMagic,
  codecs,
  crcAt,
  crcStartAt,
  lastOffsetDeltaAt,
  leaderEpochAt,
  lengthPrefixBytes,
  magicAt,
  maxTimestampAt,
  producerEpochAt,
  producerIdAt,
  recordCountAt,
} from './layout.ts';
import type { LogRecord } from './record.ts';
import { recordProblem } from './record.ts';
import { varintBytes, varlongBytes, writeVarint, writeVarlong } from './varint.ts';

export interface BatchBuilderOptions {
  /** First size of the buffer; the batch limit of the producer avoids every copy. 16 KiB when absent. */
  readonly capacityBytes?: number;
}

export interface BatchStamp {
  /** −1 for a producer that is not idempotent; epoch and sequence are then −1 too. */
  readonly producerId: number;
  readonly producerEpoch: number;
  readonly baseSequence: number;
  /** Absent: not compressed. A batch that would grow is sent uncompressed. */
  readonly compressor?: Compressor;
}

/** The stamp of a producer that is not idempotent. */
export const unstamped: BatchStamp = { producerId: -1, producerEpoch: -1, baseSequence: -1 };

export class BatchBuilder {
  #buffer: Uint8Array;
  #end = batchHeaderBytes;
  #count = 0;
  #baseTimestamp = 0;
  #maxTimestamp = 0;
  #built = false;

  constructor(options: BatchBuilderOptions = {}) {
    this.#buffer = new Uint8Array(Math.max(options.capacityBytes ?? 16_384, batchHeaderBytes));
  }

  get recordCount(): number {
    return this.#count;
  }

  /** Bytes of the batch so far, header included, before compression. */
  get batchBytes(): number {
    return this.#end;
  }

  /** Bytes that the batch would have with this record too, before compression: exact. */
  bytesWith(record: LogRecord): number {
    const body = this.#bodyBytes(record);
    return this.#end + varintBytes(body) + body;
  }

  /** Adds the record, for which `recordProblem` was undefined, and returns `batchBytes`. Copies its bytes. */
  append(record: LogRecord): number {
    invariant(!this.#built, 'B2: append after build');
    invariant(recordProblem(record) === undefined, 'append of a record that was not checked', { at: record.timestamp });
    if (this.#count === 0) {
      this.#baseTimestamp = record.timestamp;
      this.#maxTimestamp = record.timestamp;
    } else if (record.timestamp > this.#maxTimestamp) {
      this.#maxTimestamp = record.timestamp;
    }
    const body = this.#bodyBytes(record);
    const end = this.#end + varintBytes(body) + body;
    if (end > this.#buffer.length) this.#grow(end);
    const written = this.#write(record, body);
    invariant(written === end, 'B1: a record took other bytes than counted', { written, end });
    this.#end = end;
    this.#count += 1;
    return end;
  }

  /** The batch as clients send it: offset 0, leader epoch −1. The builder is spent. */
  build(stamp: BatchStamp): Uint8Array {
    invariant(!this.#built && this.#count > 0, 'B2: build of a spent or empty builder', { count: this.#count });
    this.#built = true;
    // A small batch in a large buffer would pin all of it for as long as the batch is in flight.
    const sparse = this.#end * 2 < this.#buffer.length;
    let batch = sparse ? this.#buffer.slice(0, this.#end) : this.#buffer.subarray(0, this.#end);
    let codec = 0;
    if (stamp.compressor !== undefined) {
      const records = stamp.compressor.compress(this.#buffer.subarray(batchHeaderBytes, this.#end));
      if (batchHeaderBytes + records.length < this.#end) {
        batch = new Uint8Array(batchHeaderBytes + records.length);
        batch.set(records, batchHeaderBytes);
        codec = codecs.indexOf(stamp.compressor.codec);
      }
    }
    this.#buffer = new Uint8Array(0);
    this.#writeHeader(batch, codec, stamp);
    return batch;
  }

  #writeHeader(batch: Uint8Array, codec: number, stamp: BatchStamp): void {
    const view = new DataView(batch.buffer, batch.byteOffset, batch.byteLength);
    view.setInt32(batchLengthAt, batch.byteLength - lengthPrefixBytes);
    view.setInt32(leaderEpochAt, -1);
    view.setInt8(magicAt, batchMagic);
    view.setUint16(attributesAt, codec);
    view.setInt32(lastOffsetDeltaAt, this.#count - 1);
    writeInt64(view, baseTimestampAt, this.#baseTimestamp);
    writeInt64(view, maxTimestampAt, this.#maxTimestamp);
    writeInt64(view, producerIdAt, stamp.producerId);
    view.setInt16(producerEpochAt, stamp.producerEpoch);
    view.setInt32(baseSequenceAt, stamp.baseSequence);
    view.setInt32(recordCountAt, this.#count);
    view.setUint32(crcAt, crc32c(batch.subarray(crcStartAt)));
  }

  /** Bytes of the record after its length field. */
  #bodyBytes(record: LogRecord): number {
    const delta = this.#count === 0 ? 0 : record.timestamp - this.#baseTimestamp;
    let bytes = 1 + varlongBytes(delta) + varintBytes(this.#count) + blobBytes(record.key) + blobBytes(record.value);
    bytes += varintBytes(record.headers.length);
    for (const header of record.headers) {
      const keyBytes = utf8Bytes(header.key);
      bytes += varintBytes(keyBytes) + keyBytes + blobBytes(header.value);
    }
    return bytes;
  }

  #write(record: LogRecord, body: number): number {
    const target = this.#buffer;
    let at = writeVarint(target, this.#end, body);
    target[at] = 0;
    at = writeVarlong(target, at + 1, record.timestamp - this.#baseTimestamp);
    at = writeVarint(target, at, this.#count);
    at = writeBlob(target, at, record.key);
    at = writeBlob(target, at, record.value);
    at = writeVarint(target, at, record.headers.length);
    for (const header of record.headers) {
      at = writeText(target, at, header.key);
      at = writeBlob(target, at, header.value);
    }
    return at;
  }

  #grow(bytesNeeded: number): void {
    const grown = new Uint8Array(Math.max(bytesNeeded, this.#buffer.length * 2));
    grown.set(this.#buffer.subarray(0, this.#end));
    this.#buffer = grown;
  }
}

const blobBytes = (blob: Uint8Array | null): number => (blob === null ? 1 : varintBytes(blob.length) + blob.length);

function writeBlob(target: Uint8Array, at: number, blob: Uint8Array | null): number {
  if (blob === null) return writeVarint(target, at, -1);
  const start = writeVarint(target, at, blob.length);
  target.set(blob, start);
  return start + blob.length;
}

/** Bytes of the text in UTF-8; half a surrogate pair counts as U+FFFD, three bytes, as it will be encoded. */
function utf8Bytes(text: string): number {
  let bytes = text.length;
  for (let at = 0; at < text.length; at += 1) {
    const unit = text.charCodeAt(at);
    if (unit < 0x80) continue;
    if (unit < 0x800) bytes += 1;
    else if (isHigh(unit) && isLow(text.charCodeAt(at + 1))) {
      // Two units, four bytes.
      bytes += 2;
      at += 1;
    } else bytes += 2;
  }
  return bytes;
}

const isHigh = (unit: number): boolean => unit >= 0xd800 && unit < 0xdc00;
const isLow = (unit: number): boolean => unit >= 0xdc00 && unit < 0xe000;

/** Header keys are mostly short ASCII: written without a detour through another buffer. */
function writeText(target: Uint8Array, at: number, text: string): number {
  const bytes = utf8Bytes(text);
  const start = writeVarint(target, at, bytes);
  if (bytes === text.length) {
    for (let index = 0; index < bytes; index += 1) target[start + index] = text.charCodeAt(index);
  } else {
    target.set(utf8Encode(text), start);
  }
  return start + bytes;
}
