/** Byte positions of record batch v2, big-endian, from the first byte of the batch. */

/** The length field counts the bytes after itself; these 12 come before. */
export const lengthPrefixBytes = 12;
export const batchHeaderBytes = 61;

export const baseOffsetAt = 0;
export const batchLengthAt = 8;
export const leaderEpochAt = 12;
export const magicAt = 16;
export const crcAt = 17;
/** The CRC covers everything from here to the end: the leader may patch what lies before. */
export const crcStartAt = 21;
export const attributesAt = 21;
export const lastOffsetDeltaAt = 23;
export const baseTimestampAt = 27;
export const maxTimestampAt = 35;
export const producerIdAt = 43;
export const producerEpochAt = 51;
export const baseSequenceAt = 53;
export const recordCountAt = 57;

export const batchMagic = 2;

export const codecMask = 0x07;
export const logAppendTimeBit = 0x08;
export const transactionalBit = 0x10;
export const controlBit = 0x20;
export const deleteHorizonBit = 0x40;
export const unusedAttributesMask = 0xff80;

/** Length, attributes, timestamp delta, offset delta, key length, value length and header count, one byte each. */
export const recordBytesMin = 7;
/** Key length and value length, one byte each. */
export const recordHeaderBytesMin = 2;

/** By id on the wire. */
export const codecs = ['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const;
export type Codec = (typeof codecs)[number];
