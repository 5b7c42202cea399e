import type { Disk, DiskFile } from '@sluice/base';
import { DiskError, isSluiceError } from '@sluice/base';
import { expect, test } from 'vitest';
import { isFull, type UntilFits } from './disk-reserve.ts';
import { FrameKind, readFrameHeader } from './frame.ts';
import { journalName } from './journal-file.ts';
import type { LogStore } from './log-store.ts';
import { MemoryDisk } from './memory-disk.ts';
import { SpaceAhead } from './space-ahead.ts';
import { testBatch, testSpan } from './test-batches.ts';
import { TestClock } from './test-clock.ts';
import { wrappedDisk } from './test-disk.ts';
import { contents, durable, openTestNode, testLogId } from './test-node-log.ts';

const path = `/node/${journalName(1)}`;
const kib = 1024;

/** Records what is asked of it and answers when the test says so. */
class HeldFile {
  readonly asked: string[] = [];
  #answers: ((error?: Error) => void)[] = [];

  readonly file: Pick<DiskFile, 'truncate' | 'writeDurable'> = {
    truncate: (bytes) => this.#ask(`truncate ${bytes}`),
    writeDurable: (buffers, position) => {
      for (const buffer of buffers) expect(buffer.every((byte) => byte === 0)).toBe(true);
      return this.#ask(`zeros ${position} to ${position + (buffers[0]?.length ?? 0)}`);
    },
  };

  async answer(error?: Error): Promise<void> {
    this.#answers.shift()?.(error);
    for (let turn = 0; turn < 10; turn += 1) await Promise.resolve();
  }

  taken(): string[] {
    return this.asked.splice(0);
  }

  #ask(what: string): Promise<void> {
    this.asked.push(what);
    return new Promise((resolve, reject) => {
      this.#answers.push((error) => (error === undefined ? resolve() : reject(error)));
    });
  }
}

/** Work that met a full disk is done again when the test says so. */
class HeldReserve {
  isLow = false;
  looks = 1;
  again: (() => void) | undefined;

  readonly untilFits: UntilFits = async (work) => {
    for (;;) {
      try {
        return await work();
      } catch (error) {
        if (!isFull(error)) throw error;
        await new Promise<void>((resolve) => {
          this.again = resolve;
        });
      }
    }
  };
}

function spaceAhead(limits: { space?: number; zeros?: number; journal?: number }, clock = new TestClock()) {
  const reserve = new HeldReserve();
  const held = new HeldFile();
  const failures: Error[] = [];
  const ahead = new SpaceAhead(held.file as DiskFile, {
    end: 4096,
    size: 4096,
    clock,
    limits: {
      spaceAheadBytes: limits.space ?? 0,
      zerosAheadBytes: limits.zeros ?? 0,
      journalBytesMax: limits.journal ?? 1024 * kib,
    },
    reserve,
    onFailure: (error) => failures.push(error),
  });
  return { ahead, held, failures, clock, reserve };
}

async function isOpen(wait: Promise<void> | undefined): Promise<boolean> {
  let done = wait === undefined;
  void wait?.then(() => {
    done = true;
  });
  for (let turn = 0; turn < 10; turn += 1) await Promise.resolve();
  return !done;
}

test('A1: the file is made longer before half a step is left, never shorter, and a write beyond that waits', async () => {
  const { ahead, held } = spaceAhead({ space: 64 * kib });
  ahead.replenish();
  expect(held.taken()).toEqual([`truncate ${68 * kib}`]);
  ahead.replenish();
  expect(held.taken()).toEqual([]);
  expect(ahead.claim(60 * kib)).toBeUndefined();
  const wait = ahead.claim(72 * kib);
  expect(await isOpen(wait)).toBe(true);
  await held.answer();
  await wait;
  ahead.replenish();
  expect(held.taken()).toEqual([`truncate ${136 * kib}`]);
  await held.answer();
  expect(ahead.claim(100 * kib)).toBeUndefined();
  ahead.replenish();
  expect(held.taken()).toEqual([]);
  expect(ahead.claim(112 * kib)).toBeUndefined();
  ahead.replenish();
  expect(held.taken()).toEqual([`truncate ${176 * kib}`]);
});

test('A1: a write that made the file longer by itself is not cut by what is asked for after it', async () => {
  const { ahead, held } = spaceAhead({ space: 64 * kib, journal: 128 * kib });
  expect(ahead.claim(400 * kib)).toBeUndefined();
  ahead.replenish();
  expect(held.taken()).toEqual([]);
});

test('A2: zeros go behind the writes, piece by piece, and a write that reaches into a piece waits for it', async () => {
  const { ahead, held } = spaceAhead({ zeros: 64 * kib });
  ahead.replenish();
  expect(held.taken()).toEqual(['zeros 4096 to 12288']);
  const wait = ahead.claim(8 * kib);
  expect(await isOpen(wait)).toBe(true);
  await held.answer();
  await wait;
  expect(held.taken()).toEqual(['zeros 12288 to 20480']);
  expect(ahead.claim(12 * kib)).toBeUndefined();
  for (let from = 20; from < 76; from += 8) {
    await held.answer();
    expect(held.taken()).toEqual([`zeros ${from * kib} to ${(from + 8) * kib}`]);
  }
  await held.answer();
  expect(held.taken()).toEqual([]);
  // Half of them may be used up before there are more.
  expect(ahead.claim(44 * kib)).toBeUndefined();
  ahead.replenish();
  expect(held.taken()).toEqual([]);
  expect(ahead.claim(48 * kib)).toBeUndefined();
  ahead.replenish();
  expect(held.taken()).toEqual(['zeros 77824 to 86016']);
});

test('at high rates there are no zeros, and again when the rate falls', async () => {
  const { ahead, held, clock } = spaceAhead({ zeros: 64 * kib, journal: 1024 * 1024 * kib });
  let end = 4096;
  const zerosOfStep: number[] = [];
  for (let step = 0; step < 20; step += 1) {
    end += 1024 * kib;
    const wait = ahead.claim(end);
    await held.answer();
    await wait;
    clock.advance(10);
    ahead.replenish();
    zerosOfStep.push(held.taken().length);
  }
  // The rate is known after a while.
  expect(zerosOfStep.slice(5)).toEqual(Array.from({ length: 15 }, () => 0));
  clock.advance(500);
  expect(ahead.claim(end + 4096)).toBeUndefined();
  ahead.replenish();
  expect(held.taken()).toEqual([`zeros ${end + 4096} to ${end + 4096 + 8 * kib}`]);
});

test('nothing is made behind the largest file that there may be, and nothing once it is stopped', async () => {
  const { ahead, held } = spaceAhead({ space: 64 * kib, zeros: 64 * kib, journal: 16 * kib });
  ahead.replenish();
  expect(held.taken()).toEqual(['truncate 16384', 'zeros 4096 to 12288']);
  await held.answer();
  await held.answer();
  expect(held.taken()).toEqual(['zeros 12288 to 16384']);
  let stopped = false;
  const stop = ahead.stop().then(() => {
    stopped = true;
  });
  expect(await isOpen(stop)).toBe(true);
  await held.answer();
  await stop;
  expect(stopped).toBe(true);
  ahead.replenish();
  expect(held.taken()).toEqual([]);
});

async function failedAhead(code: string) {
  const { ahead, held, failures, reserve } = spaceAhead({ zeros: 64 * kib });
  ahead.replenish();
  const wait = ahead.claim(8 * kib)?.catch((error: unknown) => error);
  await held.answer(new DiskError(code, '/f', code));
  held.taken();
  ahead.replenish();
  return { ahead, failures, wait, held, reserve };
}

test.each(['ENOSPC', 'EDQUOT'])(
  'A3, A5: %s is no failure; a group then goes into zeros of its own, and waits for room for them',
  async (code) => {
    const { ahead, failures, wait, held, reserve } = await failedAhead(code);
    expect(failures).toEqual([]);
    const place = ['zeros 4096 to 8192'];
    // What was on its way to `replenish` and to the waiting group.
    const claimed = wait as Promise<void>;
    expect(await isOpen(claimed)).toBe(true);
    await held.answer(new DiskError(code, '/f', code));
    expect(held.taken()).toEqual([]);
    reserve.again?.();
    expect(await isOpen(claimed)).toBe(true);
    expect(held.taken()).toEqual(place);
    await held.answer();
    expect(await isOpen(claimed)).toBe(false);
    // Not before the disk was looked at again, and not while it is low.
    ahead.replenish();
    expect(held.taken()).toEqual([]);
    reserve.looks += 1;
    reserve.isLow = true;
    ahead.replenish();
    expect(held.taken()).toEqual([]);
    reserve.isLow = false;
    ahead.replenish();
    expect(held.taken()).toEqual(['zeros 8192 to 16384']);
  },
);

test('A5: on a low disk a group waits for zeros at its place, in pieces, and nothing goes there before', async () => {
  const { ahead, held, reserve } = spaceAhead({});
  reserve.isLow = true;
  const wait = ahead.claim(1536 * kib);
  expect(await isOpen(wait)).toBe(true);
  expect(held.taken()).toEqual(['zeros 4096 to 1052672']);
  await held.answer();
  expect(await isOpen(wait)).toBe(true);
  expect(held.taken()).toEqual(['zeros 1052672 to 1572864']);
  await held.answer();
  expect(await isOpen(wait)).toBe(false);
  reserve.isLow = false;
  expect(ahead.claim(2048 * kib)).toBeUndefined();
});

test('A3: a file that may not grow fails the group that needs it, and waits for nobody', async () => {
  const { wait, held } = await failedAhead('EFBIG');
  await held.answer(new DiskError('EFBIG', '/f', 'EFBIG'));
  expect(await wait).toMatchObject({ code: 'EFBIG' });
});

test('A3: any other error fails the write that waits and all after it', async () => {
  const { ahead, failures, wait, held } = await failedAhead('EIO');
  const claimed = await wait;
  expect(claimed).toMatchObject({ code: 'EIO' });
  expect(failures).toEqual([claimed]);
  expect(held.taken()).toEqual([]);
  expect(() => ahead.claim(12 * kib)).toThrow('EIO');
});

// Over a whole log

async function append(log: LogStore, valueBytes = 1000): Promise<void> {
  const base = log.endOffset;
  log.append(testBatch({ base, valueBytes }), testSpan(base, base + 1));
  await durable(log);
}

const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));
const limits = { spaceAheadBytes: 64 * kib, zerosAheadBytes: 32 * kib };

test('J4: an open file is longer than its groups; a finished one and a closed one end with what they hold', async () => {
  const disk = new MemoryDisk();
  const node = await openTestNode({ disk, limits: { ...limits, journalBytesMax: 40 * kib } });
  const log = node.log.log(testLogId(1));
  await append(log);
  expect(disk.durableBytes(path).length).toBe(40 * kib);
  // Too large for the rest of the file: it is finished before its end.
  await append(log, 38 * kib);
  expect(node.log.stats.journalFiles).toBe(2);
  const finished = disk.durableBytes(path);
  expect(finished.length).toBe(12 * kib);
  expect(finished.subarray(-4096).some((byte) => byte !== 0)).toBe(true);
  const open = `/node/${journalName(2)}`;
  await node.close();
  const file = await disk.open(open, 'existing');
  const last = new Uint8Array(4096);
  await file.read(last, (await file.size()) - 4096);
  expect(last.some((byte) => byte !== 0)).toBe(true);
});

test('zeros behind the last group are its end: nothing is cut, nothing is lossy, and the log goes on', async () => {
  for (const keep of ['nothing', 'everything'] as const) {
    const disk = new MemoryDisk();
    let node = await openTestNode({ disk, limits });
    const log = node.log.log(testLogId(1));
    for (let n = 0; n < 3; n += 1) await append(log);
    const before = await contents(log);
    disk.crash({ keep });
    const size = disk.durableBytes(path).length;
    const truncates = disk.operations('truncate');
    node = await openTestNode({ disk, limits: { spaceAheadBytes: 0, zerosAheadBytes: 0 } });
    expect(disk.operations('truncate')).toBe(truncates);
    expect(disk.durableBytes(path)).toHaveLength(size);
    const again = node.log.log(testLogId(1));
    expect([node.log.lossy, node.log.damaged, await contents(again)]).toEqual([[], false, before]);
    await append(again);
    expect(again.endOffset).toBe(4);
    await node.close();
  }
});

test('anything but zeros behind the last group is a torn write, and is cut', async () => {
  const disk = new MemoryDisk();
  let node = await openTestNode({ disk, limits });
  await append(node.log.log(testLogId(1)));
  disk.crash({ keep: 'everything' });
  const size = disk.durableBytes(path).length;
  disk.flipBit(path, size - 1);
  node = await openTestNode({ disk, limits: { spaceAheadBytes: 0, zerosAheadBytes: 0 } });
  expect(node.log.log(testLogId(1)).endOffset).toBe(1);
  expect(disk.durableBytes(path).length).toBe(8192);
  await node.close();
});

test('corruption among the groups is found with space ahead as without', async () => {
  const disk = new MemoryDisk();
  let node = await openTestNode({ disk, limits });
  const log = node.log.log(testLogId(1));
  for (let n = 0; n < 4; n += 1) await append(log, 3000);
  disk.crash({ keep: 'everything' });
  disk.flipBit(path, 2 * 4096 + 2000);
  node = await openTestNode({ disk, limits });
  expect(node.log.lossy.map(({ intactEnd }) => intactEnd)).toEqual([1]);
  await node.close();
});

/** Fails what makes space ahead, and nothing else, while it has a code to fail with. */
function fullDisk(disk: MemoryDisk): { disk: Disk; code: string | undefined } {
  const full: { disk: Disk; code: string | undefined } = { disk, code: undefined };
  const refused = (): Promise<void> => Promise.reject(new DiskError(full.code ?? '', path, `${full.code} ahead`));
  full.disk = wrappedDisk(disk, {
    truncate(this: DiskFile, bytes) {
      return full.code === undefined ? this.truncate(bytes) : refused();
    },
    writeDurable(this: DiskFile, buffers, position) {
      const areZeros = buffers.every((buffer) => buffer.every((byte) => byte === 0));
      return full.code === undefined || !areZeros ? this.writeDurable(buffers, position) : refused();
    },
  });
  return full;
}

test('a disk that fails while space is made stops the log at once, with nothing on its way, and writes no more', async () => {
  const disk = new MemoryDisk();
  const full = fullDisk(disk);
  const node = await openTestNode({ disk: full.disk, limits });
  const log = node.log.log(testLogId(1));
  await append(log);
  await turn();
  full.code = 'EIO';
  // Uses up the zeros, so that more are asked for behind a group that is durable.
  let appended = 1;
  while (node.halts.length === 0 && appended < 50) {
    log.append(testBatch({ base: log.endOffset, valueBytes: 1000 }), testSpan(log.endOffset, log.endOffset + 1));
    appended += 1;
    await turn();
  }
  expect(appended).toBeLessThan(50);
  // The group that was done in that moment is not told any more.
  expect(log.durableOffset).toBe(appended - 1);
  expect(node.halts).toHaveLength(1);
  expect(isSluiceError(node.halts[0]) && node.halts[0].code).toBe('STORAGE_FAILED');
  const operations = disk.operations() - disk.operations('close');
  expect(() => log.append(testBatch({ base: appended }), testSpan(appended, appended + 1))).toThrow('stops');
  await node.close();
  expect(disk.operations() - disk.operations('close')).toBe(operations);
  expect(node.halts).toHaveLength(1);
});

test('J2, J4: a footer that a killed process left is made durable, and the file ends with it', async () => {
  // The header is one, the footer the other.
  let writes = 0;
  const disk = new MemoryDisk({
    // The sync of the footer never comes back.
    faults: ({ kind, path: at }) => {
      if (kind === 'write' && at === path) writes += 1;
      return writes === 2 && kind === 'sync' ? 'hang' : 'run';
    },
  });
  const own = { spaceAheadBytes: 64 * kib, zerosAheadBytes: 0, journalBytesMax: 40 * kib };
  let node = await openTestNode({ disk, limits: own });
  const log = node.log.log(testLogId(1));
  while (writes < 2) {
    log.append(testBatch({ base: log.endOffset, valueBytes: 1000 }), testSpan(log.endOffset, log.endOffset + 1));
    await turn();
  }
  const appended = log.durableOffset;
  disk.killProcess();
  writes = 3;
  node = await openTestNode({ disk, limits: own });
  expect(node.log.stats.journalFiles).toBe(2);
  const bytes = disk.durableBytes(path);
  expect(bytes.subarray(-4096).some((byte) => byte !== 0)).toBe(true);
  const footer = readFrameHeader(bytes.subarray(-4096), { fileId: 1, position: bytes.length - 4096 });
  expect(footer?.header.kind).toBe(FrameKind.footer);
  expect(node.log.log(testLogId(1)).endOffset).toBe(appended);
  await node.close();
});
