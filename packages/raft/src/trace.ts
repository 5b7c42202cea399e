/** What an operator or a test wants to know about decisions; the shell turns them into log lines and metrics. */
import type { LogIndex, Term } from '@sluice/base';
import type { MemberId, RaftMessage } from './messages.ts';

export type StepDownReason = 'higher-term' | 'quorum-lost' | 'voting-withdrawn' | 'removed' | 'resigned';

export type VoteRefusal = 'voting-not-allowed' | 'old-term' | 'leader-alive' | 'voted-for-another' | 'log-behind';

export type MembershipRefusal =
  | 'not-leader'
  | 'change-under-way'
  | 'own-term-uncommitted'
  | 'not-caught-up'
  | 'already-a-voter'
  | 'not-a-voter'
  | 'last-voter'
  | 'transfer-under-way';

export type IgnoreReason =
  | 'old-term'
  | 'old-session'
  | 'not-leading'
  | 'not-observing'
  | 'not-campaigning'
  | 'not-a-member'
  | 'not-following'
  | 'may-not-campaign'
  | 'leader-alive'
  | 'stale-rejection'
  | 'stale-progress'
  | 'stale-chunk'
  | 'malformed';

export type RaftTrace =
  | { readonly kind: 'term-adopted'; readonly term: Term; readonly from: MemberId }
  | { readonly kind: 'following'; readonly term: Term; readonly leader: MemberId }
  | { readonly kind: 'leader-refused'; readonly term: Term; readonly leader: MemberId }
  | { readonly kind: 'pre-campaign'; readonly term: Term }
  | { readonly kind: 'campaign'; readonly term: Term }
  | { readonly kind: 'leading'; readonly term: Term; readonly noOpIndex: LogIndex }
  | { readonly kind: 'stepped-down'; readonly term: Term; readonly reason: StepDownReason }
  | { readonly kind: 'vote-granted'; readonly term: Term; readonly to: MemberId; readonly pre: boolean }
  | {
      readonly kind: 'vote-refused';
      readonly term: Term;
      readonly to: MemberId;
      readonly pre: boolean;
      readonly reason: VoteRefusal;
    }
  | { readonly kind: 'voting'; readonly allowed: boolean }
  | { readonly kind: 'membership-refused'; readonly reason: MembershipRefusal }
  | { readonly kind: 'transfer-begun'; readonly term: Term; readonly to: MemberId }
  | { readonly kind: 'transfer-given-up'; readonly term: Term; readonly to: MemberId }
  | { readonly kind: 'truncated'; readonly fromIndex: LogIndex; readonly lastIndex: LogIndex }
  | { readonly kind: 'append-refused'; readonly prevIndex: LogIndex; readonly lastIndex: LogIndex }
  | { readonly kind: 'replicating'; readonly peer: MemberId; readonly matchIndex: LogIndex }
  | { readonly kind: 'probing'; readonly peer: MemberId; readonly nextIndex: LogIndex }
  /** A follower no longer has what it acknowledged as durable: its disk was damaged or rolled back (P9). */
  | {
      readonly kind: 'follower-lost-entries';
      readonly peer: MemberId;
      readonly matchIndex: LogIndex;
      readonly lastIndex: LogIndex;
    }
  | { readonly kind: 'observer-joined'; readonly peer: MemberId }
  | { readonly kind: 'observer-left'; readonly peer: MemberId }
  | { readonly kind: 'observer-refused'; readonly peer: MemberId; readonly observersMax: number }
  | { readonly kind: 'proposal-refused'; readonly uncommittedBytes: number }
  | { readonly kind: 'compacted'; readonly snapshotIndex: LogIndex; readonly firstIndex: LogIndex }
  /** Older than what there is here, or of what this member applies entry by entry. */
  | { readonly kind: 'snapshot-ignored'; readonly index: LogIndex; readonly reason: 'older' | 'not-delivered' }
  | {
      readonly kind: 'snapshot-sending';
      readonly peer: MemberId;
      readonly index: LogIndex;
      readonly bytesTotal: number;
    }
  | {
      readonly kind: 'snapshot-receiving';
      readonly from: MemberId;
      readonly index: LogIndex;
      readonly bytesTotal: number;
    }
  | {
      readonly kind: 'snapshot-damaged';
      readonly from: MemberId;
      readonly index: LogIndex;
      readonly part: 'chunk' | 'whole';
      readonly offset: number;
    }
  /** The whole log gave way to it. */
  | {
      readonly kind: 'snapshot-installed';
      readonly index: LogIndex;
      readonly term: Term;
      readonly replacedLastIndex: LogIndex;
    }
  | {
      readonly kind: 'ignored';
      readonly from: MemberId;
      readonly message: RaftMessage['kind'];
      readonly reason: IgnoreReason;
    };
