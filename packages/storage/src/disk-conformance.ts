/** What every `Disk` does. Run by each implementation: `diskConformance('NodeDisk', makeDisk)`. */
import type { Disk } from '@sluice/base';
import { DiskError, isSluiceError } from '@sluice/base';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';

export interface DiskUnderTest {
  readonly disk: Disk;
  /** An empty directory that exists. */
  readonly directory: string;
  close(): Promise<void>;
}

export function diskConformance(name: string, makeDisk: () => Promise<DiskUnderTest>): void {
  describe(`${name} is a Disk`, () => {
    let under: DiskUnderTest;
    beforeEach(async () => {
      under = await makeDisk();
    });
    afterEach(async () => {
      await under.close();
    });
    const subject = (): DiskUnderTest => under;
    fileRules(subject);
    nameRules(subject);
    spaceRules(subject);
    lockRules(subject);
  });
}

const bytesOf = (length: number, first: number): Uint8Array =>
  Uint8Array.from({ length }, (_, at) => (first + at) % 251);

async function codeOf(promise: Promise<unknown>): Promise<string | undefined> {
  try {
    await promise;
    return undefined;
  } catch (error) {
    if (error instanceof DiskError || isSluiceError(error)) return error.code;
    throw error;
  }
}

function fileRules(subject: () => DiskUnderTest): void {
  test('a vectored write lands in order, also with more buffers than one system call takes', async () => {
    const { disk, directory } = subject();
    const file = await disk.open(`${directory}/f`, 'create');
    const buffers = Array.from({ length: 3000 }, (_, at) => bytesOf(1 + (at % 7), at));
    buffers.splice(10, 0, new Uint8Array(0));
    const whole = Uint8Array.from(buffers.flatMap((buffer) => [...buffer]));
    await file.write(buffers, 5);
    await file.sync();
    expect(await file.size()).toBe(whole.length + 5);
    const target = new Uint8Array(whole.length);
    expect(await file.read(target, 5)).toBe(whole.length);
    expect(target).toEqual(whole);
    await file.close();
  });

  test('a durable write lands as any other, between what was written before and after', async () => {
    const { disk, directory } = subject();
    const file = await disk.open(`${directory}/f`, 'create');
    await file.write([bytesOf(100, 1)], 0);
    await file.writeDurable([bytesOf(20, 50), new Uint8Array(0), bytesOf(10, 90)], 40);
    await file.write([bytesOf(5, 7)], 68);
    await file.writeDurable([bytesOf(8, 3)], 200);
    await file.writeDurable([], 300);
    const target = new Uint8Array(400);
    expect(await file.read(target, 0)).toBe(208);
    const expected = new Uint8Array(400);
    for (const [bytes, position] of [
      [bytesOf(100, 1), 0],
      [bytesOf(20, 50), 40],
      [bytesOf(10, 90), 60],
      [bytesOf(5, 7), 68],
      [bytesOf(8, 3), 200],
    ] as const) {
      expected.set(bytes, position);
    }
    expect(target).toEqual(expected);
    await file.close();
    expect(await codeOf(file.writeDurable([bytesOf(1, 1)], 0))).toBe('EBADF');
  });

  test('a file is made longer by truncate, with zeros, which durable writes go into', async () => {
    const { disk, directory } = subject();
    const file = await disk.open(`${directory}/f`, 'create');
    await file.writeDurable([bytesOf(10, 1)], 0);
    await file.truncate(300_000);
    expect(await file.size()).toBe(300_000);
    await file.writeDurable([bytesOf(10, 5)], 200_000);
    expect(await file.size()).toBe(300_000);
    const target = new Uint8Array(300_001).fill(9);
    expect(await file.read(target, 0)).toBe(300_000);
    const expected = new Uint8Array(300_000);
    expected.set(bytesOf(10, 1));
    expected.set(bytesOf(10, 5), 200_000);
    expect(Buffer.compare(target.subarray(0, 300_000), expected)).toBe(0);
    await file.truncate(200_005);
    expect(await file.size()).toBe(200_005);
    await file.close();
  });

  test('a read past the end is short, and a gap reads as zeros', async () => {
    const { disk, directory } = subject();
    const file = await disk.open(`${directory}/f`, 'create');
    await file.write([bytesOf(10, 1)], 100_000);
    const target = new Uint8Array(50).fill(9);
    expect(await file.read(target, 99_990)).toBe(20);
    expect([...target.subarray(0, 10)]).toEqual([...new Uint8Array(10)]);
    expect([...target.subarray(10, 20)]).toEqual([...bytesOf(10, 1)]);
    expect(await file.read(target, 200_000)).toBe(0);
    await file.close();
  });

  test('truncate cuts, and what is written after it starts from zeros', async () => {
    const { disk, directory } = subject();
    const file = await disk.open(`${directory}/f`, 'create');
    await file.write([bytesOf(100, 1)], 0);
    await file.truncate(40);
    expect(await file.size()).toBe(40);
    await file.write([bytesOf(10, 7)], 60);
    const target = new Uint8Array(70);
    expect(await file.read(target, 0)).toBe(70);
    expect([...target.subarray(0, 40)]).toEqual([...bytesOf(40, 1)]);
    expect([...target.subarray(40, 60)]).toEqual([...new Uint8Array(20)]);
    await file.close();
  });

  test('create fails when the file exists, existing when it does not', async () => {
    const { disk, directory } = subject();
    expect(await codeOf(disk.open(`${directory}/f`, 'existing'))).toBe('ENOENT');
    await (await disk.open(`${directory}/f`, 'create')).close();
    expect(await codeOf(disk.open(`${directory}/f`, 'create'))).toBe('EEXIST');
    expect(await codeOf(disk.open(`${directory}/no/f`, 'create'))).toBe('ENOENT');
  });
}

function nameRules(subject: () => DiskUnderTest): void {
  test('names are listed sorted; an absent directory is empty', async () => {
    const { disk, directory } = subject();
    for (const name of ['b', 'a', 'c']) await (await disk.open(`${directory}/${name}`, 'create')).close();
    expect(await disk.list(directory)).toEqual(['a', 'b', 'c']);
    expect(await disk.list(`${directory}/none`)).toEqual([]);
  });

  test('rename replaces, remove removes, and both refuse what is absent', async () => {
    const { disk, directory } = subject();
    for (const [name, first] of [
      ['a', 1],
      ['b', 2],
    ] as const) {
      const file = await disk.open(`${directory}/${name}`, 'create');
      await file.write([bytesOf(4, first)], 0);
      await file.sync();
      await file.close();
    }
    await disk.rename(`${directory}/a`, `${directory}/b`);
    await disk.syncDirectory(directory);
    const file = await disk.open(`${directory}/b`, 'existing');
    const target = new Uint8Array(4);
    await file.read(target, 0);
    expect(target).toEqual(bytesOf(4, 1));
    await file.close();
    expect(await disk.exists(`${directory}/a`)).toBe(false);
    await disk.remove(`${directory}/b`);
    expect(await disk.exists(`${directory}/b`)).toBe(false);
    expect(await codeOf(disk.remove(`${directory}/b`))).toBe('ENOENT');
    expect(await codeOf(disk.rename(`${directory}/a`, `${directory}/c`))).toBe('ENOENT');
  });

  test('directories are made with their parents, twice without complaint', async () => {
    const { disk, directory } = subject();
    await disk.makeDirectory(`${directory}/x/y/z`);
    await disk.makeDirectory(`${directory}/x/y/z`);
    expect(await disk.exists(`${directory}/x/y`)).toBe(true);
    await (await disk.open(`${directory}/x/y/z/f`, 'create')).close();
    await disk.syncDirectory(`${directory}/x/y/z`);
  });
}

function spaceRules(subject: () => DiskUnderTest): void {
  test('the disk says how much of it is free', async () => {
    const { disk, directory } = subject();
    const { freeBytes, totalBytes } = await disk.space(directory);
    expect([freeBytes > 0, freeBytes <= totalBytes, Number.isSafeInteger(totalBytes)]).toEqual([true, true, true]);
  });
}

function lockRules(subject: () => DiskUnderTest): void {
  test('a lock excludes until it is released', async () => {
    const { disk, directory } = subject();
    const lock = await disk.lock(`${directory}/lock`);
    expect(await codeOf(disk.lock(`${directory}/lock`))).toBe('DIRECTORY_LOCKED');
    await lock.release();
    const again = await disk.lock(`${directory}/lock`);
    await again.release();
  });

  test('of many that ask at once, one gets the lock', async () => {
    const { disk, directory } = subject();
    for (let round = 0; round < 3; round += 1) {
      const asked = await Promise.allSettled(Array.from({ length: 8 }, () => disk.lock(`${directory}/lock`)));
      const held = asked.filter((result) => result.status === 'fulfilled');
      expect(held).toHaveLength(1);
      await held[0]?.value.release();
    }
  });
}
