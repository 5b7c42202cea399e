import type { DecodedRecord, Decompress, RecordReader } from '@sluice/record';
import { batchError, readRecords } from '@sluice/record';

export type ConsumedRecord = DecodedRecord;

/**
 * Records of one partition, checked against their checksum, decoded when asked for. None where compaction left none: the
 * offsets are passed all the same.
 */
export interface ConsumedBatch {
  readonly topic: string;
  readonly partition: number;
  /** Offset of the first record that was asked for. */
  readonly baseOffset: number;
  /** Where to go on: the offset after the last record. */
  readonly nextOffset: number;
  /** Committed end of the partition when this was read. */
  readonly highWatermark: number;
  /** Of the batch as it was sent, compressed or not. */
  readonly batchBytes: number;
  /**
   * The records in order of their offsets, each decoded when the iteration comes to it, anew in every iteration. Keys and
   * values are views of the batch's memory. The iteration throws `INVALID_BATCH` or `CORRUPT_BATCH` where a record does
   * not decode, which the checksum cannot tell.
   */
  records(): Iterable<ConsumedRecord>;
}

export class FetchedBatch implements ConsumedBatch {
  readonly topic: string;
  readonly partition: number;
  readonly baseOffset: number;
  readonly nextOffset: number;
  readonly highWatermark: number;
  readonly #bytes: Uint8Array;
  readonly #decompress: Decompress;

  constructor(
    facts: Pick<ConsumedBatch, 'topic' | 'partition' | 'baseOffset' | 'nextOffset' | 'highWatermark'>,
    bytes: Uint8Array,
    decompress: Decompress,
  ) {
    this.topic = facts.topic;
    this.partition = facts.partition;
    this.baseOffset = facts.baseOffset;
    this.nextOffset = facts.nextOffset;
    this.highWatermark = facts.highWatermark;
    this.#bytes = bytes;
    this.#decompress = decompress;
  }

  get batchBytes(): number {
    return this.#bytes.byteLength;
  }

  records(): Iterable<ConsumedRecord> {
    return { [Symbol.iterator]: () => new RecordIterator(this, this.#read()) };
  }

  #read(): RecordReader {
    const read = readRecords(this.#bytes, { decompress: this.#decompress });
    if (!read.ok) throw batchError(read.problem, placeOf(this));
    return read.value;
  }
}

/** No generator: measured, 20 million records a second instead of 16. */
class RecordIterator implements Iterator<ConsumedRecord, undefined> {
  readonly #batch: FetchedBatch;
  readonly #reader: RecordReader;

  constructor(batch: FetchedBatch, reader: RecordReader) {
    this.#batch = batch;
    this.#reader = reader;
  }

  next(): IteratorResult<ConsumedRecord, undefined> {
    const batch = this.#batch;
    let value = this.#reader.next();
    // A batch is stored whole: the first one may begin before what was asked for.
    while (value !== undefined && value.offset < batch.baseOffset) value = this.#reader.next();
    if (value !== undefined) return { value, done: false };
    const { problem } = this.#reader;
    if (problem !== undefined) throw batchError(problem, placeOf(batch));
    return { value: undefined, done: true };
  }
}

const placeOf = ({ topic, partition, baseOffset }: ConsumedBatch): Readonly<Record<string, unknown>> => ({
  topic,
  partition,
  offset: baseOffset,
});
