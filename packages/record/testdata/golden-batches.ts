/**
 * Batches written by hand from the format's description, byte by byte, and by no code of this package; their CRCs come
 * from a bitwise implementation of the polynomial.
 */

const bytesOf = (hex: string): Uint8Array<ArrayBuffer> =>
  Uint8Array.from(hex.replaceAll(/\s/g, '').match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));

/** One record, key `k`, value `v`, at 1 700 000 000 000 ms; no producer id. */
export const oneRecord = (): Uint8Array<ArrayBuffer> =>
  bytesOf(`
    0000000000000000 0000003a ffffffff 02 e99b8dd8
    0000 00000000 0000018bcfe56800 0000018bcfe56800
    ffffffffffffffff ffff ffffffff 00000001
    10 00 00 00 02 6b 02 76 00
  `);

/**
 * Producer 4242, epoch 7, first sequence 2^31 − 1. Record 0 at 1000 ms: null key, null value. Record 1 at 1300 ms: null
 * key, value `hi`, headers `a` = null and `é` = 00 ff.
 */
export const twoRecords = (): Uint8Array<ArrayBuffer> =>
  bytesOf(`
    0000000000000000 0000004b ffffffff 02 20c026a7
    0000 00000001 00000000000003e8 0000000000000514
    0000000000001092 0007 7fffffff 00000002
    0c 00 00 00 01 01 00
    24 00 d804 02 01 04 6869 04 02 61 01 04 c3a9 04 00ff
  `);

/** A commit marker at offset 100 of leader epoch 3, producer 77 epoch 1: a control batch as only a broker writes it. */
export const commitMarker = (): Uint8Array<ArrayBuffer> =>
  bytesOf(`
    0000000000000064 00000042 00000003 02 c492110d
    0030 00000000 0000000000001388 0000000000001388
    000000000000004d 0001 ffffffff 00000001
    20 00 00 00 08 0000 0001 0c 0000 00000009 00
  `);

/** The batch as after a leader gave it epoch 3. */
export function placed(batch: Uint8Array): Uint8Array<ArrayBuffer> {
  const copy = Uint8Array.from(batch);
  new DataView(copy.buffer).setInt32(12, 3);
  return copy;
}

/** CRC-32C bit by bit: slow, and nothing in common with the tables that it checks. */
export function bitwiseCrc32c(bytes: Uint8Array): number {
  let crc = 0xffff_ffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit += 1) crc = (crc & 1) === 1 ? (crc >>> 1) ^ 0x82f6_3b78 : crc >>> 1;
  }
  return ~crc >>> 0;
}

/** The batch after `edit`, with length and CRC made right again: wrong in nothing but what was edited. */
export function resealed(
  batch: Uint8Array,
  edit: (view: DataView, bytes: Uint8Array) => void,
): Uint8Array<ArrayBuffer> {
  const copy = Uint8Array.from(batch);
  const view = new DataView(copy.buffer);
  view.setInt32(8, copy.length - 12);
  edit(view, copy);
  view.setUint32(17, bitwiseCrc32c(copy.subarray(21)));
  return copy;
}

/** A sealed batch of these record bytes and this count: offsets 0 to count − 1, base timestamp 1000. */
export function batchOf(records: readonly number[], recordCount: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(61 + records.length);
  bytes.set(twoRecords().subarray(0, 61));
  bytes.set(records, 61);
  return resealed(bytes, (view) => {
    view.setInt32(23, recordCount - 1);
    view.setInt32(57, recordCount);
  });
}
