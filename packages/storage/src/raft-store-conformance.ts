/** The rules of `RaftStore`, which hold over any disk. */
import { InvariantError, isSluiceError, logIndex, term } from '@sluice/base';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { NodeLog } from './node-log.ts';
import type { RaftEntry, RaftSnapshot, RaftState, RaftStore, RaftWrite } from './raft-store.ts';

export interface RaftStoreUnderTest {
  /** Closes the node log, if one is open, and opens it again over the same disk. */
  reopen(): Promise<NodeLog>;
  /** Of the files in the directory that hold snapshots. */
  snapshotFiles(): Promise<readonly string[]>;
  close(): Promise<void>;
}

export const entry = (index: number, of = 1): RaftEntry => ({
  index: logIndex(index),
  term: term(of),
  kind: index % 3,
  payload: new Uint8Array(50).fill(index * 10 + of),
});

export const entries = (from: number, to: number, of = 1): RaftEntry[] =>
  Array.from({ length: to - from + 1 }, (_, n) => entry(from + n, of));

export const snapshotAt = (index: number, of = 1, bytes = 3000): RaftSnapshot => ({
  index: logIndex(index),
  term: term(of),
  meta: Uint8Array.of(index, of),
  bytes: new Uint8Array(bytes).fill(index),
});

export const compaction = (index: number, keepFrom: number, replacesLog = false): RaftWrite => ({
  snapshot: { index: logIndex(index), term: term(1), keepFrom: logIndex(keepFrom), replacesLog },
});

export const written = (store: RaftStore, write: RaftWrite): Promise<void> =>
  new Promise((resolve) => store.persist(write, resolve));

const indexes = ({ entries: held }: RaftState): number[] => held.map(({ index }) => index);
const range = (from: number, to: number): number[] => entries(from, to).map(({ index }) => index);

export function raftStoreConformance(name: string, open: () => Promise<RaftStoreUnderTest>): void {
  describe(`RaftStore over ${name}`, () => {
    let subject: RaftStoreUnderTest;
    beforeEach(async () => {
      subject = await open();
    });
    afterEach(() => subject.close());
    snapshotRules(() => subject);
    overwriteRules(() => subject);
    fileRules(() => subject);
  });
}

function snapshotRules(subject: () => RaftStoreUnderTest): void {
  test('a fresh store has nothing', async () => {
    const { raft } = await subject().reopen();
    expect(raft.load()).toEqual({ hardState: { term: 0, votedFor: null }, snapshot: null, entries: [] });
    expect([raft.doubtful, raft.logBytes]).toEqual([false, 0]);
  });

  test('a log that was compacted starts with its snapshot, and keeps the entries that it should', async () => {
    const { raft } = await subject().reopen();
    const hardState = { term: term(1), votedFor: 'a' };
    await written(raft, { hardState, entries: entries(1, 10) });
    expect(raft.logBytes).toBeGreaterThan(500);
    await raft.saveSnapshot(snapshotAt(8));
    await written(raft, compaction(8, 6));
    expect(raft.logBytes).toBe(0);
    for (let opened = 0; opened < 2; opened += 1) {
      const again = (await subject().reopen()).raft;
      expect(again.logBytes).toBeGreaterThan(100);
      expect(again.logBytes).toBeLessThan(200);
      expect(again.load()).toEqual({ hardState, snapshot: snapshotAt(8), entries: entries(6, 10) });
    }
  });

  test('a snapshot that replaces the log leaves nothing of it, and the next entry follows the snapshot', async () => {
    const { raft } = await subject().reopen();
    await written(raft, { entries: entries(1, 30) });
    await raft.saveSnapshot(snapshotAt(20));
    await written(raft, compaction(20, 19, true));
    const again = (await subject().reopen()).raft;
    expect(again.load()).toMatchObject({ snapshot: snapshotAt(20), entries: [] });
    await written(again, { entries: entries(21, 40) });
    await again.saveSnapshot(snapshotAt(30));
    await written(again, { ...compaction(30, 31, true), entries: entries(31, 32, 2) });
    const found = (await subject().reopen()).raft.load();
    expect(found).toMatchObject({ snapshot: snapshotAt(30), entries: entries(31, 32, 2) });
  });

  test('a snapshot ahead of the log, without an entry, is the log', async () => {
    const { raft } = await subject().reopen();
    await raft.saveSnapshot(snapshotAt(100));
    await written(raft, compaction(100, 101, true));
    const again = (await subject().reopen()).raft;
    expect(again.load()).toMatchObject({ snapshot: snapshotAt(100), entries: [] });
    await written(again, { entries: entries(101, 103) });
    expect(indexes((await subject().reopen()).raft.load())).toEqual(range(101, 103));
  });

  test('one write is all of it, in the order of its fields', async () => {
    const { raft } = await subject().reopen();
    await written(raft, { entries: entries(1, 10) });
    await raft.saveSnapshot(snapshotAt(5));
    const hardState = { term: term(3), votedFor: null };
    await written(raft, {
      hardState,
      ...compaction(5, 6),
      truncateFrom: logIndex(8),
      entries: entries(8, 9, 3),
    });
    const found = (await subject().reopen()).raft.load();
    expect(found).toEqual({ hardState, snapshot: snapshotAt(5), entries: [...entries(6, 7), ...entries(8, 9, 3)] });
  });

  test('a snapshot may be empty, and may be larger than any piece that is written at once', async () => {
    const { raft } = await subject().reopen();
    const empty = { ...snapshotAt(1, 1, 0), meta: new Uint8Array(0) };
    await raft.saveSnapshot(empty);
    await written(raft, compaction(1, 2, true));
    const again = (await subject().reopen()).raft;
    expect(again.load().snapshot).toEqual(empty);
    const large = snapshotAt(2, 1, 700_000);
    await again.saveSnapshot(large);
    await written(again, compaction(2, 3, true));
    expect((await subject().reopen()).raft.load().snapshot).toEqual(large);
  });
}

function overwriteRules(subject: () => RaftStoreUnderTest): void {
  test.each([4, 5])('P7: an entry at %i leaves nothing behind it, with a snapshot at 5 (etcd#22442)', async (index) => {
    const { raft } = await subject().reopen();
    await written(raft, { entries: entries(1, 10) });
    await raft.saveSnapshot(snapshotAt(5));
    await written(raft, compaction(5, 3));
    await written(raft, { entries: [entry(index, 7)] });
    const again = (await subject().reopen()).raft;
    const expected = [...entries(3, index - 1), entry(index, 7)];
    expect(again.load()).toMatchObject({ snapshot: snapshotAt(5), entries: expected });
    // Right behind the snapshot the log goes on; it stands for what is below a gap.
    await written(again, { entries: [entry(6, 8)] });
    const kept = index === 5 ? expected : [];
    expect((await subject().reopen()).raft.load().entries).toEqual([...kept, entry(6, 8)]);
  });

  test('a write that does not fit is refused whole', async () => {
    const { raft } = await subject().reopen();
    await written(raft, { entries: entries(1, 5) });
    await raft.saveSnapshot(snapshotAt(4));
    const wrong: RaftWrite[] = [
      // Nobody saved it.
      compaction(5, 6),
      { snapshot: { ...compaction(4, 5).snapshot, term: term(9) } as NonNullable<RaftWrite['snapshot']> },
      // A gap behind it.
      compaction(4, 6),
      { ...compaction(4, 5, true), entries: entries(6, 6) },
      { entries: entries(7, 8) },
      { entries: [entry(6), entry(8)] },
    ];
    for (const write of wrong) {
      const hardState = { term: term(8), votedFor: 'wrong' };
      expect(() => raft.persist({ hardState, ...write }, () => undefined)).toThrow(InvariantError);
    }
    await written(raft, compaction(4, 5));
    await raft.saveSnapshot(snapshotAt(3));
    expect(() => raft.persist(compaction(3, 4), () => undefined)).toThrow(InvariantError);
    const found = (await subject().reopen()).raft.load();
    expect(found).toMatchObject({ hardState: { term: 0 }, snapshot: snapshotAt(4), entries: [entry(5)] });
  });
}

function fileRules(subject: () => RaftStoreUnderTest): void {
  test('a snapshot that no write names means nothing, and is gone after the next start', async () => {
    const { raft } = await subject().reopen();
    await written(raft, { entries: entries(1, 5) });
    await raft.saveSnapshot(snapshotAt(4));
    expect(await subject().snapshotFiles()).toHaveLength(1);
    const node = await subject().reopen();
    expect(node.raft.load()).toMatchObject({ snapshot: null, entries: entries(1, 5) });
    await subject().reopen();
    expect(await subject().snapshotFiles()).toEqual([]);
  });

  test('older snapshots go once a newer one is durably named', async () => {
    let { raft } = await subject().reopen();
    for (let index = 1; index <= 6; index += 1) {
      await written(raft, { entries: [entry(index)] });
      await raft.saveSnapshot(snapshotAt(index));
      await written(raft, compaction(index, index + 1));
      if (index % 2 === 0) raft = (await subject().reopen()).raft;
    }
    await subject().reopen();
    expect(await subject().snapshotFiles()).toHaveLength(1);
    expect((await subject().reopen()).raft.load()).toMatchObject({ snapshot: snapshotAt(6), entries: [] });
  });

  test('of two of the same entry the one that was named stays', async () => {
    const { raft } = await subject().reopen();
    await raft.saveSnapshot(snapshotAt(4, 1, 10));
    await written(raft, compaction(4, 5, true));
    await raft.saveSnapshot(snapshotAt(4, 1, 20));
    await written(raft, { ...compaction(4, 5), entries: [entry(5)] });
    const found = (await subject().reopen()).raft.load();
    expect(found).toMatchObject({ snapshot: snapshotAt(4, 1, 10), entries: [entry(5)] });
  });

  test('after the node log is closed no snapshot is taken', async () => {
    const { raft } = await subject().reopen();
    await subject().reopen();
    const refused = await raft.saveSnapshot(snapshotAt(4)).catch((error: unknown) => error);
    expect(isSluiceError(refused) && refused.code).toBe('SHUTTING_DOWN');
  });
}
