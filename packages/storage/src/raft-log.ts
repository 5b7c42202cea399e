/**
 * The Raft log and hard state over the node log: the `RaftStore` that the controller holds.
 *
 * R1 One write is rows of one group, so it is atomic (P1, P3, P4).
 * R2 Completions come in the order of the writes, each when its group is durable (P2).
 * R3 A record names a snapshot only after `saveSnapshot` of it resolved; a write that breaks a rule is refused whole.
 */
import { invariant, utf8Encode } from '@sluice/base';
import type { GroupMember } from './group.ts';
import type { GroupCommit } from './group-commit.ts';
import { votedForBytesMax } from './journal-file.ts';
import type { RaftIndex } from './raft-index.ts';
import type { RaftSnapshotRef } from './raft-snapshot-file.ts';
import type { RaftSnapshotFiles } from './raft-snapshot-files.ts';
import type { RaftSpan } from './raft-span.ts';
import type { RaftEntry, RaftSnapshot, RaftState, RaftStore, RaftWrite } from './raft-store.ts';

interface Waiting {
  readonly group: number;
  readonly snapshot: RaftSnapshotRef | undefined;
  readonly onDurable: () => void;
}

/** About what an entry takes beside its payload. */
const entryRowBytes = 42;
const logBytesOf = (entries: readonly Pick<RaftEntry, 'payload'>[]): number =>
  entries.reduce((sum, { payload }) => sum + payload.length + entryRowBytes, 0);

export class RaftLog implements RaftStore, GroupMember {
  readonly #commit: GroupCommit;
  readonly #snapshots: RaftSnapshotFiles;
  #lastGroup: number;
  /** Of what was asked for. */
  #span: RaftSpan;
  /** What was asked for starts with it. */
  #snapshot: RaftSnapshotRef | undefined;
  #logBytes: number;
  #doubtful: boolean;
  /** What recovery found, until it is loaded or written over. */
  #recovered: RaftState | undefined;
  #waiting: Waiting[] = [];
  memberOf = 0;

  constructor(
    index: RaftIndex,
    commit: GroupCommit,
    found: { readonly files: RaftSnapshotFiles; readonly snapshot: RaftSnapshot | null },
  ) {
    this.#commit = commit;
    this.#snapshots = found.files;
    this.#lastGroup = index.lastGroup;
    this.#span = index.span;
    this.#snapshot = index.snapshot;
    this.#doubtful = index.doubtful;
    const entries = index.take();
    this.#logBytes = logBytesOf(entries.filter((entry) => entry.index > this.#span.snapshotIndex));
    this.#recovered = { hardState: index.hardState, snapshot: found.snapshot, entries };
  }

  get logBytes(): number {
    return this.#logBytes;
  }

  saveSnapshot(snapshot: RaftSnapshot): Promise<void> {
    return this.#snapshots.save(snapshot);
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
    const { hardState, truncateFrom, entries = [] } = write;
    const { span, snapshot } = this.#checked(write);
    if (entries.length > 0 || hardState !== undefined || truncateFrom !== undefined || snapshot !== undefined) {
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
    if (hardState !== undefined) {
      group.addRow(this, { kind: 'raft-hard-state', previousGroup: next(), ...hardState });
    }
    if (snapshot !== undefined && write.snapshot !== undefined) {
      const { keepFrom, replacesLog } = write.snapshot;
      group.addRow(this, { kind: 'raft-snapshot', previousGroup: next(), snapshot, keepFrom, replacesLog });
      this.#snapshot = snapshot;
      this.#logBytes = 0;
    }
    if (truncateFrom !== undefined) {
      group.addRow(this, { kind: 'raft-truncate', previousGroup: next(), from: truncateFrom });
    }
    for (const { index, term, kind: entryKind, payload } of entries) {
      group.addRaftEntry(this, { previousGroup: next(), index, term, entryKind }, payload);
    }
    this.#span = span;
    this.#logBytes += logBytesOf(entries);
    this.#waiting.push({ group: group.number, snapshot, onDurable });
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
  recordDoubt({ isLogLost }: { readonly isLogLost: boolean }): void {
    const group = this.#commit.gathering(0);
    group.addRow(this, { kind: 'raft-doubtful', previousGroup: this.#lastGroup });
    this.#lastGroup = group.number;
    // What is written from now on must outlive the next start: it does not go on from what is lost.
    if (isLogLost) group.addRow(this, { kind: 'raft-reset', previousGroup: this.#lastGroup });
  }

  onGroupDurable(group: number): void {
    const done = this.#waiting.filter((waiting) => waiting.group <= group);
    this.#waiting = this.#waiting.filter((waiting) => waiting.group > group);
    for (const { snapshot, onDurable } of done) {
      if (snapshot !== undefined) this.#snapshots.named(snapshot, this.#doubtful);
      onDurable();
    }
  }

  /** What the write makes of the log; throws before anything of it is taken. */
  #checked({ hardState, snapshot: asked, truncateFrom, entries = [] }: RaftWrite): {
    readonly span: RaftSpan;
    readonly snapshot: RaftSnapshotRef | undefined;
  } {
    const votedFor = hardState?.votedFor ?? null;
    invariant(votedFor === null || utf8Encode(votedFor).length <= votedForBytesMax, 'a voter name is short', {
      votedFor,
    });
    const span = this.#span.copy();
    const snapshot = asked && this.#named(asked);
    if (asked !== undefined) {
      const { index, keepFrom, replacesLog } = asked;
      invariant(index >= span.snapshotIndex, 'the snapshot of a log goes forward', { index, span });
      invariant(keepFrom <= index + 1, 'entries go on from the snapshot', { index, keepFrom });
      if (replacesLog) span.cut(0);
      else span.dropBelow(keepFrom);
      span.snapshotIndex = index;
    }
    if (truncateFrom !== undefined) span.cut(truncateFrom);
    for (const { index } of entries) {
      const follows = span.follows(index);
      const isContiguous =
        index >= 1 && follows !== undefined && (span.lastEntry > 0 || index <= span.snapshotIndex + 1);
      invariant(isContiguous, 'P1: Raft entries are contiguous', { index, lastIndex: span.lastIndex });
      span.cut(follows === 'discard' ? 0 : index);
      span.append(index);
    }
    return { span, snapshot };
  }

  #named({ index, term }: { readonly index: number; readonly term: number }): RaftSnapshotRef {
    const own = this.#snapshot;
    const snapshot = own?.index === index && own.term === term ? own : this.#snapshots.find(index, term);
    invariant(snapshot !== undefined, 'R3: a snapshot is durable before it is named', { index, term });
    return snapshot;
  }
}
