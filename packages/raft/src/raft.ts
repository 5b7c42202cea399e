import type { LogIndex, Random, Term } from '@sluice/base';
import type { RaftConfig } from './config.ts';
import type { HardState, RaftEffects, Role } from './effects.ts';
import type { RaftEvent } from './events.ts';
import type { Entry, MemberId } from './messages.ts';

export interface RaftOptions {
  readonly self: MemberId;
  /** A member that is not among them is an observer: it follows, never votes, never campaigns. */
  readonly voters: readonly MemberId[];
  /** False when later votes of this member may be lost; the `voting` event changes it. */
  readonly votingAllowed: boolean;
  /** As recovered from disk; term 0 and no vote for an empty directory. */
  readonly hardState: HardState;
  /** As recovered from disk: all durable, contiguous from index 1. */
  readonly entries: readonly Entry[];
  readonly config: RaftConfig;
  readonly random: Random;
  readonly nowMs: number;
}

/** Where replication to one peer stands, as seen by the leader. */
export interface PeerView {
  readonly peer: MemberId;
  readonly isVoter: boolean;
  readonly state: 'probe' | 'replicate';
  readonly matchIndex: LogIndex;
  readonly nextIndex: LogIndex;
  readonly lastContactMs: number;
}

export declare class Raft {
  constructor(options: RaftOptions);
  step(event: RaftEvent): RaftEffects;
  get self(): MemberId;
  get role(): Role;
  get term(): Term;
  get leader(): MemberId | undefined;
  get votedFor(): MemberId | undefined;
  get voters(): readonly MemberId[];
  get isVoter(): boolean;
  get isLeader(): boolean;
  get votingAllowed(): boolean;
  /** Highest index known to be committed; may be ahead of what is durable here. */
  get commitIndex(): LogIndex;
  /** Highest index handed out in `RaftEffects.committed`. */
  get deliveredIndex(): LogIndex;
  get lastIndex(): LogIndex;
  /** Entries of the log as it is now, up to here, are on this member's disk. */
  get durableIndex(): LogIndex;
  get uncommittedBytes(): number;
  /** Leader only, else empty. */
  get peers(): readonly PeerView[];
  /** Leader only, else undefined: a quorum, this member included, has been heard from no longer ago than this. */
  get quorumContactMs(): number | undefined;
  /** When to step the first `tick`. */
  get nextTickAtMs(): number;
  entryAt(index: LogIndex): Entry | undefined;
}
