/**
 * Test bed: one member with a disk that can hold writes back, and lose them, and a state machine that remembers all it
 * was given. It does the whole duty of a shell (see `effects`), synchronously, and nothing else; transcripts and the
 * random group both run on it.
 */
import { invariant, logIndex, term, utf8Decode, utf8Encode } from '@sluice/base';
import type { Random } from '@sluice/base';
import type { RaftConfig } from './config.ts';
import type { HardState, HeldEnvelope, Persist, PersistSnapshot, RaftEffects } from './effects.ts';
import { entryText } from './effects-text.ts';
import type { RaftEvent } from './events.ts';
import { decodeMembership } from './membership.ts';
import type { Entry, Envelope, MemberId, Membership, Snapshot, Voter } from './messages.ts';
import { Raft } from './raft.ts';

/** FNV-1a: what the shell injects is CRC-32C, which lives in a package that this one does not know. */
export function testChecksum(bytes: Uint8Array): number {
  let hash = 0x811c9dc5;
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return hash;
}

/** Voters of a test bed: an address says who it is. */
export const votersOf = (ids: readonly MemberId[]): readonly Voter[] => ids.map((id) => ({ id, address: `${id}:1` }));

export interface MemoryMemberOptions {
  readonly self: MemberId;
  readonly initialVoters: readonly Voter[];
  readonly config: RaftConfig;
  readonly random: Random;
  readonly nowMs: number;
  readonly votingAllowed: boolean;
  readonly hardState?: HardState;
  readonly entries?: readonly Entry[];
}

export class MemoryMember {
  readonly #options: MemoryMemberOptions;
  raft: Raft;
  /** What a restart would find. */
  diskHardState: HardState;
  diskSnapshot: Snapshot | undefined;
  diskEntries: Entry[];
  /** Writes under way, oldest first. */
  writing: Persist[] = [];
  /** Snapshots on their way to the disk, oldest first. */
  saving: Snapshot[] = [];
  /** The state machine: the text of every entry applied, so that two states are equal only if their histories are. */
  applied: readonly string[] = [];
  /** As of what is applied. */
  #membership: Membership = { index: logIndex(0), voters: [] };
  /** Whole on disk, and named by no durable record so far. */
  #saved: Snapshot[] = [];
  #held: HeldEnvelope[] = [];
  /** Called with each effects, and with each message that may leave now. */
  readonly #onEffects: (member: MemoryMember, effects: RaftEffects) => void;
  readonly #onSend: (from: MemberId, envelope: Envelope) => void;

  constructor(
    options: MemoryMemberOptions,
    onEffects: (member: MemoryMember, effects: RaftEffects) => void,
    onSend: (from: MemberId, envelope: Envelope) => void,
  ) {
    this.#options = options;
    this.#onEffects = onEffects;
    this.#onSend = onSend;
    this.diskHardState = options.hardState ?? { term: term(0), votedFor: undefined };
    this.diskEntries = [...(options.entries ?? [])];
    this.raft = this.#load(options.nowMs);
  }

  /** Where the log on disk ends. */
  get diskEnd(): { readonly index: number; readonly term: number } {
    return this.diskEntries.at(-1) ?? this.diskSnapshot ?? { index: 0, term: 0 };
  }

  step(event: RaftEvent): RaftEffects {
    const effects = this.raft.step(event);
    if (effects.persist !== undefined) this.writing.push(effects.persist);
    this.#held.push(...effects.sendAfterPersist);
    if (effects.saveSnapshot !== undefined) this.saving.push(effects.saveSnapshot);
    if (effects.restore !== undefined) this.#restore(effects.restore);
    for (const entry of effects.committed) this.#apply(entry);
    this.#onEffects(this, effects);
    for (const envelope of effects.sendNow) this.#onSend(this.raft.self, envelope);
    return effects;
  }

  /** The oldest `count` writes become durable, as one group commit. */
  completeWrites(count: number, nowMs: number): RaftEffects | undefined {
    const done = this.writing.splice(0, count);
    const last = done.at(-1);
    if (last === undefined) return undefined;
    for (const persist of done) this.#write(persist);
    const effects = this.step({ kind: 'persisted', number: last.number, nowMs });
    const released = this.#held.filter((held) => held.afterPersist <= last.number);
    this.#held = this.#held.filter((held) => held.afterPersist > last.number);
    for (const { to, message } of released) this.#onSend(this.raft.self, { to, message });
    return effects;
  }

  /** Begins to save a snapshot of the state machine as it is now; false when there is nothing to take. */
  takeSnapshot(): boolean {
    const index = this.raft.deliveredIndex;
    const at = this.raft.termAt(index);
    if (index === 0 || at === undefined) return false;
    this.saving.push({ index, term: at, membership: this.#membership, bytes: utf8Encode(this.applied.join(' ')) });
    return true;
  }

  /** The oldest `count` snapshots become durable, each told by itself. */
  completeSaves(count: number, nowMs: number): void {
    for (const snapshot of this.saving.splice(0, count)) {
      this.#saved.push(snapshot);
      this.step({ kind: 'snapshot-saved', snapshot, nowMs });
    }
  }

  /**
   * The process dies: what waited is gone, with all messages that waited for it, but the oldest `written` writes, which
   * are on disk though nobody was told.
   */
  crash(written: number, nowMs: number): void {
    for (const persist of this.writing.slice(0, written)) this.#write(persist);
    this.writing = [];
    this.saving = [];
    this.#saved = [];
    this.#held = [];
    this.raft = this.#load(nowMs);
  }

  #load(nowMs: number): Raft {
    this.applied = [];
    this.#membership = { index: logIndex(0), voters: this.#options.initialVoters };
    if (this.diskSnapshot !== undefined) this.#restore(this.diskSnapshot);
    return new Raft({
      ...this.#options,
      hardState: this.diskHardState,
      snapshot: this.diskSnapshot,
      entries: this.diskEntries,
      checksum: testChecksum,
      nowMs,
    });
  }

  #restore({ bytes, membership }: Snapshot): void {
    this.applied = utf8Decode(bytes)?.split(' ') ?? [];
    this.#membership = membership;
  }

  #apply(entry: Entry): void {
    invariant(entry.index === this.applied.length + 1, 'applied out of order', { index: entry.index });
    this.applied = [...this.applied, entryText(entry)];
    if (entry.kind === 'membership') {
      this.#membership = { index: entry.index, voters: decodeMembership(entry.payload) };
    }
  }

  #write(persist: Persist): void {
    if (persist.hardState !== undefined) this.diskHardState = persist.hardState;
    if (persist.snapshot !== undefined) this.#startLogAt(persist.snapshot);
    const { truncateFrom } = persist;
    if (truncateFrom !== undefined) this.diskEntries = this.diskEntries.filter(({ index }) => index < truncateFrom);
    for (const entry of persist.entries) {
      const last = this.diskEntries.at(-1)?.index ?? this.diskSnapshot?.index ?? logIndex(0);
      invariant(entry.index === last + 1, 'the disk log has a gap', { index: entry.index, last });
      this.diskEntries.push(entry);
    }
  }

  #startLogAt({ index, term: at, keepFrom, replacesLog }: PersistSnapshot): void {
    const file = this.#saved.find((saved) => saved.index === index && saved.term === at);
    invariant(file !== undefined, 'a snapshot that is not on disk is named the start of the log', { index });
    this.diskSnapshot = file;
    this.#saved = this.#saved.filter((saved) => saved.index > index);
    this.diskEntries = replacesLog ? [] : this.diskEntries.filter((entry) => entry.index >= keepFrom);
  }
}
