/** Trims a topic now and then, below what its producers were acked, and knows how far that may have come. */
import { SluiceError } from '@sluice/base';
import type { Random } from '@sluice/base';
import type { Sluice } from '@sluice/client';
import type { Surroundings } from './surroundings.ts';

export interface TrimmerOptions {
  readonly topic: string;
  readonly everyMs: number;
  /** By partition: the end of what is acked. */
  readonly ackedEnds: ReadonlyMap<number, number>;
}

export class Trimmer {
  readonly #surroundings: Surroundings;
  readonly #random: Random;
  readonly #options: TrimmerOptions;
  readonly #sluice: Sluice;
  readonly #asked = new Map<number, number>();
  readonly #done = new Map<number, number>();
  #count = 0;
  #open = 0;
  #stopped = false;

  constructor(surroundings: Surroundings, random: Random, options: TrimmerOptions) {
    this.#surroundings = surroundings;
    this.#random = random;
    this.#options = options;
    this.#sluice = surroundings.client(`trimmer-${options.topic}`);
    this.#later();
  }

  /** Answered. */
  get count(): number {
    return this.#count;
  }

  /** Below it records may be gone on purpose: one that was not answered may have been done all the same. */
  askedBelow(partition: number): number {
    return this.#asked.get(partition) ?? 0;
  }

  /** Below it records are gone. */
  doneBelow(partition: number): number {
    return this.#done.get(partition) ?? 0;
  }

  async stop(limitMs: number): Promise<void> {
    this.#stopped = true;
    await this.#surroundings.until('all trims are decided', limitMs, () => this.#open === 0);
    await this.#surroundings.settle('the trimmer closes', limitMs, this.#sluice.close());
  }

  #later(): void {
    this.#surroundings.schedule(this.#random.below(2 * this.#options.everyMs * 1000), 'trimmer', () => {
      if (this.#stopped) return;
      const ends = [...this.#options.ackedEnds];
      const [partition, end] = ends[this.#random.below(Math.max(1, ends.length))] ?? [];
      if (partition !== undefined && end !== undefined) void this.#trim(partition, 1 + this.#random.below(end));
      this.#later();
    });
  }

  async #trim(partition: number, before: number): Promise<void> {
    this.#open += 1;
    this.#asked.set(partition, Math.max(before, this.askedBelow(partition)));
    try {
      const trims = [{ partition, before }];
      const [outcome] = await this.#sluice.admin.trim(this.#options.topic, trims, { timeoutMs: 5000 });
      if (outcome === undefined || outcome.error !== undefined) return;
      this.#count += 1;
      this.#done.set(partition, Math.max(before, this.doneBelow(partition)));
    } catch (error) {
      // Under faults it may fail as any request does, and is not asked again.
      if (!(error instanceof SluiceError)) throw error;
    } finally {
      this.#open -= 1;
    }
  }
}
