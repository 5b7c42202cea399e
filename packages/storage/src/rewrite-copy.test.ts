/**
 * What recovery makes of files, and of a sorted set in the place of any of them that follow each other, is the same: logs,
 * Raft state, and which group comes next. Also where the range is rewritten again, and where sets are dropped.
 */
import { SeededRandom, silentLogger } from '@sluice/base';
import { expect, test } from 'vitest';
import { writeCheckpoint } from './checkpoint.ts';
import { raftSignature, RaftModel } from './crash-history.testing.ts';
import { DataDirectory } from './data-directory.ts';
import { fileName, type FinishedEntry } from './live-files.ts';
import { LogModel, signatureOf } from './log-model.ts';
import { type ManifestEntry, writeManifest } from './manifest.ts';
import { MemoryDisk } from './memory-disk.ts';
import { foldFiles, recover, type Recovered } from './recovery.ts';
import { copySet } from './rewrite-copy.ts';
import { TestClock } from './test-clock.ts';
import { openTestNode } from './test-node-log.ts';

const limits = { journalBytesMax: 20 * 1024, groupBytesMax: 8 * 1024, spaceAheadBytes: 0 };
const numbers = [0, 1, 2, 3, 4];

/** The files of a node that did all kinds of things, with what its logs and the Raft state should be. */
async function busyDisk(seed: number): Promise<{ disk: MemoryDisk; logs: LogModel; raft: RaftModel }> {
  const random = new SeededRandom(seed);
  const disk = new MemoryDisk();
  const [logs, raft] = [new LogModel(), new RaftModel()];
  const node = await openTestNode({ disk, limits });
  for (let step = 0; step < 70; step += 1) {
    const draw = random.below(12);
    if (draw < 2) await raft.any(node.log, random);
    else if (draw < 3) logs.deleteOne(node.log, random);
    else logs.step(node.log, random);
    if (random.below(2) === 0) await new Promise<void>((resolve) => node.log.raft.persist({}, resolve));
  }
  await node.close();
  return { disk, logs, raft };
}

async function copyOf(disk: MemoryDisk): Promise<MemoryDisk> {
  const copy = new MemoryDisk();
  await copy.makeDirectory('/node');
  for (const name of await disk.list('/node')) {
    if (name !== 'lock') copy.plant(`/node/${name}`, disk.durableBytes(`/node/${name}`));
  }
  return copy;
}

async function recovered(directory: DataDirectory): Promise<Recovered> {
  const found = await recover(directory, silentLogger);
  await found.open?.file.close();
  return found;
}

/** Puts a set in the place of some of the finished entries, as `Rewriter` does. */
async function rewriteRange(disk: MemoryDisk, from: number, to: number, partBytesMax: number): Promise<void> {
  const directory = await DataDirectory.open(disk, '/node');
  const { replay, files, open } = await recovered(directory);
  const { finished, checkpoint } = files;
  const kinds = new Map(finished.flatMap(({ kind, files: of }) => of.map(({ fileId }) => [fileId, kind] as const)));
  let { nextFileId } = files;
  const { parts } = await copySet({
    directory,
    replay,
    clock: new TestClock(),
    files: finished.slice(from, to).flatMap((entry) => entry.files),
    pathOf: (fileId) => directory.file(fileName(kinds.get(fileId) ?? 'journal', fileId)),
    takeFileId: () => {
      nextFileId += 1;
      return nextFileId - 1;
    },
    partBytesMax,
    segmentAgeMsMax: 0,
    mayWrite: () => Promise.resolve(),
    transformOf: () => undefined,
  });
  const set: FinishedEntry = { kind: 'sorted', files: parts };
  await writeManifest(directory, {
    checkpoint,
    entries: finished.toSpliced(from, to - from, set).concat(openEntry(open)),
  });
  await directory.release();
}

const openEntry = (open: Recovered['open']): FinishedEntry[] =>
  open === undefined
    ? []
    : [{ kind: 'journal', files: [{ fileId: open.fileId, bytes: 0, batchBytes: 0, damaged: false }] }];

/** What recovery says of it, then what a node reads of it. */
async function stateOf(disk: MemoryDisk): Promise<string> {
  const directory = await DataDirectory.open(disk, '/node');
  const { replay, nextGroup, checksum } = await recovered(directory);
  await directory.release();
  const logs = Array.from(replay.logs.values(), ({ id, start, end, lastGroup }) =>
    [id.topicId, start, end, lastGroup].join(' '),
  );
  const found = JSON.stringify([
    logs.toSorted((one, other) => (one < other ? -1 : 1)),
    nextGroup,
    checksum,
    replay.raft.lastGroup,
  ]);
  const node = await openTestNode({ disk, limits });
  const raft = raftSignature(node.log.raft.load());
  const doubt = [node.log.lossy, node.log.damaged, node.log.raft.doubtful];
  const read = await signatureOf(node.log, numbers);
  await node.close();
  return [found, JSON.stringify(doubt), read, raft].join('\n');
}

test('a sorted set stands for any files that follow each other, also when it is rewritten', async () => {
  let sets = 0;
  for (let seed = 1; seed <= 2; seed += 1) {
    const { disk, logs, raft } = await busyDisk(seed);
    const expected = await stateOf(await copyOf(disk));
    expect(expected).toContain(`${logs.signature()}\n${raft.signature()}`);
    expect(expected).toContain('[[],false,false]');
    const directory = await DataDirectory.open(await copyOf(disk), '/node');
    const count = (await recovered(directory)).files.finished.length;
    const random = new SeededRandom(seed);
    for (let from = 0; from < count; from += 1) {
      for (let to = from + 1; to <= count; to += 1) {
        const copy = await copyOf(disk);
        const partBytesMax = [4000, 20_000, 1_000_000][random.below(3)] ?? 0;
        await rewriteRange(copy, from, to, partBytesMax);
        expect([seed, from, to, await stateOf(await copyOf(copy))]).toEqual([seed, from, to, expected]);
        sets += 1;
        const again = random.below(from + 1);
        await rewriteRange(copy, again, from + 1, partBytesMax);
        expect([seed, again, from, to, await stateOf(copy)]).toEqual([seed, again, from, to, expected]);
      }
    }
  }
  expect(sets).toBeGreaterThan(40);
}, 120_000);

test('a checkpoint stands for sorted sets as for the files before them', async () => {
  for (let seed = 1; seed <= 6; seed += 1) {
    const { disk } = await busyDisk(seed);
    const fold = async (of: MemoryDisk, count: (finished: number) => number): Promise<unknown> => {
      const directory = await DataDirectory.open(of, '/node');
      const { files } = await recovered(directory);
      const entries: readonly ManifestEntry[] = files.finished.slice(0, count(files.finished.length));
      const folded = await foldFiles(directory, { checkpoint: files.checkpoint, entries }, new TestClock());
      const { file: made } = await writeCheckpoint(directory, { fileId: 1000, folded, clock: new TestClock() });
      await directory.release();
      const logs = Array.from(folded.replay.logs.values(), (index) => index.droppedSummary());
      const state = [folded.replay.raft.droppedSummary(), folded.entries, folded.lastGroup, folded.checksum];
      return [logs.toSorted((a, b) => (a.id.topicId < b.id.topicId ? -1 : 1)), state, made.damaged];
    };
    const copy = await copyOf(disk);
    const plain = await fold(await copyOf(disk), () => 4);
    await rewriteRange(copy, 1, 4, 6000);
    expect([seed, await fold(copy, () => 2)]).toEqual([seed, plain]);
  }
});
