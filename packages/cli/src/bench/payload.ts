import { randomFillSync } from 'node:crypto';

/** Enough that neighbours in a batch differ; small enough to make quickly. */
const distinctMax = 1000;
const poolBytesMax = 64 * 1024 * 1024;

/** Record values, half random: as compressible as records of services usually are. */
export function benchPayloads(recordBytes: number): readonly Uint8Array[] {
  const count = Math.max(1, Math.min(distinctMax, Math.floor(poolBytesMax / recordBytes)));
  return Array.from({ length: count }, () => benchPayload(recordBytes));
}

export function benchPayload(recordBytes: number): Uint8Array {
  const payload = new Uint8Array(recordBytes).fill(0x61);
  randomFillSync(payload, 0, Math.ceil(recordBytes / 2));
  return payload;
}
