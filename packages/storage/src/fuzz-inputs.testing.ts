/** Inputs for the fuzz targets: random bytes, and valid encodings with something changed in them. Equal for equal seeds. */
import type { Random } from '@sluice/base';
import { concat } from './test-batches.ts';

type Mutation = (bytes: Uint8Array, random: Random, other: Uint8Array) => Uint8Array;

/** What lengths, counts and positions are most likely to be wrong with. */
const telling = [0, 1, 0x7f, 0xff, 0x7fff, 0xffff, 0x7fff_ffff, 0x8000_0000, 0xffff_fffe, 0xffff_ffff];

const inserted = (bytes: Uint8Array, at: number, part: Uint8Array): Uint8Array =>
  concat([bytes.subarray(0, at), part, bytes.subarray(at)]);

const randomBytes = (random: Random, length: number): Uint8Array =>
  Uint8Array.from({ length }, () => random.below(256));

const part = (bytes: Uint8Array, random: Random): Uint8Array => {
  const from = random.below(bytes.length + 1);
  return bytes.subarray(from, from + random.below(Math.min(64, bytes.length - from) + 1));
};

const mutations: readonly Mutation[] = [
  function flipBits(bytes, random) {
    for (let left = 1 + random.below(8); left > 0 && bytes.length > 0; left -= 1) {
      const at = random.below(bytes.length);
      bytes[at] = (bytes[at] ?? 0) ^ (1 << random.below(8));
    }
    return bytes;
  },
  function setField(bytes, random) {
    const width = 1 << random.below(3);
    if (bytes.length < width) return bytes;
    const value = telling[random.below(telling.length)] ?? 0;
    const at = random.below(bytes.length - width + 1);
    for (let byte = 0; byte < width; byte += 1) bytes[at + byte] = (value >>> (8 * (width - 1 - byte))) & 0xff;
    return bytes;
  },
  (bytes, random) => bytes.subarray(0, random.below(bytes.length + 1)),
  (bytes, random) => concat([bytes, randomBytes(random, random.below(64))]),
  (bytes, random) => inserted(bytes, random.below(bytes.length + 1), part(bytes, random)),
  (bytes, random, other) => inserted(bytes, random.below(bytes.length + 1), part(other, random)),
  function cutOut(bytes, random) {
    const from = random.below(bytes.length + 1);
    const to = from + random.below(Math.min(64, bytes.length - from) + 1);
    return concat([bytes.subarray(0, from), bytes.subarray(to)]);
  },
  (bytes, random, other) => concat([bytes.subarray(0, random.below(bytes.length + 1)), part(other, random)]),
];

/** One in eight is random from its first byte to its last. */
export function fuzzInput(samples: readonly Uint8Array[], random: Random): Uint8Array {
  if (random.below(8) === 0) return randomBytes(random, random.below(512));
  const pick = (): Uint8Array => samples[random.below(samples.length)] ?? new Uint8Array(0);
  let bytes: Uint8Array = pick().slice();
  for (let left = 1 + random.below(3); left > 0; left -= 1) {
    const mutate = mutations[random.below(mutations.length)];
    if (mutate !== undefined) bytes = mutate(bytes, random, pick());
  }
  return bytes;
}
