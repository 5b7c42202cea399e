/** Each fault that a plan may ask for, and what is there afterwards: seen by a reader, and on stable media. */
import { DiskError, type DiskFile } from '@sluice/base';
import { expect, test } from 'vitest';
import { type DiskFault, type DiskOperationKind, faultsAt, type PlannedFault } from './disk-faults.ts';
import { MemoryDisk } from './memory-disk.ts';

const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values);

/** A file of four durable bytes, 1 1 1 1, and another, 7 7 7 7. */
async function prepared(...faults: readonly PlannedFault[]): Promise<{ disk: MemoryDisk; file: DiskFile }> {
  const disk = new MemoryDisk({ faults: faultsAt(faults) });
  await disk.makeDirectory('/d');
  disk.plant('/d/f', bytes(1, 1, 1, 1));
  disk.plant('/d/g', bytes(7, 7, 7, 7));
  return { disk, file: await disk.open('/d/f', 'existing') };
}

async function read(file: DiskFile): Promise<Uint8Array> {
  const target = new Uint8Array(16);
  return target.subarray(0, await file.read(target, 0));
}

async function codeOf(work: Promise<unknown>): Promise<string | undefined> {
  try {
    await work;
    return undefined;
  } catch (error) {
    if (error instanceof DiskError) return error.code;
    throw error;
  }
}

const first = (kind: DiskOperationKind, fault: DiskFault): PlannedFault => ({ kind, nth: 0, fault });

test('the nth operation that matches fails, with its code, and no other', async () => {
  for (const code of ['EIO', 'ENOSPC']) {
    const { disk, file } = await prepared({ kind: 'write', path: '/f', nth: 1, fault: { fail: code } });
    const other = await disk.open('/d/g', 'existing');
    const codes: (string | undefined)[] = [];
    for (const of of [other, file, other, file, file]) codes.push(await codeOf(of.write([bytes(2)], 0)));
    expect(codes).toEqual([undefined, undefined, undefined, code, undefined]);
  }
});

test('any kind of operation can fail, and without an effect nothing happened', async () => {
  const calls: [DiskOperationKind, (disk: MemoryDisk, file: DiskFile) => Promise<unknown>][] = [
    ['open', (disk) => disk.open('/d/new', 'create')],
    ['makeDirectory', (disk) => disk.makeDirectory('/e')],
    ['list', (disk) => disk.list('/d')],
    ['exists', (disk) => disk.exists('/d/f')],
    ['rename', (disk) => disk.rename('/d/f', '/d/h')],
    ['remove', (disk) => disk.remove('/d/f')],
    ['syncDirectory', (disk) => disk.syncDirectory('/d')],
    ['lock', (disk) => disk.lock('/d/lock')],
    ['read', (_, file) => read(file)],
    ['write', (_, file) => file.write([bytes(2, 2)], 0)],
    ['writeDurable', (_, file) => file.writeDurable([bytes(2, 2)], 0)],
    ['sync', (_, file) => file.sync()],
    ['truncate', (_, file) => file.truncate(1)],
    ['size', (_, file) => file.size()],
    ['close', (_, file) => file.close()],
  ];
  for (const [kind, call] of calls) {
    // The first two of these kinds are for what is prepared.
    const nth = kind === 'open' || kind === 'makeDirectory' ? 1 : 0;
    const { disk, file } = await prepared({ kind, nth, fault: { fail: 'EIO' } });
    expect([kind, await codeOf(call(disk, file))]).toEqual([kind, 'EIO']);
    expect([kind, await disk.list('/d')]).toEqual([kind, ['f', 'g']]);
    expect([kind, await disk.exists('/e')]).toEqual([kind, false]);
    expect([kind, await read(file)]).toEqual([kind, bytes(1, 1, 1, 1)]);
    await (await disk.lock('/d/lock')).release();
  }
});

test('what fails may have taken effect, in part or as a whole', async () => {
  const contents = async (kind: DiskOperationKind, effect: 'none' | 'part' | 'whole' | 'cached') => {
    const { disk, file } = await prepared(first(kind, { fail: 'EIO', effect }));
    if (kind === 'sync') {
      await file.write([bytes(2)], 0);
      await file.write([bytes(3)], 1);
    }
    const done = kind === 'write' ? file.write([bytes(2, 3)], 0) : kind === 'sync' ? file.sync() : undefined;
    expect(await codeOf(done ?? file.writeDurable([bytes(2, 3)], 0))).toBe('EIO');
    const seen = await read(file);
    return [[...seen.subarray(0, 2)], [...disk.durableBytes('/d/f').subarray(0, 2)]];
  };
  const [old, half, whole] = [
    [1, 1],
    [2, 1],
    [2, 3],
  ];
  expect(await contents('write', 'none')).toEqual([old, old]);
  expect(await contents('write', 'part')).toEqual([half, old]);
  expect(await contents('write', 'whole')).toEqual([whole, old]);
  expect(await contents('writeDurable', 'none')).toEqual([old, old]);
  expect(await contents('writeDurable', 'part')).toEqual([half, old]);
  expect(await contents('writeDurable', 'whole')).toEqual([whole, whole]);
  expect(await contents('sync', 'none')).toEqual([old, old]);
  expect(await contents('sync', 'part')).toEqual([half, half]);
  expect(await contents('sync', 'whole')).toEqual([whole, whole]);
  for (const kind of ['writeDurable', 'sync'] as const) expect(await contents(kind, 'cached')).toEqual([whole, old]);
  const { disk } = await prepared(first('rename', { fail: 'EIO', effect: 'whole' }));
  expect(await codeOf(disk.rename('/d/f', '/d/h'))).toBe('EIO');
  expect(await disk.list('/d')).toEqual(['g', 'h']);
});

test('what a failed sync left in the page cache is read until the power goes, and no later sync covers it', async () => {
  for (const kind of ['sync', 'writeDurable'] as const) {
    const { disk, file } = await prepared(first(kind, { fail: 'EIO', effect: 'cached' }));
    const written = kind === 'sync' ? file.write([bytes(2, 2, 2)], 0).then(() => file.sync()) : undefined;
    expect(await codeOf(written ?? file.writeDurable([bytes(2, 2, 2)], 0))).toBe('EIO');
    disk.killProcess();
    const again = await disk.open('/d/f', 'existing');
    await again.sync();
    expect(await read(again)).toEqual(bytes(2, 2, 2, 1));
    expect(disk.unsyncedChanges).toBe(1);
    // What is written over it is a change like any other, and so is a new end.
    await again.write([bytes(3)], 1);
    await again.truncate(3);
    expect(await read(again)).toEqual(bytes(2, 3, 2));
    await again.sync();
    expect(await read(again)).toEqual(bytes(2, 3, 2));
    disk.crash({ keep: 'everything' });
    expect(disk.durableBytes('/d/f')).toEqual(bytes(1, 3, 1));
  }
});

test('what was written meanwhile over pages that stay cached lies over them, and is synced by itself', async () => {
  const { disk, file } = await prepared(first('sync', { fail: 'EIO', effect: 'cached' }));
  await file.write([bytes(2, 2, 2, 2, 2)], 0);
  const failing = codeOf(file.sync());
  const later = file.write([bytes(4, 4)], 1);
  expect([await failing, await later]).toEqual(['EIO', undefined]);
  expect(await read(file)).toEqual(bytes(2, 4, 4, 2, 2));
  await file.writeDurable([bytes(5)], 3);
  await file.sync();
  expect(await read(file)).toEqual(bytes(2, 4, 4, 5, 2));
  disk.crash({ keep: 'everything' });
  expect(disk.durableBytes('/d/f')).toEqual(bytes(1, 4, 4, 5));
});

test('a lost write is said to be done, and is nowhere', async () => {
  for (const kind of ['write', 'writeDurable'] as const) {
    const { disk, file } = await prepared(first(kind, 'lost'));
    await file[kind]([bytes(2, 2)], 0);
    await file.sync();
    expect(await read(file)).toEqual(bytes(1, 1, 1, 1));
    await file[kind]([bytes(2, 2)], 0);
    await file.sync();
    expect(disk.durableBytes('/d/f')).toEqual(bytes(2, 2, 1, 1));
  }
});

test('a misdirected write lands at another place or in another file, durable as it should have been', async () => {
  const { disk, file } = await prepared(
    { kind: 'writeDurable', nth: 0, fault: { misdirect: { position: 2 } } },
    { kind: 'writeDurable', nth: 1, fault: { misdirect: { path: '/d/g', position: 1 } } },
  );
  await file.writeDurable([bytes(2, 2)], 0);
  await file.writeDurable([bytes(3, 3)], 0);
  disk.crash({ keep: 'nothing' });
  expect([disk.durableBytes('/d/f'), disk.durableBytes('/d/g')]).toEqual([bytes(1, 1, 2, 2), bytes(7, 3, 3, 7)]);
});

test('a bit flips on its way to the disk and stays, or on its way back and does not', async () => {
  const { disk, file } = await prepared(first('writeDurable', { flipBit: 9 }), first('read', { flipBit: 0 }));
  await file.writeDurable([bytes(2, 2)], 0);
  expect(disk.durableBytes('/d/f')).toEqual(bytes(2, 0, 1, 1));
  expect(await read(file)).toEqual(bytes(3, 0, 1, 1));
  expect(await read(file)).toEqual(bytes(2, 0, 1, 1));
});

test('a stale read shows what was there before the last write that became durable', async () => {
  const { disk, file } = await prepared({ kind: 'read', nth: 1, fault: 'stale' });
  await file.writeDurable([bytes(2, 2)], 1);
  await file.writeDurable([bytes(3, 3)], 2);
  expect(await read(file)).toEqual(bytes(1, 2, 3, 3));
  expect(await read(file)).toEqual(bytes(1, 2, 2, 1));
  expect(disk.durableBytes('/d/f')).toEqual(bytes(1, 2, 3, 3));
});

test('a fault that the operation cannot have stops the test that asked for it', async () => {
  const { file } = await prepared(
    first('sync', 'stale'),
    first('truncate', { flipBit: 1 }),
    first('read', 'lost'),
    first('size', { fail: 'EIO', effect: 'cached' }),
  );
  expect(() => file.sync()).toThrow('cannot have this fault');
  expect(() => file.truncate(0)).toThrow('cannot have this fault');
  expect(() => file.read(bytes(0), 0)).toThrow('cannot have this fault');
  expect(() => file.size()).toThrow('cannot have this fault');
});
