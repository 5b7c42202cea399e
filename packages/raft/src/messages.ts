/**
 * What members say to each other. The shell carries them; it never looks inside except to encode.
 * Every message carries its sender's term: a higher term in any of them, request or reply, makes a member step down
 * (pre-vote requests excepted: theirs is only the term that the sender would campaign for).
 */
import { invariant } from '@sluice/base';
import type { LogIndex, Term } from '@sluice/base';

declare const memberBrand: unique symbol;

/**
 * One member of the group for one life of its directory: the shell makes it from node id and directory id, so that a
 * wiped disk under an old node id is another member and cannot vote under the identity that it lost (P9).
 */
export type MemberId = string & { readonly [memberBrand]: 'MemberId' };

/** `value`: 1 to 128 characters. */
export const memberId = (value: string): MemberId => {
  invariant(value.length >= 1 && value.length <= 128, 'member id out of range', { value });
  return value as MemberId;
};

/** The payload of a `membership` entry is the new set of voters, as `membership` encodes it. */
export type EntryKind = 'no-op' | 'command' | 'membership';

/** One entry of the log. The payload belongs to the log from the moment it is handed over: nobody writes to it again. */
export interface Entry {
  readonly index: LogIndex;
  readonly term: Term;
  readonly kind: EntryKind;
  /** Empty for a no-op. */
  readonly payload: Uint8Array;
}

/** One who votes and is counted. Members that are not voters are observers. */
export interface Voter {
  readonly id: MemberId;
  /** Where the shell reaches it; opaque here. */
  readonly address: string;
}

export interface Membership {
  /** Of the entry that made it; 0 for the initial one. */
  readonly index: LogIndex;
  readonly voters: readonly Voter[];
}

/** The state machine as of `index`, in place of the log up to there. Everything in it is committed. */
export interface Snapshot {
  readonly index: LogIndex;
  /** Of the entry at `index`. */
  readonly term: Term;
  /** As of `index`. */
  readonly membership: Membership;
  /** Opaque here. Nobody writes to it again. */
  readonly bytes: Uint8Array;
}

/**
 * Names one stretch of replication to one peer; replies echo it and the leader drops those of another session.
 * A reply from before a term change, a configuration change or a restart of the stretch can then not move progress.
 */
export interface ReplicationSession {
  readonly term: Term;
  /** Index of the configuration entry under which the peer is replicated to; 0 for the initial configuration. */
  readonly configIndex: LogIndex;
  /** Counts how often the leader has begun anew with this peer in this term and configuration. */
  readonly attempt: number;
}

export interface VoteRequest {
  readonly kind: 'vote-request';
  /** A pre-vote asks "would you?" and changes nothing at the one who answers. */
  readonly pre: boolean;
  /** The leader itself asked for it: a voter whose leader is alive answers all the same. Never with `pre`. */
  readonly transfer: boolean;
  /** The term campaigned for. For a pre-vote the sender's own term is one lower. */
  readonly term: Term;
  readonly lastIndex: LogIndex;
  readonly lastTerm: Term;
}

export interface VoteReply {
  readonly kind: 'vote-reply';
  readonly pre: boolean;
  /** The voter's own term; for a granted pre-vote the term that was asked for. */
  readonly term: Term;
  readonly granted: boolean;
}

export interface Append {
  readonly kind: 'append';
  readonly term: Term;
  readonly session: ReplicationSession;
  /** The entry before the first of `entries`; index 0 and term 0 before the start of the log. */
  readonly prevIndex: LogIndex;
  readonly prevTerm: Term;
  /** Contiguous from `prevIndex` + 1; empty for a probe or to tell the commit index. */
  readonly entries: readonly Entry[];
  readonly commitIndex: LogIndex;
}

/** The sender's log equals the leader's up to `matchIndex`, durably. */
export interface AppendAccepted {
  readonly kind: 'append-accepted';
  readonly term: Term;
  readonly session: ReplicationSession;
  readonly matchIndex: LogIndex;
}

/** The sender has no entry (`prevIndex`, prevTerm), or knows a higher term than the leader's. */
export interface AppendRejected {
  readonly kind: 'append-rejected';
  readonly term: Term;
  readonly session: ReplicationSession;
  /** Of the refused message. */
  readonly prevIndex: LogIndex;
  /** The highest index at which the two logs may still agree, and the sender's term there: skips a term a round trip. */
  readonly hintIndex: LogIndex;
  readonly hintTerm: Term;
  readonly lastIndex: LogIndex;
}

export interface Heartbeat {
  readonly kind: 'heartbeat';
  readonly term: Term;
  readonly session: ReplicationSession;
  /** The receiver takes it only as far as it knows its log to equal the leader's. */
  readonly commitIndex: LogIndex;
  /** Grows by one with each round of heartbeats of a leader: a reply proves that it still led when the round began. */
  readonly round: number;
}

export interface HeartbeatReply {
  readonly kind: 'heartbeat-reply';
  readonly term: Term;
  readonly session: ReplicationSession;
  /** How far the sender knows its log to equal this leader's, durable or not; 0 after its restart. Never counted. */
  readonly matchedIndex: LogIndex;
  /** Of the heartbeat that it answers. */
  readonly round: number;
}

/** From the leader to the voter that is to take over: campaign at once. */
export interface TimeOutNow {
  readonly kind: 'time-out-now';
  readonly term: Term;
}

/** A part of a snapshot, for a peer that lacks entries which the leader no longer has. */
export interface SnapshotChunk {
  readonly kind: 'snapshot-chunk';
  readonly term: Term;
  readonly session: ReplicationSession;
  /** Of the snapshot, as are `lastTerm` (its term) and `membership`. */
  readonly index: LogIndex;
  readonly lastTerm: Term;
  readonly membership: Membership;
  readonly bytesTotal: number;
  /** CRC-32C of the whole. */
  readonly checksum: number;
  readonly offset: number;
  /** Empty only at the end: it asks whether the snapshot is installed. Belongs to whoever it is handed to. */
  readonly chunk: Uint8Array;
  readonly chunkChecksum: number;
}

/** How far the sender has the snapshot of `index`, in memory. When it is installed it says `append-accepted` instead. */
export interface SnapshotProgress {
  readonly kind: 'snapshot-progress';
  readonly term: Term;
  readonly session: ReplicationSession;
  readonly index: LogIndex;
  readonly receivedBytes: number;
}

/** An observer, or a voter that finds no leader for long, asks every voter to be replicated to; whoever leads begins. */
export interface Observe {
  readonly kind: 'observe';
  readonly term: Term;
  readonly lastIndex: LogIndex;
  readonly lastTerm: Term;
}

/** To an observer of the sender, which led until now: another member leads this term, ask the voters for it. */
export interface LeaderMoved {
  readonly kind: 'leader-moved';
  readonly term: Term;
}

export type RaftMessage =
  | VoteRequest
  | VoteReply
  | Append
  | AppendAccepted
  | AppendRejected
  | Heartbeat
  | HeartbeatReply
  | TimeOutNow
  | SnapshotChunk
  | SnapshotProgress
  | Observe
  | LeaderMoved;

export interface Envelope {
  readonly to: MemberId;
  readonly message: RaftMessage;
}
