/** How files go that no manifest names (D1 to D3 of `removal.ts`). */
import { DiskError, term } from '@sluice/base';
import { expect, test } from 'vitest';
import { DataDirectory } from './data-directory.ts';
import { journalName } from './journal-file.ts';
import type { DiskOperation } from './disk-faults.ts';
import { MemoryDisk } from './memory-disk.ts';
import { Removal, removalStepBytes } from './removal.ts';
import { TestClock } from './test-clock.ts';
import { openTestNode } from './test-node-log.ts';

const settled = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

interface Setup {
  readonly disk: MemoryDisk;
  readonly directory: DataDirectory;
  readonly clock: TestClock;
  readonly failures: Error[];
  readonly removal: Removal;
  readonly operations: DiskOperation[];
  written: number;
  isLow: boolean;
}

async function setUp(sizes: Readonly<Record<string, number>>): Promise<Setup> {
  const operations: DiskOperation[] = [];
  const disk = new MemoryDisk({
    faults: (operation) => {
      operations.push(operation);
      return 'run';
    },
  });
  const directory = await DataDirectory.open(disk, '/node');
  for (const [name, bytes] of Object.entries(sizes)) await create(disk, directory.file(name), bytes);
  operations.length = 0;
  const clock = new TestClock();
  const failures: Error[] = [];
  const setup = { disk, directory, clock, failures, operations, written: 0, isLow: false };
  const removal = new Removal({
    directory,
    clock,
    bytesWritten: () => result.written,
    isDiskLow: () => result.isLow,
    isStopped: () => failures.length > 0,
    onFailure: (error) => void failures.push(error),
    stepBytes: 10,
  });
  const result: Setup = Object.assign(setup, { removal });
  return result;
}

async function create(disk: MemoryDisk, path: string, bytes: number): Promise<void> {
  const file = await disk.open(path, 'create');
  await file.write([new Uint8Array(bytes)], 0);
  await file.sync();
  await file.close();
  await disk.syncDirectory('/node');
}

/** Bytes of each file that is there. */
async function sizes({ disk, directory }: Setup): Promise<Record<string, number>> {
  const found: Record<string, number> = {};
  for (const name of await disk.list(directory.path)) {
    const file = await disk.open(directory.file(name), 'existing');
    found[name] = await file.size();
    await file.close();
  }
  return found;
}

test('a large file goes a step at a time, each durable before the next (D1)', async () => {
  const setup = await setUp({ a: 25 });
  const { removal, clock, operations } = setup;
  removal.add(['a']);
  await settled();
  expect(operations.map(({ kind }) => kind)).toEqual(['exists', 'open', 'size', 'truncate', 'sync', 'close']);
  expect(await sizes(setup)).toEqual({ a: 15 });
  clock.advance(19);
  await settled();
  expect(await sizes(setup)).toEqual({ a: 15 });
  clock.advance(1);
  await settled();
  expect(await sizes(setup)).toEqual({ a: 5 });
  operations.length = 0;
  clock.advance(20);
  await settled();
  expect(operations.map(({ kind }) => kind).slice(-2)).toEqual(['remove', 'syncDirectory']);
  expect(await sizes(setup)).toEqual({});
});

test('small files go together, as many as fit into a step', async () => {
  const setup = await setUp({ a: 4, b: 4, c: 4, d: 1 });
  setup.removal.add(['a', 'b', 'gone', 'c', 'd']);
  await settled();
  expect(await sizes(setup)).toEqual({ c: 2, d: 1 });
  setup.clock.advance(20);
  await settled();
  expect(await sizes(setup)).toEqual({});
});

test('more goes at a time while more is written (D2)', async () => {
  const setup = await setUp({ a: 100 });
  setup.removal.add(['a']);
  await settled();
  setup.written += 20;
  setup.clock.advance(20);
  await settled();
  expect(await sizes(setup)).toEqual({ a: 100 - 10 - 10 - 30 });
});

test('without pauses while the disk is low (D2)', async () => {
  const setup = await setUp({ a: 45 });
  setup.isLow = true;
  setup.removal.add(['a']);
  await settled();
  expect(await sizes(setup)).toEqual({});
  expect(setup.operations.filter(({ kind }) => kind === 'sync')).toHaveLength(4);
});

test('a stop leaves what waits, and does not wait for the pause (D3)', async () => {
  const setup = await setUp({ a: 25, b: 25 });
  setup.removal.add(['a', 'b']);
  await settled();
  await setup.removal.close();
  setup.removal.add(['c']);
  await settled();
  expect(await sizes(setup)).toEqual({ a: 15, b: 25 });
});

test('a disk that fails is said once, and nothing is tried again', async () => {
  const setup = await setUp({ a: 25 });
  const { disk, removal, failures, clock, operations } = setup;
  disk.failSyncs(1);
  removal.add(['a']);
  await settled();
  expect(failures).toEqual([expect.any(DiskError)]);
  operations.length = 0;
  removal.add(['b']);
  clock.advance(100);
  await settled();
  expect(operations).toEqual([]);
});

test('what a stop left is gone on with at the next start, beside the groups (D3)', async () => {
  const disk = new MemoryDisk();
  const limits = { journalBytesMax: 20_000, spaceAheadBytes: 0 };
  const earlier = await openTestNode({ disk, limits });
  for (let files = 0; files < 3; files += 1) {
    earlier.log.raft.persist({ hardState: { term: term(files), votedFor: null } }, () => undefined);
  }
  await earlier.close();
  const left = `/node/${journalName(0)}`;
  await create(disk, left, removalStepBytes * 2);
  const clock = new TestClock();
  const node = await openTestNode({ disk, limits, clock });
  await settled();
  const file = await disk.open(left, 'existing');
  expect(await file.size()).toBe(removalStepBytes);
  await file.close();
  clock.advance(20);
  await settled();
  expect(await disk.exists(left)).toBe(false);
  await node.close();
});
