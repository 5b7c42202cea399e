import type { Random } from '@sluice/base';
import type { Sluice } from '@sluice/client';

/** What the clients live in: a simulation, or the real world. */
export interface Surroundings {
  readonly random: Random;
  /** A client on a machine of its own. */
  client(name: string): Sluice;
  schedule(delayUs: number, what: string, run: () => void): void;
  /** Rejects when it is not so within the limit. */
  until(what: string, limitMs: number, isDone: () => boolean): Promise<void>;
  /** As `promise`; rejects when it is not settled within the limit. */
  settle<T>(what: string, limitMs: number, promise: Promise<T>): Promise<T>;
}
