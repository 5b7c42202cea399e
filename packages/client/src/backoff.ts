import type { Random } from '@sluice/base';

/** Growing pauses with jitter, so that clients which failed together do not come back together. */
export class Backoff {
  readonly #random: Random;
  readonly #firstMs: number;
  readonly #maxMs: number;
  #failures = 0;

  constructor(random: Random, firstMs: number, maxMs: number) {
    this.#random = random;
    this.#firstMs = firstMs;
    this.#maxMs = maxMs;
  }

  /** Between half and all of the next step. */
  nextMs(): number {
    const stepMs = Math.min(this.#firstMs * 2 ** this.#failures, this.#maxMs);
    if (stepMs < this.#maxMs) this.#failures += 1;
    const half = Math.max(1, Math.floor(stepMs / 2));
    return half + this.#random.below(half);
  }

  reset(): void {
    this.#failures = 0;
  }
}
