import type { DecodedRecord, Decompress } from '@sluice/record';
import { batchError, decodeRecords } from '@sluice/record';

export type ConsumedRecord = DecodedRecord;

/** Records of one partition, checked against their checksum, decoded when asked for. */
export interface ConsumedBatch {
  readonly topic: string;
  readonly partition: number;
  /** Offset of the first record that was asked for. */
  readonly baseOffset: number;
  /** Where to go on: the offset after the last record. */
  readonly nextOffset: number;
  /** Committed end of the partition when this was read. */
  readonly highWatermark: number;
  /**
   * Keys and values are views of the batch's memory. Throws `INVALID_BATCH` or `CORRUPT_BATCH` when the records do not
   * decode, which their checksum cannot tell.
   */
  records(): readonly ConsumedRecord[];
}

export class FetchedBatch implements ConsumedBatch {
  readonly topic: string;
  readonly partition: number;
  readonly baseOffset: number;
  readonly nextOffset: number;
  readonly highWatermark: number;
  readonly #bytes: Uint8Array;
  readonly #decompress: Decompress;
  #records: readonly ConsumedRecord[] | undefined;

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

  records(): readonly ConsumedRecord[] {
    this.#records ??= this.#decode();
    return this.#records;
  }

  #decode(): readonly ConsumedRecord[] {
    const decoded = decodeRecords(this.#bytes, { decompress: this.#decompress });
    const { topic, partition, baseOffset } = this;
    if (!decoded.ok) throw batchError(decoded.problem, { topic, partition, offset: baseOffset });
    const first = decoded.value[0];
    // A batch is stored whole: the first one may begin before what was asked for.
    if (first === undefined || first.offset >= baseOffset) return decoded.value;
    return decoded.value.filter((record) => record.offset >= baseOffset);
  }
}
