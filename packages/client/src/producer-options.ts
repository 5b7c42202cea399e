import type { Codec } from '@sluice/record';

export type AcksName = 'all' | 'leader' | 'none';

export interface ProducerOptions {
  /**
   * Which replicas have a record, synced to disk, before it counts as delivered: all in-sync ones (default), or the
   * leader alone, or none (taken by the leader's memory). Anything but `all` can lose delivered records.
   */
  readonly acks?: AcksName;
  /** Largest batch before compression; one larger record makes a larger batch. Default 256 KiB. */
  readonly batchBytesMax?: number;
  /**
   * How long a batch waits for more records. Default 0: it leaves as soon as it can, with all that gathered while it
   * could not, which already batches well under load.
   */
  readonly lingerMs?: number;
  /** Default `none`. `gzip` and `zstd` are built in; others need `ports.compression`. */
  readonly compression?: Codec;
  /** From `send` to the outcome, retries and waiting for room included. Default 120 s. */
  readonly deliveryTimeoutMs?: number;
  /** A node that leaves a batch unanswered for this long is taken for lost, and the batch is sent again. Default 30 s. */
  readonly requestTimeoutMs?: number;
  /** Records that are not delivered yet, in bytes; beyond it `send` waits and `post` refuses. Default 64 MiB. */
  readonly bufferBytesMax?: number;
  /**
   * No duplicates and no reordering, whatever fails. Default true, and false with `acks: 'none'`. Without it a batch
   * whose outcome is unknown is not sent again but fails as indefinite, and one that was refused goes again behind
   * those sent after it.
   */
  readonly idempotent?: boolean;
}
