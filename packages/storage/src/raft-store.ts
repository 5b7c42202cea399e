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

/** The state machine as of an entry, which the log then starts with. */
export interface RaftSnapshot {
  readonly index: LogIndex;
  /** Of the entry at `index`. */
  readonly term: Term;
  /** Opaque here: the membership as of `index`. */
  readonly meta: Uint8Array;
  readonly bytes: Uint8Array;
}

/** A saved snapshot becomes the start of the log. */
export interface RaftCompaction {
  readonly index: LogIndex;
  readonly term: Term;
  /** Entries below it are discarded; `index + 1` at most. */
  readonly keepFrom: LogIndex;
  /** All entries are discarded. */
  readonly replacesLog: boolean;
}

/** One atomic write: all of it survives a crash or none (P1, P3, P4). Applied in the order of the fields. */
export interface RaftWrite {
  readonly hardState?: RaftHardState;
  /** Never older than the one before. */
  readonly snapshot?: RaftCompaction;
  /** Discards every entry at and after this index. */
  readonly truncateFrom?: LogIndex;
  /** Contiguous; an entry at index i discards every stored entry at and after i first (P1). */
  readonly entries?: readonly RaftEntry[];
}

export interface RaftState {
  readonly hardState: RaftHardState;
  /** Null too when it, or the log behind it, is lost: there are no entries then, and the state is doubtful. */
  readonly snapshot: RaftSnapshot | null;
  /** Contiguous from the first that is kept, which is `snapshot.index + 1` at most. */
  readonly entries: readonly RaftEntry[];
}

export interface RaftStore {
  /** What recovery found; may be called once, before the first `persist`. */
  load(): RaftState;
  /** True when damage may have touched the Raft log or a vote: such a node must not vote until admitted again. */
  readonly doubtful: boolean;
  /** Entries that were asked for since the last snapshot became the start of the log, as they lie in the log. */
  readonly logBytes: number;
  /**
   * Resolves when the snapshot is on stable media. It means nothing until a write names it, and is lost at the next start
   * without one. Waits for room on a full disk. Rejects with `STORAGE_FAILED` when the disk fails, which stops the node,
   * with `SHUTTING_DOWN`, and with `DiskError` where no file may be so large or there is no room until the log is closed.
   */
  saveSnapshot(snapshot: RaftSnapshot): Promise<void>;
  /** The node was admitted again; durable with the next group. */
  healed(): void;
  /**
   * Queues the write; `onDurable` is called when it is on stable media, in the order of the calls, and never when the
   * disk fails. Throws `STORAGE_FAILED` after a failure. Older snapshots go once one that replaces them is durably named.
   */
  persist(write: RaftWrite, onDurable: () => void): void;
}
