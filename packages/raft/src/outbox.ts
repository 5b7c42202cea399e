/** Gathers the effects of one step; emptied by `RaftState.finish`. */
import type { LogIndex } from '@sluice/base';
import type { MembershipChangeOutcome, PersistSnapshot, Proposal, ReadOutcome, TransferOutcome } from './effects.ts';
import type { Entry, Envelope, MemberId, RaftMessage, Snapshot } from './messages.ts';
import type { RaftTrace } from './trace.ts';

export class Outbox {
  hardStateChanged = false;
  truncateFrom: LogIndex | undefined;
  proposal: Proposal | undefined;
  membershipChange: MembershipChangeOutcome | undefined;
  transfer: TransferOutcome | undefined;
  readonly reads: ReadOutcome[] = [];
  snapshot: PersistSnapshot | undefined;
  saveSnapshot: Snapshot | undefined;
  readonly entries: Entry[] = [];
  readonly afterPersist: Envelope[] = [];
  readonly now: Envelope[] = [];
  readonly traces: RaftTrace[] = [];

  sendAfterPersist(to: MemberId, message: RaftMessage): void {
    this.afterPersist.push({ to, message });
  }

  sendNow(to: MemberId, message: RaftMessage): void {
    this.now.push({ to, message });
  }

  trace(event: RaftTrace): void {
    this.traces.push(event);
  }
}
