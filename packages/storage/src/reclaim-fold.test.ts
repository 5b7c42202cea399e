/**
 * What recovery makes of files is what it makes of their checkpoint and the rest: for every number of files that a
 * checkpoint can stand for, also where they are damaged.
 */
import { SeededRandom, silentLogger } from '@sluice/base';
import { expect, test } from 'vitest';
import { writeCheckpoint } from './checkpoint.ts';
import { RaftModel } from './crash-history.testing.ts';
import { DataDirectory } from './data-directory.ts';
import { LogModel } from './log-model.ts';
import { type ManifestEntry, writeManifest } from './manifest.ts';
import { MemoryDisk } from './memory-disk.ts';
import { foldFiles, recover, type Recovered } from './recovery.ts';
import { TestClock } from './test-clock.ts';
import { openTestNode } from './test-node-log.ts';

const limits = { journalBytesMax: 20 * 1024, groupBytesMax: 8 * 1024, spaceAheadBytes: 0 };

/** The files of a node that did all kinds of things, was damaged, and went on. */
async function damagedDisk(seed: number): Promise<MemoryDisk> {
  const random = new SeededRandom(seed);
  const disk = new MemoryDisk();
  const [logs, raft] = [new LogModel(), new RaftModel()];
  let node = await openTestNode({ disk, limits });
  for (let step = 0; step < 60; step += 1) {
    if (random.below(3) === 0) await raft.any(node.log, random);
    else logs.step(node.log, random);
    if (random.below(2) === 0) await new Promise<void>((resolve) => node.log.raft.persist({}, resolve));
  }
  await node.close();
  const names = (await disk.list('/node')).filter((name) => name.endsWith('.log'));
  for (let flips = random.below(4); flips > 0; flips -= 1) {
    const path = `/node/${names[random.below(names.length)]}`;
    // Where frames begin, mostly: what lies further behind is seldom read.
    const page = random.below(disk.durableBytes(path).length / 4096);
    disk.flipBit(path, page * 4096 + random.below(random.below(2) === 0 ? 200 : 4096));
  }
  if (random.below(2) === 0) await disk.remove(`/node/${names[random.below(names.length)]}`);
  node = await openTestNode({ disk, limits });
  const others = new LogModel(10);
  for (let step = 0; step < 40; step += 1) {
    others.step(node.log, random);
    for (const { id } of node.log.lossy) if (random.below(20) === 0) node.log.log(id).healed();
    if (node.log.raft.doubtful && random.below(80) === 0) node.log.raft.healed();
    if (random.below(2) === 0) await new Promise<void>((resolve) => node.log.raft.persist({}, resolve));
  }
  await node.close();
  return disk;
}

async function copyOf(disk: MemoryDisk): Promise<MemoryDisk> {
  const copy = new MemoryDisk();
  await copy.makeDirectory('/node');
  for (const name of await disk.list('/node')) {
    if (name !== 'lock') copy.plant(`/node/${name}`, disk.durableBytes(`/node/${name}`));
  }
  return copy;
}

/** Before anybody looks whether all bytes are there: those of the files that a checkpoint stands for are not. */
function stateOf({ replay, nextGroup, checksum }: Recovered): unknown {
  const logs = Array.from(replay.logs.values(), ({ id, start, end, lastGroup, lossy }) => [
    id.topicId,
    [start, end, lastGroup, lossy?.intactEnd, lossy?.knownEnd],
  ]);
  const { hardState, doubtful, lastGroup, lastIndex, snapshot } = replay.raft;
  const raft = { hardState, doubtful, lastGroup, lastIndex, snapshot, entries: replay.raft.take() };
  return { logs: Object.fromEntries(logs) as unknown, raft, damaged: replay.damaged, nextGroup, checksum };
}

async function recovered(disk: MemoryDisk): Promise<Recovered> {
  const directory = await DataDirectory.open(disk, '/node');
  const found = await recover(directory, silentLogger);
  await found.open?.file.close();
  await directory.release();
  return found;
}

const openEntry = ({ open }: Recovered): ManifestEntry[] =>
  open === undefined ? [] : [{ kind: 'journal', files: [{ fileId: open.fileId }] }];

test('a checkpoint stands for any number of the oldest files, whole or damaged', async () => {
  let folds = 0;
  let damaged = 0;
  let doubtful = 0;
  let discarded = 0;
  for (let seed = 1; seed <= 40; seed += 1) {
    const random = new SeededRandom(seed);
    const disk = await damagedDisk(seed);
    const whole = await recovered(await copyOf(disk));
    const expected = stateOf(whole);
    if (whole.replay.raft.doubtful) doubtful += 1;
    const { checkpoint, finished } = whole.files;
    const last = openEntry(whole);
    for (let count = 1; count < finished.length + last.length; count += 1) {
      const copy = await copyOf(disk);
      const directory = await DataDirectory.open(copy, '/node');
      const all = await foldFiles(directory, { checkpoint, entries: finished.slice(0, count) }, new TestClock());
      // What later files discard need not be carried on.
      const entries = all.entries.filter(({ index }) => index >= whole.replay.raft.firstIndex);
      const folded = random.below(2) === 0 ? all : { ...all, entries };
      discarded += all.entries.length - entries.length;
      const { file: made } = await writeCheckpoint(directory, { fileId: 1000, folded, clock: new TestClock() });
      await writeManifest(directory, { checkpoint: made, entries: [...finished.slice(count), ...last] });
      await directory.release();
      expect([seed, count, stateOf(await recovered(copy))]).toEqual([seed, count, expected]);
      folds += 1;
      if (folded.damage !== undefined) damaged += 1;
    }
  }
  expect(folds).toBeGreaterThan(100);
  expect(damaged).toBeGreaterThan(100);
  expect(doubtful).toBeGreaterThan(3);
  expect(discarded).toBeGreaterThan(50);
}, 120_000);
