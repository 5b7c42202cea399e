/**
 * Runs the Raft machine: carries its effects to the disk, the peers and the clock, in the order of their contract (see
 * `RaftEffects`). Owned by `ControllerNode`.
 *
 * M1. A message that reflects term, vote or entries leaves only after the persist that it waits for, and all before it,
 *     are durable (P2).
 * M2. Whatever a step throws stops the node, whoever called it: the machine, the disk and the peers may then know
 *     different things, and nobody may go on with that (P10).
 */
import { type Clock, Deadline, type Halt, type Logger } from '@sluice/base';
import { FormerLeader } from './former-leader.ts';
import type { HeardMember } from './former-leader.ts';
import { toError } from './thrown.ts';
import type {
  Entry,
  HeldEnvelope,
  Leadership,
  MemberId,
  Membership,
  MembershipChange,
  MembershipChangeOutcome,
  PersistSnapshot,
  Proposal,
  Raft,
  RaftEffects,
  RaftEvent,
  ReadOutcome,
  Snapshot,
  TransferOutcome,
} from '@sluice/raft';
import type { RaftCompaction, RaftStore, RaftWrite } from '@sluice/storage';
import type { RaftPeers, Remembered } from './raft-peers.ts';
import { entryKindNumber } from './stored-entries.ts';

export interface RaftRunnerOptions {
  readonly raft: Raft;
  readonly store: RaftStore;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly halt: Halt;
  /** To be made durable, and then stepped as `snapshot-saved`. */
  readonly onSaveSnapshot: (snapshot: Snapshot) => void;
  readonly onRestore: (snapshot: Snapshot) => void;
  readonly onCommitted: (entries: readonly Entry[]) => void;
  readonly onMembership: (membership: Membership) => void;
  readonly onReads: (outcomes: readonly ReadOutcome[]) => void;
  readonly onLeadership: (leadership: Leadership) => void;
}

type TimelessEvent = RaftEvent extends infer Event ? (Event extends RaftEvent ? Omit<Event, 'nowMs'> : never) : never;

export class RaftRunner {
  readonly #options: RaftRunnerOptions;
  #peers: RaftPeers | undefined;
  #held: HeldEnvelope[] = [];
  #persisted = 0;
  readonly #tick: Deadline;
  /** Highest term and committed acknowledgement seen of each member (N2). */
  readonly #seen = new Map<MemberId, { term: number; matchIndex: number }>();
  readonly #formerLeader = new FormerLeader();
  #stopped = false;

  constructor(options: RaftRunnerOptions) {
    this.#options = options;
    const { clock } = options;
    this.#tick = new Deadline(clock, (lateMs) => {
      this.#formerLeader.onDelay(lateMs, clock.monotonicMs());
      this.step({ kind: 'tick' });
    });
  }

  get raft(): Raft {
    return this.#options.raft;
  }

  start(peers: RaftPeers): void {
    this.#peers = peers;
    this.step({ kind: 'tick' });
  }

  stop(): void {
    this.#stopped = true;
    this.#tick.cancel();
  }

  step(event: TimelessEvent): Proposal | undefined {
    return this.#step(event)?.proposal;
  }

  changeMembership(change: MembershipChange): MembershipChangeOutcome | undefined {
    return this.#step({ kind: 'change-membership', change })?.membershipChange;
  }

  transfer(to: MemberId): TransferOutcome | undefined {
    return this.#step({ kind: 'transfer', to })?.transfer;
  }

  #step(event: TimelessEvent): RaftEffects | undefined {
    if (this.#stopped) return undefined;
    try {
      if (event.kind === 'message') this.#remember(event.from, event.message);
      const { raft, clock } = this.#options;
      const nowMs = clock.monotonicMs();
      const effects = raft.step({ ...event, nowMs } as RaftEvent);
      if (event.kind === 'message') this.#formerLeader.onMessage(event.from, raft.leader, nowMs);
      this.#carryOut(effects);
      return effects;
    } catch (thrown) {
      this.stop();
      this.#options.halt.halt(toError(thrown));
      return undefined;
    }
  }

  /** Votes of this member count no more: those that are not sent yet never will be. */
  withdrawVotes(): void {
    this.step({ kind: 'voting', allowed: false });
    this.#held = this.#held.filter(({ message }) => message.kind !== 'vote-request' && message.kind !== 'vote-reply');
    this.#peers?.dropUnsent();
  }

  remembered(member: MemberId): Pick<Remembered, 'term' | 'matchIndex'> {
    return this.#seen.get(member) ?? { term: 0, matchIndex: 0 };
  }

  resign(to: MemberId): void {
    this.step({ kind: 'resign', to });
  }

  /** For a leadership that begins: whom this node followed, and when it heard it last. */
  takeFormerLeader(): HeardMember | undefined {
    return this.#formerLeader.take();
  }

  #carryOut(effects: RaftEffects): void {
    const { persist } = effects;
    if (persist !== undefined) this.#persist(persist);
    for (const held of effects.sendAfterPersist) {
      if (held.afterPersist <= this.#persisted) this.#peers?.send(held.to, held.message);
      else this.#held.push(held);
    }
    for (const { to, message } of effects.sendNow) this.#peers?.send(to, message);
    if (effects.membership !== undefined) this.#options.onMembership(effects.membership);
    if (effects.leadership !== undefined) this.#options.onLeadership(effects.leadership);
    if (effects.saveSnapshot !== undefined) this.#options.onSaveSnapshot(effects.saveSnapshot);
    if (effects.restore !== undefined) this.#options.onRestore(effects.restore);
    if (effects.committed.length > 0) this.#options.onCommitted(effects.committed);
    if (effects.reads.length > 0) this.#options.onReads(effects.reads);
    for (const event of effects.trace) this.#options.logger.debug('raft event', { ...event });
    // Not that of the effects: what was committed may have been answered with a proposal, a step inside this one.
    if (!this.#stopped) this.#tick.set(this.#options.raft.nextTickAtMs);
  }

  #persist(persist: NonNullable<RaftEffects['persist']>): void {
    const { number, hardState, snapshot, truncateFrom, entries } = persist;
    const write: RaftWrite = {
      ...(hardState === undefined ? {} : { hardState: { term: hardState.term, votedFor: hardState.votedFor ?? null } }),
      ...(snapshot === undefined ? {} : { snapshot: compactionOf(snapshot) }),
      ...(truncateFrom === undefined ? {} : { truncateFrom }),
      ...(entries.length === 0
        ? {}
        : { entries: entries.map((entry) => ({ ...entry, kind: entryKindNumber(entry.kind) })) }),
    };
    this.#options.store.persist(write, () => this.#onPersisted(number));
  }

  #onPersisted(number: number): void {
    if (this.#stopped) return;
    this.#persisted = number;
    const due = this.#held.filter((held) => held.afterPersist <= number);
    this.#held = this.#held.filter((held) => held.afterPersist > number);
    this.step({ kind: 'persisted', number });
    for (const { to, message } of due) this.#peers?.send(to, message);
  }

  #remember(from: MemberId, message: Extract<RaftEvent, { kind: 'message' }>['message']): void {
    const seen = this.#seen.get(from) ?? { term: 0, matchIndex: 0 };
    this.#seen.set(from, seen);
    // These may name a term that is not on the sender's disk.
    const isTentative =
      message.kind === 'observe' || ((message.kind === 'vote-request' || message.kind === 'vote-reply') && message.pre);
    if (!isTentative) seen.term = Math.max(seen.term, message.term);
    if (message.kind !== 'append-accepted') return;
    // What is not committed may still be overwritten by a later leader.
    const committed = Math.min(message.matchIndex, this.#options.raft.commitIndex);
    seen.matchIndex = Math.max(seen.matchIndex, committed);
  }
}

const compactionOf = ({ index, term, keepFrom, replacesLog }: PersistSnapshot): RaftCompaction => ({
  index,
  term,
  keepFrom,
  replacesLog,
});
