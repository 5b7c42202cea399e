import type { LogId } from '@sluice/base';

/**
 * What becomes of the batches of one log in a rewrite. Called with whole batches that follow each other, in offset order,
 * some at a time; what it gives takes their place: whole batches over the same offsets without a gap. The buffer that it
 * is given is used again afterwards, what it gives belongs to the rewrite.
 */
export type BatchTransform = (batches: Uint8Array) => Uint8Array | Promise<Uint8Array>;

/** Of a log that is to be written anew up to an offset, whether or not space is wanted. */
export interface AskedLog {
  readonly id: LogId;
  /** The files that hold what lies below it are rewritten. */
  readonly upTo: number;
  readonly transform: BatchTransform;
}
