import { clusterId, logIndex, silentLogger, term } from '@sluice/base';
import { decodeImage, MetadataImage } from '@sluice/metadata';
import { memberId } from '@sluice/raft';
import type { Entry, Membership, Snapshot } from '@sluice/raft';
import type { RaftSnapshot } from '@sluice/storage';
import { ManualClock } from '@sluice/wire';
import { expect, test } from 'vitest';
import { RaftSnapshots } from './raft-snapshots.ts';
import { loadedSnapshot, storedSnapshot } from './stored-snapshot.ts';

const membership: Membership = {
  index: logIndex(3),
  voters: [{ id: memberId('1-a'), address: 'a:1' }],
};
const received = (index: number): Snapshot => ({
  index: logIndex(index),
  term: term(2),
  membership,
  bytes: Uint8Array.of(1, 2),
});

/** A store that holds every save until the test ends it. */
function subject() {
  const clock = new ManualClock();
  const image = new MetadataImage();
  const halts: Error[] = [];
  const saved: Snapshot[] = [];
  const store = {
    logBytes: 0,
    saves: [] as { snapshot: RaftSnapshot; end: () => void; fail: (error: Error) => void }[],
    saveSnapshot: (snapshot: RaftSnapshot): Promise<void> => {
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      store.saves.push({ snapshot, end: resolve, fail: reject });
      return promise;
    },
  };
  const snapshots = new RaftSnapshots({
    store,
    image,
    clock,
    logger: silentLogger,
    halt: { halt: (reason) => void halts.push(reason) },
    logBytesMax: 1_000,
    onSaved: (snapshot) => void saved.push(snapshot),
  });
  let index = 0;
  const apply = (): void => {
    index += 1;
    const entry: Entry = { index: logIndex(index), term: term(2), kind: 'no-op', payload: new Uint8Array() };
    const isBirth = index === 1;
    image.replayEntry(
      entry.index,
      isBirth ? [{ type: 'featureLevel', version: 1, level: 1, clusterId: clusterId('c'.repeat(32)) }] : [],
    );
    snapshots.takeWhenDue(entry, () => membership);
  };
  return { clock, halts, saved, store, snapshots, apply };
}

test('an own one is taken when the log has grown past the bound, of the image as of the last entry (T3)', async () => {
  const { clock, saved, store, snapshots, apply } = subject();
  apply();
  store.logBytes = 1_000;
  apply();
  expect(store.saves).toHaveLength(0);
  store.logBytes = 1_001;
  apply();
  expect(store.saves).toHaveLength(1);
  expect(saved).toEqual([]);
  store.saves[0]?.end();
  await clock.settle();
  expect(saved).toMatchObject([{ index: 3, term: 2, membership }]);
  const decoded = decodeImage(saved[0]!.bytes);
  expect(decoded.ok && decoded.image.appliedIndex).toBe(3);
  expect(snapshots.figures).toMatchObject({ saved: 1, bytes: saved[0]!.bytes.length });
});

test('one is made durable at a time; those of the leader wait, own ones are not taken meanwhile (T1)', async () => {
  const { clock, saved, store, snapshots, apply } = subject();
  apply();
  store.logBytes = 5_000;
  apply();
  apply();
  snapshots.save(received(7));
  apply();
  expect(store.saves).toHaveLength(1);
  store.saves[0]?.end();
  await clock.settle();
  expect([store.saves.length, saved.map(({ index }) => index)]).toEqual([2, [2]]);
  apply();
  store.saves[1]?.end();
  await clock.settle();
  expect([store.saves.length, saved.map(({ index }) => index)]).toEqual([2, [2, 7]]);
  apply();
  expect(store.saves).toHaveLength(3);
});

test('a save that fails stops the node, and nothing more is saved (T2, P10)', async () => {
  const { clock, halts, saved, store, snapshots, apply } = subject();
  store.logBytes = 5_000;
  apply();
  snapshots.save(received(7));
  store.saves[0]?.fail(new Error('no room'));
  await clock.settle();
  snapshots.save(received(8));
  await clock.settle();
  expect([halts.map(({ message }) => message), store.saves.length, saved]).toEqual([['no room'], 1, []]);
});

test.each(['end', 'fail'] as const)('what a stopped node was saving tells nobody anything (%s)', async (outcome) => {
  const { clock, halts, saved, store, snapshots } = subject();
  snapshots.save(received(7));
  snapshots.stop();
  store.saves[0]?.[outcome](new Error('closed'));
  await clock.settle();
  expect([halts, saved]).toEqual([[], []]);
});

test('the membership is kept beside the bytes', () => {
  const snapshot = received(9);
  expect(loadedSnapshot(storedSnapshot(snapshot))).toEqual(snapshot);
  const { meta, ...rest } = storedSnapshot(snapshot);
  expect(() => loadedSnapshot({ ...rest, meta: meta.subarray(0, 4) })).toThrow('membership');
});
