/**
 * The Raft log and hard state over the node log: the `RaftStore` that the controller holds.
 *
 * R1 One write is rows of one group, so it is atomic (P1, P3, P4).
 * R2 Completions come in the order of the writes, each when its group is durable (P2).
 */
import type { LogIndex } from '@sluice/base';
import { invariant, utf8Encode } from '@sluice/base';
import type { GroupMember } from './group.ts';
import type { GroupCommit } from './group-commit.ts';
import { votedForBytesMax } from './journal-file.ts';
import type { RaftIndex } from './raft-index.ts';
import type { RaftState, RaftStore, RaftWrite } from './raft-store.ts';

interface Waiting {
  readonly group: number;
  readonly onDurable: () => void;
}

export class RaftLog implements RaftStore, GroupMember {
  readonly #commit: GroupCommit;
  #lastGroup: number;
  #lastIndex: number;
  #doubtful: boolean;
  /** What recovery found, until it is loaded or written over. */
  #recovered: RaftState | undefined;
  #waiting: Waiting[] = [];
  memberOf = 0;

  constructor(index: RaftIndex, commit: GroupCommit) {
    this.#commit = commit;
    this.#lastGroup = index.lastGroup;
    this.#lastIndex = index.lastIndex;
    this.#doubtful = index.doubtful;
    this.#recovered = { hardState: index.hardState, entries: index.take() };
  }

  get doubtful(): boolean {
    return this.#doubtful;
  }

  load(): RaftState {
    const recovered = this.#recovered;
    invariant(recovered !== undefined, 'the Raft state is loaded once, before anything is written');
    this.#recovered = undefined;
    return recovered;
  }

  persist(write: RaftWrite, onDurable: () => void): void {
    const entries = write.entries ?? [];
    if (entries.length > 0 || write.hardState !== undefined || write.truncateFrom !== undefined) {
      this.#recovered = undefined;
    }
    let payloadBytes = 0;
    for (const entry of entries) payloadBytes += entry.payload.length;
    const group = this.#commit.gathering(payloadBytes);
    const next = (): number => {
      const previous = this.#lastGroup;
      this.#lastGroup = group.number;
      return previous;
    };
    if (write.hardState !== undefined) {
      const { term, votedFor } = write.hardState;
      invariant(votedFor === null || utf8Encode(votedFor).length <= votedForBytesMax, 'a voter name is short', {
        votedFor,
      });
      group.addRow(this, { kind: 'raft-hard-state', previousGroup: next(), term, votedFor });
    }
    if (write.truncateFrom !== undefined && write.truncateFrom <= this.#lastIndex) {
      group.addRow(this, { kind: 'raft-truncate', previousGroup: next(), from: write.truncateFrom });
      this.#lastIndex = Math.max(0, write.truncateFrom - 1);
    }
    for (const { index, term, kind: entryKind, payload } of entries) {
      this.#assertContiguous(index);
      group.addRaftEntry(this, { previousGroup: next(), index, term, entryKind }, payload);
      this.#lastIndex = index;
    }
    this.#waiting.push({ group: group.number, onDurable });
    // A write without content still completes in its turn.
    group.join(this);
  }

  healed(): void {
    const group = this.#commit.gathering(0);
    group.addRow(this, { kind: 'raft-healed', previousGroup: this.#lastGroup });
    this.#lastGroup = group.number;
    this.#doubtful = false;
  }

  /** Recovery cannot rule out that a vote or an entry was lost; counts from now on in every recovery. */
  recordDoubt(): void {
    const group = this.#commit.gathering(0);
    group.addRow(this, { kind: 'raft-doubtful', previousGroup: this.#lastGroup });
    this.#lastGroup = group.number;
  }

  onGroupDurable(group: number): void {
    const done = this.#waiting.filter((waiting) => waiting.group <= group);
    this.#waiting = this.#waiting.filter((waiting) => waiting.group > group);
    for (const { onDurable } of done) onDurable();
  }

  #assertContiguous(index: LogIndex): void {
    invariant(
      index >= 1 && (this.#lastIndex === 0 || index <= this.#lastIndex + 1),
      'P1: Raft entries are contiguous',
      {
        index,
        lastIndex: this.#lastIndex,
      },
    );
  }
}
