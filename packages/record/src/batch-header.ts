import type { LeaderEpoch, Offset } from '@sluice/base';
import { offset } from '@sluice/base';
import type { Codec } from './layout.ts';
import {
  attributesAt,
  baseOffsetAt,
  baseSequenceAt,
  baseTimestampAt,
  batchHeaderBytes,
  batchLengthAt,
  batchMagic,
  codecMask,
  codecs,
  controlBit,
  crcAt,
  deleteHorizonBit,
  lastOffsetDeltaAt,
  leaderEpochAt,
  lengthPrefixBytes,
  logAppendTimeBit,
  magicAt,
  maxTimestampAt,
  producerEpochAt,
  producerIdAt,
  recordBytesMin,
  recordCountAt,
  transactionalBit,
  unusedAttributesMask,
} from './layout.ts';
import type { Result } from './result.ts';
import { failure, success } from './result.ts';

/** Everything that can be known of a batch without looking at its records. */
export interface BatchHeader {
  /** 0 from a producer; given by the leader. Never so large that a record's offset exceeds 2^53 − 1. */
  readonly baseOffset: Offset;
  /** Of the whole batch, the 12 bytes before and in the length field included. */
  readonly batchBytes: number;
  /** 0 or −1 from a producer; given by the leader. */
  readonly leaderEpoch: number;
  readonly magic: number;
  /** As stored, 0 to 2^32 − 1. */
  readonly crc: number;
  readonly codec: Codec;
  readonly timestampType: 'create' | 'append';
  readonly transactional: boolean;
  readonly control: boolean;
  /** True when `baseTimestamp` is the time from which compaction may drop the batch's tombstones. */
  readonly deleteHorizon: boolean;
  /** Offset of the last record minus `baseOffset`, from 0; compaction keeps it. */
  readonly lastOffsetDelta: number;
  /** Milliseconds since the Unix epoch that the records' timestamps are relative to. */
  readonly baseTimestamp: number;
  /** As the producer wrote it, who may be wrong: decisions go by the broker's append time. */
  readonly maxTimestamp: number;
  /** −1 when the producer is not idempotent; epoch and sequence then mean nothing. */
  readonly producerId: number;
  readonly producerEpoch: number;
  readonly baseSequence: number;
  /** From 0 (emptied by compaction) to `lastOffsetDelta + 1`, and no more than the bytes can hold. */
  readonly recordCount: number;
}

/**
 * Most records that a compressed batch may claim for each compressed byte. A million empty records reach 1.9 at most
 * (measured with gzip 9 and zstd 3 to 22), because the offset delta differs in every record; the bound is there so that
 * a small batch cannot claim 2^31 offsets.
 */
export const compressedRecordsPerByteMax = 32;

export const lastOffset = (header: BatchHeader): Offset => offset(header.baseOffset + header.lastOffsetDelta);

/** Framing of one record of the largest size, generously: a topic's limit is on records, and batches carry them. */
const recordFramingBytes = 128;

/** The largest batch that a topic takes whose records may have `recordBytesMax` bytes. */
export const batchBytesMaxFor = (recordBytesMax: number): number =>
  batchHeaderBytes + recordFramingBytes + recordBytesMax;

/** The offset of the first record after the batch. */
export const offsetAfterBatch = (header: BatchHeader): Offset => offset(header.baseOffset + header.lastOffsetDelta + 1);

/**
 * Reads the header of the batch that starts at `at`, without its records and without its CRC. Fails when the bytes end
 * inside the batch, when the magic is not 2, and when a number contradicts the format whoever wrote it.
 */
export function readBatchHeader(bytes: Uint8Array, at = 0): Result<BatchHeader> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const frame = checkFrame(view, at);
  return frame.ok ? readFields(view, at, frame.value) : frame;
}

/** The bytes of the whole batch at `at`, once its length field and magic are plausible and all of it is there. */
export function checkFrame(view: DataView, at: number): Result<number> {
  const available = view.byteLength - at;
  if (available < batchHeaderBytes) {
    return failure(
      'CORRUPT_BATCH',
      'cut-off',
      `a batch needs ${batchHeaderBytes} bytes of header, ${available} are there`,
    );
  }
  const batchBytes = view.getInt32(at + batchLengthAt) + lengthPrefixBytes;
  if (batchBytes < batchHeaderBytes) {
    return failure('CORRUPT_BATCH', 'length', `the batch says that it has ${batchBytes} bytes, less than its header`);
  }
  const magic = view.getInt8(at + magicAt);
  if (magic !== batchMagic) {
    return failure('INVALID_BATCH', 'magic', `the batch has magic ${magic}; only ${batchMagic} is supported`);
  }
  if (batchBytes > available) {
    return failure(
      'CORRUPT_BATCH',
      'cut-off',
      `the batch says that it has ${batchBytes} bytes, ${available} are there`,
    );
  }
  return success(batchBytes);
}

/** The header of a batch whose frame was checked. */
export function readFields(view: DataView, at: number, batchBytes: number): Result<BatchHeader> {
  const attributes = view.getUint16(at + attributesAt);
  const codec = codecs[attributes & codecMask];
  if (codec === undefined || (attributes & unusedAttributesMask) !== 0) {
    return failure('INVALID_BATCH', 'attributes', `the batch has unknown attribute bits: 0x${attributes.toString(16)}`);
  }
  const baseOffset = readInt64(view, at + baseOffsetAt);
  const lastOffsetDelta = view.getInt32(at + lastOffsetDeltaAt);
  const baseTimestamp = readInt64(view, at + baseTimestampAt);
  const maxTimestamp = readInt64(view, at + maxTimestampAt);
  const producerId = readInt64(view, at + producerIdAt);
  // The offset after the last record must be a position too.
  if (baseOffset < 0 || lastOffsetDelta < 0 || !Number.isSafeInteger(baseOffset + lastOffsetDelta + 1)) {
    return failure(
      'INVALID_BATCH',
      'range',
      `offsets go from 0 to 2^53 - 1; the batch has ${baseOffset} + ${lastOffsetDelta}`,
    );
  }
  if (!Number.isSafeInteger(baseTimestamp) || !Number.isSafeInteger(maxTimestamp)) {
    return failure(
      'INVALID_BATCH',
      'range',
      `timestamps stay within 2^53; the batch has ${baseTimestamp}, ${maxTimestamp}`,
    );
  }
  if (producerId < -1 || !Number.isSafeInteger(producerId)) {
    return failure('INVALID_BATCH', 'range', `producer ids go from -1 to 2^53 - 1; the batch has ${producerId}`);
  }
  const recordCount = view.getInt32(at + recordCountAt);
  const recordCountMax = countMax(batchBytes - batchHeaderBytes, codec);
  if (recordCount < 0 || recordCount > lastOffsetDelta + 1 || recordCount > recordCountMax) {
    return failure(
      'INVALID_BATCH',
      'count',
      `the batch claims ${recordCount} records; it has ${lastOffsetDelta + 1} offsets and room for ${recordCountMax}`,
    );
  }
  const control = (attributes & controlBit) !== 0;
  const producerEpoch = view.getInt16(at + producerEpochAt);
  const baseSequence = view.getInt32(at + baseSequenceAt);
  // Markers consume no sequence and carry -1. Without a producer id clients write what they like there.
  if (producerId >= 0 && (producerEpoch < 0 || (baseSequence < 0 && !control))) {
    return failure(
      'INVALID_BATCH',
      'sequence',
      `producer ${producerId} needs an epoch and a sequence from 0; the batch has ${producerEpoch} and ${baseSequence}`,
    );
  }
  return success({
    baseOffset: offset(baseOffset),
    batchBytes,
    leaderEpoch: view.getInt32(at + leaderEpochAt),
    magic: batchMagic,
    crc: view.getUint32(at + crcAt),
    codec,
    timestampType: (attributes & logAppendTimeBit) === 0 ? 'create' : 'append',
    transactional: (attributes & transactionalBit) !== 0,
    control,
    deleteHorizon: (attributes & deleteHorizonBit) !== 0,
    lastOffsetDelta,
    baseTimestamp,
    maxTimestamp,
    producerId,
    producerEpoch,
    baseSequence,
    recordCount,
  });
}

/**
 * Writes the leader's offset and epoch into the batch at `at`, in place: both lie outside the CRC. Done once, before
 * anyone shares the bytes. The batch must have been checked.
 */
export function patchBatch(
  bytes: Uint8Array,
  at: number,
  place: { readonly baseOffset: Offset; readonly leaderEpoch: LeaderEpoch },
): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset + at, batchHeaderBytes);
  writeInt64(view, baseOffsetAt, place.baseOffset);
  view.setInt32(leaderEpochAt, place.leaderEpoch);
}

/** May be beyond 2^53 and then rounded: the caller asks `isSafeInteger`. */
function readInt64(view: DataView, at: number): number {
  return view.getInt32(at) * 0x1_0000_0000 + view.getUint32(at + 4);
}

export function writeInt64(view: DataView, at: number, value: number): void {
  view.setInt32(at, Math.floor(value / 0x1_0000_0000));
  view.setUint32(at + 4, value);
}

const countMax = (recordsBytes: number, codec: Codec): number =>
  codec === 'none' ? Math.floor(recordsBytes / recordBytesMin) : recordsBytes * compressedRecordsPerByteMax;
