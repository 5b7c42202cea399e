/**
 * Port: the controller's Raft log and hard state, in the node log beside everything else.
 * Called by the controller shell only.
 */
import type { LogIndex, Term } from '@sluice/base';

export interface RaftHardState {
  readonly term: Term;
  /** Whom this node voted for in `term`. */
  readonly votedFor: string | null;
}

export interface RaftEntry {
  readonly index: LogIndex;
  readonly term: Term;
  /** 0 to 255, opaque here. */
  readonly kind: number;
  readonly payload: Uint8Array;
}

/** One atomic write: all of it survives a crash or none (P1, P3, P4). Applied in the order of the fields. */
export interface RaftWrite {
  readonly hardState?: RaftHardState;
  /** Discards every entry at and after this index. */
  readonly truncateFrom?: LogIndex;
  /** Contiguous; an entry at index i discards every stored entry at and after i first (P1). */
  readonly entries?: readonly RaftEntry[];
}

export interface RaftState {
  readonly hardState: RaftHardState;
  /** Contiguous from the first that is kept. */
  readonly entries: readonly RaftEntry[];
}

export interface RaftStore {
  /** What recovery found; may be called once, before the first `persist`. */
  load(): RaftState;
  /** True when damage may have touched the Raft log or a vote: such a node must not vote until admitted again. */
  readonly doubtful: boolean;
  /** The node was admitted again; durable with the next group. */
  healed(): void;
  /**
   * Queues the write; `onDurable` is called when it is on stable media, in the order of the calls, and never when the
   * disk fails. Throws `STORAGE_FAILED` after a failure.
   */
  persist(write: RaftWrite, onDurable: () => void): void;
}
