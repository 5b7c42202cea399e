/**
 * What the shell must do after one step. Each field is named for its durability contract; the order of the fields is
 * the order of the work. The shell's whole duty:
 *
 * 1. Hand `persist` to the disk, in the order of the numbers, each as one atomic write; when it is durable, step
 *    `persisted`. A write that fails stops the node (P10).
 * 2. Keep each message of `sendAfterPersist` until the persist numbered `afterPersist` and all before it are durable,
 *    then send it (P2). Drop them all on a crash; nothing else is ever held.
 * 3. Send `sendNow`.
 * 4. Make `saveSnapshot` durable, then step `snapshot-saved`. A write that fails stops the node (P10).
 * 5. Replace the state machine by `restore`.
 * 6. Apply `committed`.
 * 7. Answer each of `reads` that was confirmed when its index is applied; one that was not, now.
 *
 * Messages may be lost, repeated or reordered at any point.
 */
import type { LogIndex, Term } from '@sluice/base';
import type { Entry, Envelope, MemberId, Membership, Snapshot, Voter } from './messages.ts';
import type { MembershipRefusal, RaftTrace } from './trace.ts';

/** (term, vote) is one record: half of it is never on disk (P4). */
export interface HardState {
  readonly term: Term;
  readonly votedFor: MemberId | undefined;
}

/** The saved snapshot of (index, term) is the start of the log from now on. Small: its bytes are on disk already. */
export interface PersistSnapshot {
  readonly index: LogIndex;
  readonly term: Term;
  readonly membership: Membership;
  /** Entries below are discarded. */
  readonly keepFrom: LogIndex;
  /** All entries are discarded, also those at and above `keepFrom`, which is the index after the snapshot. */
  readonly replacesLog: boolean;
}

/** One atomic write: all of it is on disk, or none (P1, P3). */
export interface Persist {
  /** 1 for the first write of this life, then one more each. */
  readonly number: number;
  /** Present when it changed. */
  readonly hardState: HardState | undefined;
  readonly snapshot: PersistSnapshot | undefined;
  /** Discard every persisted entry at or above this index before appending. */
  readonly truncateFrom: LogIndex | undefined;
  /** Contiguous, and following what is left of the log. */
  readonly entries: readonly Entry[];
}

export interface HeldEnvelope extends Envelope {
  /** Send when this persist and all before it are durable. */
  readonly afterPersist: number;
}

/** What became of a `propose`. Accepted is not committed: wait for the entry, at its index and **its term**. */
export type Proposal =
  | { readonly outcome: 'accepted'; readonly firstIndex: LogIndex; readonly lastIndex: LogIndex; readonly term: Term }
  | { readonly outcome: 'not-leader'; readonly leader: MemberId | undefined }
  /** Too much is uncommitted; it had no effect, try again when entries have committed. */
  | { readonly outcome: 'tail-full'; readonly uncommittedBytes: number }
  /** Leadership is being handed over; it had no effect, ask again: here if that fails, else the new leader. */
  | { readonly outcome: 'transferring' };

export type MembershipChange = { readonly add: Voter } | { readonly remove: MemberId };

/** What became of a `change-membership`. Accepted is in effect, and not committed: wait for its entry and term. */
export type MembershipChangeOutcome =
  | { readonly outcome: 'accepted'; readonly index: LogIndex; readonly term: Term }
  | {
      readonly outcome: 'refused';
      readonly reason: MembershipRefusal;
      readonly leader?: MemberId;
      /** For `not-caught-up`: how far it durably is, unless it is not replicated to, and where the log ends. */
      readonly matchIndex?: LogIndex;
      readonly lastIndex?: LogIndex;
    };

/** What became of a `transfer`. Begun is not done: `leadership` tells, and after an election timeout it is given up. */
export type TransferOutcome =
  | { readonly outcome: 'begun' }
  | {
      readonly outcome: 'refused';
      readonly reason: 'not-leader' | 'not-a-voter' | 'already-leader' | 'transfer-under-way';
    };

/**
 * What became of a `read`. Confirmed: everything that anybody had committed when the read began is at or below `index`,
 * so the memory of the member that has applied it answers linearizably.
 */
export type ReadOutcome =
  | { readonly id: number; readonly outcome: 'confirmed'; readonly index: LogIndex }
  | { readonly id: number; readonly outcome: 'not-leader' };

export type Role = 'follower' | 'pre-candidate' | 'candidate' | 'leader';

/** Where leadership stands. A proposal accepted in a term that is over and not yet committed is of unknown outcome. */
export interface Leadership {
  readonly role: Role;
  readonly term: Term;
  readonly leader: MemberId | undefined;
}

export interface RaftEffects {
  readonly persist: Persist | undefined;
  readonly sendAfterPersist: readonly HeldEnvelope[];
  readonly sendNow: readonly Envelope[];
  /** A whole snapshot arrived from the leader. */
  readonly saveSnapshot: Snapshot | undefined;
  /** The state machine begins anew from this; its persist is durable. Never at start: the shell loads its own then. */
  readonly restore: Snapshot | undefined;
  /** Newly committed and durable here: in order, each exactly once a life, no gaps but those that `restore` fills,
   * no-ops included. */
  readonly committed: readonly Entry[];
  /** The answer to a `propose`, in the step of that event. */
  readonly proposal: Proposal | undefined;
  /** The answer to a `change-membership`, in the step of that event. */
  readonly membershipChange: MembershipChangeOutcome | undefined;
  /** The answer to a `transfer`, in the step of that event. */
  readonly transfer: TransferOutcome | undefined;
  /** Present when other voters than before are in effect here. */
  readonly membership: Membership | undefined;
  /** Of reads of this step and of earlier ones; each is answered once. */
  readonly reads: readonly ReadOutcome[];
  /** Present when role, term or leader changed in this step. */
  readonly leadership: Leadership | undefined;
  /** Step a `tick` at this time, on the clock of `nowMs`; replaces the time given before. */
  readonly nextTickAtMs: number;
  readonly trace: readonly RaftTrace[];
}
