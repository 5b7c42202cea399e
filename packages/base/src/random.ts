/** Port: randomness. Real: seeded from the system; simulated: from the run's seed. */
export interface Random {
  /** An integer from 0 to 2^32 − 1. */
  nextUint32(): number;
  /** An integer from 0 to `bound` − 1, without bias; `bound` from 1 to 2^32. */
  below(bound: number): number;
  /** 32 lower-case hex digits: a new identity. */
  identity(): string;
  /** An independent generator that depends only on this one's seed and `label`: draws in one never shift the other. */
  fork(label: string): Random;
}

/** xoshiro128**, seeded through splitmix32; fast, 128 bits of state, integers only. */
export class SeededRandom implements Random {
  readonly #seed: number;
  #a: number;
  #b: number;
  #c: number;
  #d: number;

  constructor(seed: number) {
    this.#seed = seed >>> 0;
    const mix = splitmix32(this.#seed);
    this.#a = mix();
    this.#b = mix();
    this.#c = mix();
    this.#d = mix() | 1;
  }

  nextUint32(): number {
    const scrambled = Math.imul(rotateLeft(Math.imul(this.#b, 5), 7), 9) >>> 0;
    const shifted = this.#b << 9;
    this.#c ^= this.#a;
    this.#d ^= this.#b;
    this.#b ^= this.#c;
    this.#a ^= this.#d;
    this.#c ^= shifted;
    this.#d = rotateLeft(this.#d, 11);
    return scrambled;
  }

  below(bound: number): number {
    // Rejecting the last partial range keeps every value equally likely.
    const limit = 0x1_0000_0000 - (0x1_0000_0000 % bound);
    for (;;) {
      const drawn = this.nextUint32();
      if (drawn < limit) return drawn % bound;
    }
  }

  identity(): string {
    let text = '';
    for (let word = 0; word < 4; word += 1) text += this.nextUint32().toString(16).padStart(8, '0');
    return text;
  }

  fork(label: string): Random {
    let hash = this.#seed ^ 0x811c_9dc5;
    for (let at = 0; at < label.length; at += 1) hash = Math.imul(hash ^ label.charCodeAt(at), 0x0100_0193);
    return new SeededRandom(hash);
  }
}

function rotateLeft(value: number, bits: number): number {
  return (value << bits) | (value >>> (32 - bits));
}

function splitmix32(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x9e37_79b9) | 0;
    let mixed = state ^ (state >>> 16);
    mixed = Math.imul(mixed, 0x21f0_aaad);
    mixed ^= mixed >>> 15;
    mixed = Math.imul(mixed, 0x735a_2d97);
    return (mixed ^ (mixed >>> 15)) >>> 0;
  };
}
