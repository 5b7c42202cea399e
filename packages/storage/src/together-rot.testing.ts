/**
 * Decay under `together.testing.ts`: bits flip in batches of finished files, while everything else goes on. Owns which logs
 * may have met one; no other may ever be lossy.
 */
import type { Random } from '@sluice/base';
import { SluiceError } from '@sluice/base';
import type { LogStore } from './log-store.ts';
import type { MemoryDisk } from './memory-disk.ts';
import type { Appended, ModelLog } from './together-model.testing.ts';

export class Rot {
  flips = 0;
  readonly #disk: MemoryDisk;
  readonly #random: Random;
  /** By number and life: a flip may lie under what the log no longer has, and is met when its neighbours are moved. */
  readonly #touched = new Set<string>();

  constructor(disk: MemoryDisk, random: Random) {
    this.#disk = disk;
    this.#random = random;
  }

  mayTouch(number: number, { life }: ModelLog): boolean {
    return this.#touched.has(`${number}:${life}`);
  }

  /** In one copy of this batch of the log, when a finished file has one: the two newest may not have their footers named yet. */
  flip(number: number, { life }: ModelLog, batch: Uint8Array): void {
    const paths = this.#disk.durablePaths();
    const newest = paths.filter((path) => path.includes('/journal-')).slice(-2);
    for (const path of paths) {
      if (!/\/(?:journal|sorted)-/.test(path) || newest.includes(path)) continue;
      const position = Buffer.from(this.#disk.durableBytes(path)).indexOf(batch);
      if (position < 0) continue;
      this.#disk.flipBit(path, position + this.#random.below(batch.length), this.#random.below(8));
      this.#touched.add(`${number}:${life}`);
      this.flips += 1;
      return;
    }
  }
}

export const isDamage = (error: unknown): boolean => error instanceof SluiceError && error.code === 'STORAGE_FAILED';

/** D1, of a log that is what the model says but for damage. */
export function wrongLoss({ lossy }: LogStore, { start, batches }: ModelLog): string | undefined {
  if (lossy === undefined) return undefined;
  const { intactEnd } = lossy;
  const isPlace = intactEnd === start || batches.some(({ end }) => end === intactEnd && end > start);
  return isPlace
    ? undefined
    : `${start}, ${batches.map((one) => one.base + '-' + one.end).join(' ')} is told to be intact up to ${intactEnd}, where no batch ends`;
}

export const keptBelow = (to: number, batches: readonly Appended[]): readonly Appended[] =>
  batches.filter(({ end }) => end <= to);
