/**
 * Finds what occurs again within 64 KiB, greedily by a hash of four bytes: fast and good enough for both block formats,
 * whose distances are 16 bits.
 */
export interface LzSink {
  /** Bytes `from` to `to` as they are, then `length` bytes (at least 4) from `distance` back (at most 65535). */
  match(from: number, to: number, distance: number, length: number): void;
}

const minLength = 4;
const hashBits = 14;
/** The longer nothing is found, the larger the steps: incompressible bytes must not cost much. */
const skipShift = 6;

/**
 * Tells the matches that begin before `lastStart` and end by `matchEnd`; returns where the literals begin that are left.
 */
export function findMatches(
  bytes: Uint8Array,
  { start, lastStart, matchEnd }: { readonly start: number; readonly lastStart: number; readonly matchEnd: number },
  sink: LzSink,
): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  // Positions from `start`, plus one: 0 is "none".
  const seen = new Uint32Array(1 << hashBits);
  let literalsFrom = start;
  let misses = 0;
  for (let at = start; at < lastStart; ) {
    const four = view.getUint32(at, true);
    const slot = Math.imul(four, 0x9e37_79b1) >>> (32 - hashBits);
    const candidate = start + (seen[slot] ?? 0) - 1;
    seen[slot] = at - start + 1;
    if (candidate < start || at - candidate > 0xffff || view.getUint32(candidate, true) !== four) {
      misses += 1;
      at += 1 + (misses >> skipShift);
      continue;
    }
    let end = at + minLength;
    while (end < matchEnd && bytes[end] === bytes[candidate + end - at]) end += 1;
    sink.match(literalsFrom, at, at - candidate, end - at);
    literalsFrom = end;
    at = end;
    misses = 0;
  }
  return literalsFrom;
}
