/** What a rewrite keeps, and what it gives back (R1 to R6 of `rewriter.ts`); crashes are in `crash-workloads.testing.ts`. */
import type { Disk, DiskFile } from '@sluice/base';
import { DiskError, SeededRandom } from '@sluice/base';
import { expect, test } from 'vitest';
import { raftSignature, RaftModel } from './crash-history.testing.ts';
import { LogModel } from './log-model.ts';
import type { LogStore } from './log-store.ts';
import { MemoryDisk } from './memory-disk.ts';
import { at, testBatch, testSpan } from './test-batches.ts';
import { wrappedDisk } from './test-disk.ts';
import { contents, durable, openTestNode, testLogId, type TestNode } from './test-node-log.ts';

const limits = {
  // The header, and five groups of a page.
  journalBytesMax: 6 * 4096,
  groupBytesMax: 8 * 1024,
  tailBytesMax: 0,
  spaceAheadBytes: 0,
  rewriteBytesPerSecondMax: Number.POSITIVE_INFINITY,
};

const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));
const group = (node: TestNode): Promise<void> => new Promise((resolve) => node.log.raft.persist({}, resolve));

async function fill(log: LogStore, batches: number, valueBytes = 3000): Promise<void> {
  for (let n = 0; n < batches; n += 1) {
    const base = log.endOffset;
    log.append(testBatch({ base, valueBytes }), testSpan(base, base + 1));
    await durable(log);
  }
}

async function settled(node: TestNode): Promise<void> {
  for (let before = -1; before !== node.log.stats.rewrites; ) {
    before = node.log.stats.rewrites;
    for (let turns = 0; turns < 50; turns += 1) await turn();
  }
}

interface RandomRun {
  readonly logs: LogModel;
  readonly raft: RaftModel;
  readonly random: SeededRandom;
}

/** Something that the node does not hold as it should; undefined when all is well. */
async function differenceOf(
  node: TestNode,
  { logs, raft, random }: RandomRun,
  opened: boolean,
): Promise<string | undefined> {
  await group(node);
  const found = (await logs.difference(node.log)) ?? logs.wronglyExpired(node.log, random);
  if (found !== undefined || !opened) return found;
  const doubt = JSON.stringify([node.log.lossy, node.log.raft.doubtful, node.log.damaged]);
  if (doubt !== '[[],false,false]') return doubt;
  const state = raftSignature(node.log.raft.load());
  return state === raft.signature() ? undefined : state;
}

/** What was found wrong, and how many sets were made. */
async function randomRun(seed: number): Promise<{ found: readonly string[]; rewrites: number }> {
  const random = new SeededRandom(seed);
  const disk = new MemoryDisk();
  const run = { logs: new LogModel(), raft: new RaftModel(), random };
  const found: string[] = [];
  let rewrites = 0;
  let node = await openTestNode({ disk, limits });
  node.log.raft.load();
  for (let step = 1; step <= 400 && found.length === 0; step += 1) {
    const draw = random.below(30);
    if (draw < 2) await run.raft.any(node.log, random);
    else if (draw < 3) run.logs.trimEach(node.log, random, () => undefined);
    else run.logs.step(node.log, random);
    if (random.below(3) === 0) await group(node);
    if (random.below(20) === 0) await turn();
    const opens = random.below(120) === 0;
    if (opens) {
      rewrites += node.log.stats.rewrites;
      await node.close();
      run.raft.opened();
      node = await openTestNode({ disk, limits });
    }
    const problem = opens || random.below(60) === 0 ? await differenceOf(node, run, opens) : undefined;
    if (problem !== undefined) found.push(`seed ${seed}, step ${step}: ${problem}`);
  }
  await node.close();
  for (const error of node.halts) found.push(error.message);
  return { found, rewrites: rewrites + node.log.stats.rewrites };
}

test('a long random run with rewrites holds what it should, live and after each start', async () => {
  for (let seed = 1; seed <= 10; seed += 1) {
    const { found, rewrites } = await randomRun(seed);
    expect(found).toEqual([]);
    expect(rewrites).toBeGreaterThan(20);
  }
}, 120_000);

test('files take no more than half as much again as what lives, and a few journal files', async () => {
  const journalBytesMax = 400_000;
  for (let seed = 1; seed <= 4; seed += 1) {
    const random = new SeededRandom(seed);
    const node = await openTestNode({ disk: new MemoryDisk(), limits: { ...limits, journalBytesMax } });
    const logs = Array.from({ length: 12 }, (_, number) => node.log.log(testLogId(number)));
    let worst = 0;
    for (let step = 1; step <= 1500; step += 1) {
      const log = logs[random.below(logs.length)] as LogStore;
      const base = log.endOffset;
      log.append(testBatch({ base, valueBytes: 1000 + random.below(9000) }), testSpan(base, base + 1));
      // Some logs keep what is old, most do not: no file is ever dead as a whole by itself.
      const kept = log === logs[0] ? 200 : log === logs[1] ? 60 : 10;
      if (base > kept) log.restartAt(at(base - kept));
      await group(node);
      if (step % 50 !== 0) continue;
      await settled(node);
      const { diskBytes, liveBytes } = node.log.stats;
      worst = Math.max(worst, (diskBytes - 1.5 * liveBytes) / journalBytesMax);
    }
    expect([seed, worst < 4]).toEqual([seed, true]);
    await node.close();
  }
}, 120_000);

const sortedFiles = async (disk: Disk): Promise<readonly string[]> =>
  (await disk.list('/node')).filter((name) => name.startsWith('sorted-'));

/** Four finished journal files with short runs of three logs, and a fifth that has room for four more groups. */
async function shortRuns(disk: Disk): Promise<TestNode> {
  const node = await openTestNode({ disk, limits });
  for (let round = 0; round < 7; round += 1) {
    for (const number of [1, 2, 3]) await fill(node.log.log(testLogId(number)), 1, 2000);
  }
  return node;
}

/** Holds the first file that is opened with this in its name, until it is let go. */
function holding(memory: Disk): { disk: Disk; hold: (name: string) => void; go: () => Promise<void> } {
  let held: string | undefined;
  let goes: () => void = () => undefined;
  let isHeld = Promise.resolve();
  const open: Disk['open'] = async (path, mode) => {
    if (held !== undefined && path.includes(held)) {
      held = undefined;
      await isHeld;
    }
    return memory.open(path, mode);
  };
  return {
    disk: wrappedDisk(memory, {}, { open }),
    hold: (name) => {
      held = name;
      isHeld = new Promise((resolve) => {
        goes = resolve;
      });
    },
    go: () => {
      expect(held).toBe(undefined);
      goes();
      return turn();
    },
  };
}

test('short runs of several files become one set in the order of logs, and every log reads as before', async () => {
  const disk = new MemoryDisk();
  let node = await shortRuns(disk);
  await settled(node);
  // One part for each topic: a part begins with a topic once it is a quarter full.
  expect([node.log.stats.rewrites, (await sortedFiles(disk)).length]).toEqual([1, 3]);
  for (let round = 0; round < 2; round += 1) {
    for (const number of [1, 2, 3]) {
      const log = node.log.log(testLogId(number));
      const whole = await contents(log, 5000);
      expect(whole).toHaveLength(7 * testBatch({ base: 0, valueBytes: 2000 }).length);
    }
    await node.close();
    node = await openTestNode({ disk, limits });
    expect(node.log.lossy).toEqual([]);
  }
  await node.close();
});

const cuts = ['truncate', 'trim', 'empty', 'delete', 'delete and append'] as const;
for (const [what, copied] of cuts.flatMap((cut) => [[cut, false] as const, [cut, true] as const])) {
  test(`a log that is cut (${what}) ${copied ? 'behind' : 'before'} its copy stays cut, live and after a start`, async () => {
    const memory = new MemoryDisk();
    const copy = holding(memory);
    const manifest = holding(copy.disk);
    copy.hold('sorted-');
    let node = await shortRuns(manifest.disk);
    await turn();
    manifest.hold('manifest.new');
    if (copied) await copy.go();
    const log = node.log.log(testLogId(2));
    if (what === 'truncate') log.truncate(at(2));
    else if (what === 'trim') log.restartAt(at(3));
    else if (what === 'empty') log.restartAt(at(50));
    else log.delete();
    if (what !== 'delete' && what !== 'trim') await fill(node.log.log(testLogId(2)), 2, 700);
    await group(node);
    const bounds = (): number[] => [log2().startOffset, log2().endOffset, log2().bytes];
    const log2 = (): LogStore => node.log.log(testLogId(2));
    const expected = { truncate: [0, 4], trim: [3, 7], empty: [50, 52], delete: [0, 0], 'delete and append': [0, 2] };
    if (!copied) await copy.go();
    await manifest.go();
    await settled(node);
    expect(node.log.stats.rewrites).toBeGreaterThan(0);
    for (let round = 0; round < 2; round += 1) {
      expect(bounds().slice(0, 2)).toEqual(expected[what]);
      // Nothing counts as alive that no log holds.
      const held = node.log.logIds().reduce((sum, id) => sum + node.log.log(id).bytes, 0);
      expect(node.log.stats.liveBytes).toBeLessThanOrEqual(held);
      const whole = await contents(log2(), 3000);
      const marks = [expected[what][0] ?? 0, expected[what][1] ?? 0];
      expect([whole.length > 0, node.log.lossy]).toEqual([(marks[1] ?? 0) > (marks[0] ?? 0), []]);
      const batch = (base: number, valueBytes: number): Uint8Array => testBatch({ base, valueBytes });
      const old = what === 'truncate' ? [0, 1] : what === 'trim' ? [3, 4, 5, 6] : [];
      const fresh = { truncate: [2, 3], trim: [], empty: [50, 51], delete: [], 'delete and append': [0, 1] }[what];
      const all = [...old.map((base) => batch(base, 2000)), ...fresh.map((base) => batch(base, 700))];
      expect(Buffer.compare(whole, Buffer.concat(all))).toBe(0);
      expect(await contents(node.log.log(testLogId(3)), 3000)).toHaveLength(7 * batch(0, 2000).length);
      await node.close();
      node = await openTestNode({ disk: memory, limits });
    }
    await node.close();
  });
}

test('reads go on over the switch to a set, and hold no file that is gone', async () => {
  const memory = new MemoryDisk();
  const sorted = holding(memory);
  const journal = holding(sorted.disk);
  sorted.hold('sorted-');
  const node = await shortRuns(journal.disk);
  await turn();
  // The read has found where its bytes lie, and was about to open the file, when a rewrite takes it away.
  journal.hold('journal-');
  const read = node.log.log(testLogId(1)).read(at(0), at(7), 100_000);
  await sorted.go();
  await settled(node);
  expect(node.log.stats.rewrites).toBe(1);
  await journal.go();
  const found = await read;
  expect(found.kind === 'batches' && found.endOffset).toBeGreaterThan(0);
  expect(node.log.lossy).toEqual([]);
  await node.close();
});

test('a damaged byte is never copied: the file stays, and its log says that it is damaged', async () => {
  const memory = new MemoryDisk();
  const { disk, hold, go } = holding(memory);
  hold('sorted-');
  let node = await shortRuns(disk);
  await turn();
  const first = (await memory.list('/node')).find((name) => name.startsWith('journal-'));
  // In the value of the record of one batch: the second group of the file, behind header, table and batch head.
  memory.flipBit(`/node/${first}`, 4096 + 4096 + 64 + 80 + 700);
  await go();
  await settled(node);
  expect([node.log.stats.rewrites, await sortedFiles(memory)]).toEqual([0, []]);
  for (let round = 0; round < 2; round += 1) {
    expect(await memory.exists(`/node/${first}`)).toBe(true);
    const log = node.log.log(testLogId(2));
    await expect(log.read(at(0), at(7), 1000)).rejects.toMatchObject({ code: 'STORAGE_FAILED' });
    expect(node.log.lossy.map(({ id, intactEnd }) => [id, intactEnd])).toEqual([[testLogId(2), 0]]);
    expect(await contents(node.log.log(testLogId(1)), 3000)).toHaveLength(
      7 * testBatch({ base: 0, valueBytes: 2000 }).length,
    );
    await node.close();
    node = await openTestNode({ disk: memory, limits });
    await settled(node);
  }
  await node.close();
});

test('without room nothing is rewritten and nothing is left behind; with room it is done later', async () => {
  const memory = new MemoryDisk();
  let isFull = true;
  const disk = wrappedDisk(
    memory,
    {},
    {
      open: async (path, mode) => {
        const file = await memory.open(path, mode);
        if (!path.includes('sorted-') || mode !== 'create') return file;
        return wrappedFile(file, () => isFull);
      },
    },
  );
  const node = await shortRuns(disk);
  await settled(node);
  expect([node.log.stats.rewrites, await sortedFiles(memory), node.halts]).toEqual([0, [], []]);
  isFull = false;
  await fill(node.log.log(testLogId(1)), 10, 2000);
  await settled(node);
  expect(node.log.stats.rewrites).toBeGreaterThan(0);
  await node.close();
});

const wrappedFile = (file: DiskFile, isFull: () => boolean): DiskFile => ({
  ...file,
  writeDurable: (buffers, position) =>
    isFull()
      ? Promise.reject(new DiskError('ENOSPC', 'sorted', 'no space left on device'))
      : file.writeDurable(buffers, position),
});

test('a part that is missing is a hole, of which the logs of the other parts are clear', async () => {
  const memory = new MemoryDisk();
  let node = await shortRuns(memory);
  await settled(node);
  // The first log goes on behind the set, in order or not.
  await fill(node.log.log(testLogId(1)), 1);
  await node.close();
  const [sorted] = await sortedFiles(memory);
  for (const harm of ['missing', 'footer'] as const) {
    const disk = new MemoryDisk();
    await disk.makeDirectory('/node');
    for (const name of await memory.list('/node')) {
      if (name !== 'lock') disk.plant(`/node/${name}`, memory.durableBytes(`/node/${name}`));
    }
    const bytes = memory.durableBytes(`/node/${sorted}`).length;
    if (harm === 'missing') await disk.remove(`/node/${sorted}`);
    else disk.flipBit(`/node/${sorted}`, bytes - 4096 + 80);
    node = await openTestNode({ disk, limits });
    expect([harm, node.log.damaged, node.log.lossy.length]).toEqual([harm, true, 1]);
    await node.close();
    // It is seen again, until the set is dropped, and means nothing new.
    node = await openTestNode({ disk, limits });
    for (const { id } of node.log.lossy) node.log.log(id).healed();
    await group(node);
    await node.close();
    node = await openTestNode({ disk, limits });
    expect([harm, node.log.damaged, node.log.lossy]).toEqual([harm, true, []]);
    await node.close();
  }
});

test('a transform that loses offsets stops the node before anything is lost', async () => {
  const disk = new MemoryDisk();
  const node = await shortRuns(disk);
  await settled(node);
  const { id } = node.log.log(testLogId(2));
  const loses = (batches: Uint8Array): Uint8Array => batches.subarray(testBatch({ base: 0, valueBytes: 2000 }).length);
  const done = node.log.rewrite([{ id, upTo: 3, transform: loses }]);
  await settled(node);
  expect(node.halts.map(({ message }) => message)).toEqual([expect.stringContaining('keeps the offsets')]);
  await node.close();
  expect(await done).toBe(false);
  const again = await openTestNode({ disk, limits });
  expect(await contents(again.log.log(id))).toHaveLength(7 * testBatch({ base: 0, valueBytes: 2000 }).length);
  await again.close();
});

test('what is trimmed in the middle of what a file holds counts as garbage, and is given back', async () => {
  const journalBytesMax = 200_000;
  const node = await openTestNode({ disk: new MemoryDisk(), limits: { ...limits, journalBytesMax } });
  const logs = [1, 2, 3, 4].map((number) => node.log.log(testLogId(number)));
  for (let round = 0; round < 80; round += 1) for (const log of logs) await fill(log, 1, 5000);
  await settled(node);
  const before = node.log.stats;
  expect(before.liveBytes).toBeGreaterThan(1_500_000);
  for (const log of logs) log.restartAt(at(79));
  await group(node);
  await settled(node);
  const { diskBytes, liveBytes } = node.log.stats;
  expect(liveBytes).toBeLessThan(60_000);
  expect(diskBytes).toBeLessThan(1.5 * liveBytes + 3 * journalBytesMax);
  await node.close();
});
