/**
 * Owns what a leader knows of one peer's log. Created when leadership begins (or an observer joins), driven by
 * `replication`.
 *
 * - R1: `matchIndex` < `nextIndex`.
 * - R2: in state `probe` at most one append is under way; in `replicate` at most the caps of the configuration; in
 *   `snapshot` none, but at most one chunk.
 * - R3: only replies of the current session reach it, so `matchIndex` falls only by `restart`.
 */
import { invariant, logIndex, nextIndex } from '@sluice/base';
import type { LogIndex } from '@sluice/base';
import type { RaftConfig } from './config.ts';
import type { MemberId, ReplicationSession, Snapshot } from './messages.ts';

interface Inflight {
  readonly lastIndex: LogIndex;
  readonly bytes: number;
}

/** A snapshot on its way to a peer. */
export interface SnapshotTransfer {
  readonly snapshot: Snapshot;
  /** Of the whole. */
  readonly checksum: number;
  /** As the peer last said. */
  receivedBytes: number;
  /** The heartbeat round before the last chunk left. */
  sentRound: number;
}

export interface ProgressOptions {
  readonly peer: MemberId;
  readonly isVoter: boolean;
  readonly session: ReplicationSession;
  readonly nextIndex: LogIndex;
  readonly nowMs: number;
}

export class Progress {
  readonly peer: MemberId;
  readonly isVoter: boolean;
  session: ReplicationSession;
  state: 'probe' | 'replicate' | 'snapshot' = 'probe';
  /** Present in state `snapshot`. */
  transfer: SnapshotTransfer | undefined;
  matchIndex: LogIndex = logIndex(0);
  nextIndex: LogIndex;
  /** When it last answered anything in this session. */
  lastContactMs: number;
  /** The highest commit index told to it. */
  commitSent: LogIndex = logIndex(0);
  /** The latest round of heartbeats that it answered. */
  roundAnswered = 0;
  #probeSent = false;
  #inflight: Inflight[] = [];
  #inflightBytes = 0;

  constructor(options: ProgressOptions) {
    this.peer = options.peer;
    this.isVoter = options.isVoter;
    this.session = options.session;
    this.nextIndex = options.nextIndex;
    this.lastContactMs = options.nowMs;
  }

  isSession(other: ReplicationSession): boolean {
    const own = this.session;
    return other.term === own.term && other.configIndex === own.configIndex && other.attempt === own.attempt;
  }

  canSend(config: RaftConfig): boolean {
    if (this.state === 'snapshot') return false;
    if (this.state === 'probe') return !this.#probeSent;
    return this.#inflight.length < config.inflightMessagesMax && this.#inflightBytes < config.inflightBytesMax;
  }

  /** An append with entries up to `lastIndex` (none: `nextIndex` − 1) is on its way. */
  sent(lastIndex: LogIndex, bytes: number): void {
    if (this.state === 'probe') {
      this.#probeSent = true;
      return;
    }
    if (bytes === 0) return;
    this.nextIndex = nextIndex(lastIndex);
    this.#inflight.push({ lastIndex, bytes });
    this.#inflightBytes += bytes;
  }

  /** The peer durably matches up to `index`. True when this is news. */
  accepted(index: LogIndex): boolean {
    const isNews = index > this.matchIndex;
    if (isNews) this.matchIndex = index;
    if (this.nextIndex <= index) this.nextIndex = nextIndex(index);
    let done = 0;
    for (const message of this.#inflight) {
      if (message.lastIndex > index) break;
      this.#inflightBytes -= message.bytes;
      done += 1;
    }
    if (done > 0) this.#inflight = this.#inflight.slice(done);
    this.#assertOrder();
    return isNews;
  }

  /** The peer matches, so appends may be pipelined. */
  becomeReplicate(): void {
    this.state = 'replicate';
    this.nextIndex = nextIndex(this.matchIndex);
    this.#forgetSent();
  }

  /** Ask again from `next`, one append at a time. */
  becomeProbe(next: LogIndex): void {
    this.state = 'probe';
    this.nextIndex = next > this.matchIndex ? next : nextIndex(this.matchIndex);
    this.#forgetSent();
    this.#assertOrder();
  }

  /** Entries will not do: what the peer lacks is compacted away. */
  becomeSnapshot(transfer: Pick<SnapshotTransfer, 'snapshot' | 'checksum'>): void {
    this.state = 'snapshot';
    this.#forgetSent();
    this.transfer = { ...transfer, receivedBytes: 0, sentRound: 0 };
  }

  /** Nothing is known any more; replies to what was sent before are void (R3). */
  restart(next: LogIndex, session: ReplicationSession): void {
    this.session = session;
    this.matchIndex = logIndex(0);
    this.commitSent = logIndex(0);
    this.becomeProbe(next);
  }

  /** The peer is gone: send nothing but heartbeats until it answers one. */
  pause(): void {
    this.becomeProbe(nextIndex(this.matchIndex));
    this.#probeSent = true;
  }

  /** The peer answered, so the probe was lost or is about to be answered: one more may go. */
  resumeProbe(): void {
    this.#probeSent = false;
  }

  #forgetSent(): void {
    this.transfer = undefined;
    this.#probeSent = false;
    this.#inflight = [];
    this.#inflightBytes = 0;
  }

  #assertOrder(): void {
    invariant(this.matchIndex < this.nextIndex, 'R1: match is not below next', {
      peer: this.peer,
      matchIndex: this.matchIndex,
      nextIndex: this.nextIndex,
    });
  }
}
