/** Adapter: a generator whose seed nobody can guess or repeat. */
import { randomBytes } from 'node:crypto';
import type { Random } from '@sluice/base';
import { SeededRandom } from '@sluice/base';

/** 32 bits of seed are enough for jitter and never for identities, which are drawn from the system. */
class SystemRandom implements Random {
  readonly #seeded = new SeededRandom(randomBytes(4).readUInt32LE());

  nextUint32(): number {
    return this.#seeded.nextUint32();
  }

  below(bound: number): number {
    return this.#seeded.below(bound);
  }

  identity(): string {
    return randomBytes(16).toString('hex');
  }

  fork(_label: string): Random {
    return new SystemRandom();
  }
}

export const systemRandom = (): Random => new SystemRandom();
