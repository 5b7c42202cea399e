import { brokerEpoch, SeededRandom } from '@sluice/base';
import { expect, test } from 'vitest';
import { leaveCleanStop, takeCleanStop } from './clean-stop.ts';
import { DataDirectory } from './data-directory.ts';
import { MemoryDisk } from './memory-disk.ts';

const epoch = brokerEpoch(7);
const path = '/node/clean';

async function overwrite(disk: MemoryDisk, bytes: Uint8Array): Promise<void> {
  const file = await disk.open(path, 'existing');
  await file.write([bytes], 0);
  await file.sync();
  await file.close();
}

test('the mark counts once, for the life that left it', async () => {
  const disk = new MemoryDisk();
  const directory = await DataDirectory.open(disk, '/node');
  expect(await takeCleanStop(directory, epoch)).toBe(false);
  await leaveCleanStop(directory, epoch);
  expect(await takeCleanStop(directory, epoch)).toBe(true);
  expect(await takeCleanStop(directory, epoch)).toBe(false);
  await leaveCleanStop(directory, epoch);
  expect(await takeCleanStop(directory, brokerEpoch(8))).toBe(false);
  expect(await disk.exists(path)).toBe(false);
});

test('a damaged mark proves nothing, and is gone', async () => {
  const disk = new MemoryDisk();
  const directory = await DataDirectory.open(disk, '/node');
  await leaveCleanStop(directory, epoch);
  await overwrite(disk, new Uint8Array(8));
  expect(await takeCleanStop(directory, epoch)).toBe(false);
  expect(await disk.exists(path)).toBe(false);
});

test('S4: a power cut brings no mark back that was taken, and loses none that was left', async () => {
  for (const keep of ['nothing', 'everything', new SeededRandom(1)] as const) {
    const disk = new MemoryDisk();
    await leaveCleanStop(await DataDirectory.open(disk, '/node'), epoch);
    disk.crash({ keep });
    expect(await takeCleanStop(await DataDirectory.open(disk, '/node'), epoch)).toBe(true);
    disk.crash({ keep });
    expect(await takeCleanStop(await DataDirectory.open(disk, '/node'), epoch)).toBe(false);
  }
});
