/**
 * Where to begin: the first record there is, the end (only what is written from now on), an offset, the last n records,
 * n records after the first, or the first record of a time or later, in ms since 1970 by the clocks of producers: what
 * follows it may be older again. Where there is none yet it waits for it.
 */
export type StartPosition =
  | 'start'
  | 'end'
  | number
  | { readonly last: number }
  | { readonly after: number }
  | { readonly sinceMs: number };

export interface Assignment {
  readonly topic: string;
  readonly partition: number;
  /** Default `start`. */
  readonly from?: StartPosition;
}

export interface ConsumerOptions {
  /** No partition twice. */
  readonly assignments: readonly Assignment[];
  /** Bytes of batches that may be under way or wait for the application, over all partitions. Default 8 MiB. */
  readonly creditBytes?: number;
}

export interface SignalOption {
  /** Aborted, the call rejects with `CANCELLED`. */
  readonly signal?: AbortSignal | undefined;
}

export interface CloseOptions {
  /** How long what is under way may take; then it fails. */
  readonly timeoutMs?: number;
}
