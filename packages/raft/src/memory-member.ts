/**
 * Test bed: one member with a disk that can hold writes back, and lose them. It does the whole duty of a shell (see
 * `effects`), synchronously, and nothing else; transcripts and the random group both run on it.
 */
import { invariant, logIndex, term } from '@sluice/base';
import type { Random } from '@sluice/base';
import type { RaftConfig } from './config.ts';
import type { HardState, HeldEnvelope, Persist, RaftEffects } from './effects.ts';
import type { RaftEvent } from './events.ts';
import type { Entry, Envelope, MemberId, Voter } from './messages.ts';
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
  diskEntries: Entry[];
  /** Writes under way, oldest first. */
  writing: Persist[] = [];
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

  step(event: RaftEvent): RaftEffects {
    const effects = this.raft.step(event);
    if (effects.persist !== undefined) this.writing.push(effects.persist);
    this.#held.push(...effects.sendAfterPersist);
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

  /**
   * The process dies: what waited is gone, with all messages that waited for it, but the oldest `written` writes, which
   * are on disk though nobody was told.
   */
  crash(written: number, nowMs: number): void {
    for (const persist of this.writing.slice(0, written)) this.#write(persist);
    this.writing = [];
    this.#held = [];
    this.raft = this.#load(nowMs);
  }

  #load(nowMs: number): Raft {
    return new Raft({
      ...this.#options,
      hardState: this.diskHardState,
      snapshot: undefined,
      entries: this.diskEntries,
      checksum: testChecksum,
      nowMs,
    });
  }

  #write(persist: Persist): void {
    if (persist.hardState !== undefined) this.diskHardState = persist.hardState;
    if (persist.truncateFrom !== undefined) this.diskEntries.length = persist.truncateFrom - 1;
    for (const entry of persist.entries) {
      invariant(entry.index === logIndex(this.diskEntries.length + 1), 'the disk log has a gap', {
        index: entry.index,
      });
      this.diskEntries.push(entry);
    }
  }
}
