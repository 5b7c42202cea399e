/** Everything that can happen to a member. `nowMs` is monotonic (`Clock.monotonicMs`) and never goes back. */
import type { MembershipChange } from './effects.ts';
import type { MemberId, RaftMessage, Snapshot } from './messages.ts';

/** Time has passed; due at `RaftEffects.nextTickAtMs`, harmless earlier or more often. */
export interface TickEvent {
  readonly kind: 'tick';
  readonly nowMs: number;
}

/** `from` is the authenticated sender, never a claim inside the message. */
export interface MessageEvent {
  readonly kind: 'message';
  readonly from: MemberId;
  readonly message: RaftMessage;
  readonly nowMs: number;
}

/** Append these commands, all or none; the answer is `RaftEffects.proposal`. At least one payload. */
export interface ProposeEvent {
  readonly kind: 'propose';
  readonly payloads: readonly Uint8Array[];
  readonly nowMs: number;
}

/**
 * The persist of this number **and every one before it** are durable. Numbers ascend; skipping some is fine, since one
 * group commit may complete several. There is no event for a failed write: the node halts (P10).
 */
export interface PersistedEvent {
  readonly kind: 'persisted';
  readonly number: number;
  readonly nowMs: number;
}

/** The stream to `peer` closed, and its machine refused to open another or did not answer: the process is gone. */
export interface PeerRefusedEvent {
  readonly kind: 'peer-refused';
  readonly peer: MemberId;
  readonly nowMs: number;
}

/** Asks from which index on the leader's memory answers linearizably; the answer with this id is in `effects.reads`. */
export interface ReadEvent {
  readonly kind: 'read';
  /** Chosen by the shell; not used for another read while it waits. */
  readonly id: number;
  readonly nowMs: number;
}

/** Make a member a voter, or a voter an observer; the answer is `RaftEffects.membershipChange`. */
export interface ChangeMembershipEvent {
  readonly kind: 'change-membership';
  readonly change: MembershipChange;
  readonly nowMs: number;
}

/** Let another voter lead, as before a restart; the answer is `RaftEffects.transfer`. */
export interface TransferEvent {
  readonly kind: 'transfer';
  readonly to: MemberId;
  readonly nowMs: number;
}

/** Leader: its disk hangs. It stops leading at once, and that voter is to campaign; ignored when it leads not, or it is none. */
export interface ResignEvent {
  readonly kind: 'resign';
  readonly to: MemberId;
  readonly nowMs: number;
}

/**
 * Members that may be voters by now, as the shell learned elsewhere: one that was away while all the voters that it
 * knows were replaced asks these for a leader too. Replaces those told before; nothing else depends on it.
 */
export interface VotersHintEvent {
  readonly kind: 'voters-hint';
  readonly members: readonly MemberId[];
  readonly nowMs: number;
}

/** A member whose later votes may be lost must not vote or campaign until it is admitted again. */
export interface VotingEvent {
  readonly kind: 'voting';
  readonly allowed: boolean;
  readonly nowMs: number;
}

/**
 * This snapshot is durable, though not yet part of any log: one that the shell took of its own state machine as of an
 * index that it was given in `committed` or `restore`, or the one that `RaftEffects.saveSnapshot` asked for.
 */
export interface SnapshotSavedEvent {
  readonly kind: 'snapshot-saved';
  readonly snapshot: Snapshot;
  readonly nowMs: number;
}

export type RaftEvent =
  | TickEvent
  | MessageEvent
  | ProposeEvent
  | ReadEvent
  | ChangeMembershipEvent
  | TransferEvent
  | ResignEvent
  | VotersHintEvent
  | PersistedEvent
  | PeerRefusedEvent
  | VotingEvent
  | SnapshotSavedEvent;
