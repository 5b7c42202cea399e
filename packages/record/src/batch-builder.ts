/**
 * Encodes records into one batch. Owns one growing buffer: room for the header, then the records as they will lie on
 * the wire. Called by the producer, one builder a batch.
 *
 * B1. The bytes in `#buffer` from 61 to `#end` are `#count` whole records, numbered from 0, relative to the first one's
 *     timestamp.
 * B2. After `build` the buffer belongs to the caller and the builder refuses everything.
 */
import { invariant, varintBytes, varlongBytes, writeVarint, writeVarlong } from '@sluice/base';
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
import type { RecordDraft } from './record-draft.ts';

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

  /**
   * Adds a copy of the record and returns `batchBytes`. When that would be more than `bytesMax`, nothing is added and the
   * result is −1; an empty builder takes any record.
   */
  append(record: RecordDraft, bytesMax = Infinity): number {
    invariant(!this.#built, 'B2: append after build');
    const body = this.#bodyBytes(record);
    const end = this.#end + varintBytes(body) + body;
    const { timestamp } = record;
    if (this.#count === 0) {
      this.#baseTimestamp = timestamp;
      this.#maxTimestamp = timestamp;
    } else {
      if (end > bytesMax) return -1;
      if (timestamp > this.#maxTimestamp) this.#maxTimestamp = timestamp;
    }
    if (end > this.#buffer.length) this.#grow(end);
    const target = this.#buffer;
    let at = writeVarint(target, this.#end, body);
    target[at] = 0;
    at = writeVarlong(target, at + 1, timestamp - this.#baseTimestamp);
    at = record.write(target, writeVarint(target, at, this.#count));
    invariant(at === end, 'B1: a record took other bytes than counted');
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
  #bodyBytes(record: RecordDraft): number {
    const delta = this.#count === 0 ? 0 : record.timestamp - this.#baseTimestamp;
    return 1 + varlongBytes(delta) + varintBytes(this.#count) + record.contentBytes;
  }

  #grow(bytesNeeded: number): void {
    const grown = new Uint8Array(Math.max(bytesNeeded, this.#buffer.length * 2));
    grown.set(this.#buffer.subarray(0, this.#end));
    this.#buffer = grown;
  }
}
