/** Kafka's key hash (MurmurHash2, 32 bits, its seed), signed: equal keys meet in one partition whichever client sent them. */
export function murmur2(key: Uint8Array): number {
  const multiplier = 0x5bd1_e995;
  let hash = 0x9747_b28c ^ key.length;
  const whole = key.length & ~3;
  for (let at = 0; at < whole; at += 4) {
    let word = byteAt(key, at) | (byteAt(key, at + 1) << 8) | (byteAt(key, at + 2) << 16) | (byteAt(key, at + 3) << 24);
    word = Math.imul(word, multiplier);
    word ^= word >>> 24;
    hash = Math.imul(hash, multiplier) ^ Math.imul(word, multiplier);
  }
  const rest = key.length - whole;
  if (rest === 3) hash ^= byteAt(key, whole + 2) << 16;
  if (rest >= 2) hash ^= byteAt(key, whole + 1) << 8;
  if (rest >= 1) hash = Math.imul(hash ^ byteAt(key, whole), multiplier);
  hash = Math.imul(hash ^ (hash >>> 13), multiplier);
  return hash ^ (hash >>> 15);
}

/** The partition, from 0, of a keyed record in a topic of `partitionCount` partitions. */
export const partitionForKey = (key: Uint8Array, partitionCount: number): number =>
  (murmur2(key) & 0x7fff_ffff) % partitionCount;

const byteAt = (bytes: Uint8Array, at: number): number => bytes[at] as number;
