/**
 * Who votes, as the log says it. Owned by `RaftState`; `membership-change` adds entries, appends and truncations of a
 * follower change it too.
 *
 * - V1: the membership of the last entry of kind `membership` in the log is in effect, committed or not (thesis §4.1);
 *   when that entry is cut off, the one before it is in effect again.
 * - V2: two that follow each other differ by one voter, so that their quorums share a member.
 */
import { invariant, utf8Decode, utf8Encode } from '@sluice/base';
import type { LogIndex } from '@sluice/base';
import { memberId } from './messages.ts';
import type { Entry, MemberId, Membership, Voter } from './messages.ts';

/** Payload of a membership entry: UTF-8 JSON, `[[id, address], …]`. */
export const encodeMembership = (voters: readonly Voter[]): Uint8Array =>
  utf8Encode(JSON.stringify(voters.map(({ id, address }) => [id, address])));

/** Throws `InvariantError` for a payload that `encodeMembership` did not make: the log cannot be read on. */
export function decodeMembership(payload: Uint8Array): readonly Voter[] {
  const pairs = parse(payload);
  invariant(Array.isArray(pairs) && pairs.length > 0, 'a membership entry without voters', {});
  const voters = pairs.map((pair: unknown): Voter => {
    const [id, address] = Array.isArray(pair) ? (pair as readonly unknown[]) : [];
    invariant(typeof id === 'string' && typeof address === 'string', 'a membership entry is malformed', {});
    return { id: memberId(id), address };
  });
  invariant(new Set(voters.map(({ id }) => id)).size === voters.length, 'a voter is named twice', {});
  return voters;
}

function parse(payload: Uint8Array): unknown {
  try {
    return JSON.parse(utf8Decode(payload) ?? '');
  } catch {
    // The caller has one answer for everything that is no membership.
    return undefined;
  }
}

export class Memberships {
  /** Ascending by index: the one that nothing can cut off, then those of entries above it. */
  #all: [Membership, ...Membership[]];
  #voters: readonly MemberId[];

  /** `base`: of the snapshot, or the initial one. */
  constructor(base: Membership) {
    this.#all = [base];
    this.#voters = idsOf(base);
  }

  get effective(): Membership {
    return this.#all.at(-1) ?? this.#all[0];
  }

  /** The voters in effect. */
  get voters(): readonly MemberId[] {
    return this.#voters;
  }

  /** What is in effect again if the entry of the effective one is cut off; undefined when it cannot be. */
  get previous(): Membership | undefined {
    return this.#all.at(-2);
  }

  /** As of `index`, which is not below the base. */
  at(index: LogIndex): Membership {
    return this.#all.findLast((membership) => membership.index <= index) ?? this.#all[0];
  }

  append(entry: Entry): void {
    invariant(entry.index > this.effective.index, 'V1: a membership entry below the effective one', {
      index: entry.index,
      effective: this.effective.index,
    });
    this.#all.push({ index: entry.index, voters: decodeMembership(entry.payload) });
    this.#voters = idsOf(this.effective);
  }

  truncateFrom(index: LogIndex): void {
    const [base, ...above] = this.#all;
    this.#all = [base, ...above.filter((membership) => membership.index < index)];
    this.#voters = idsOf(this.effective);
  }

  /** The log up to `index` became a snapshot: what was in effect there can no longer be cut off. */
  compactTo(index: LogIndex): void {
    const base = this.at(index);
    this.#all = [base, ...this.#all.filter((membership) => membership.index > base.index)];
  }

  /** A snapshot replaced the whole log. */
  replace(base: Membership): void {
    this.#all = [base];
    this.#voters = idsOf(base);
  }
}

const idsOf = ({ voters }: Membership): readonly MemberId[] => voters.map(({ id }) => id);

/** One entry has one index, but another leader may have put another entry there. */
export const isSameMembership = (one: Membership, other: Membership): boolean =>
  one === other ||
  (one.index === other.index &&
    one.voters.length === other.voters.length &&
    one.voters.every(({ id, address }, at) => id === other.voters[at]?.id && address === other.voters[at]?.address));
