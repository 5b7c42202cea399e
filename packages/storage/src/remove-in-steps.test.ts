import { expect, test } from 'vitest';
import { MemoryDisk } from './memory-disk.ts';
import { removeInSteps } from './remove-in-steps.ts';
import { TestClock } from './test-clock.ts';

const path = '/data/journal';

async function diskWith(bytes: number): Promise<MemoryDisk> {
  const disk = new MemoryDisk();
  await disk.makeDirectory('/data');
  const file = await disk.open(path, 'create');
  await file.write([new Uint8Array(bytes)], 0);
  await file.close();
  return disk;
}

const sizeOf = async (disk: MemoryDisk): Promise<number | undefined> => {
  if (!(await disk.exists(path))) return undefined;
  const file = await disk.open(path, 'existing');
  const size = await file.size();
  await file.close();
  return size;
};

/** Lets what waits for no clock go on. */
const settled = async (): Promise<void> => {
  for (let turn = 0; turn < 50; turn += 1) await Promise.resolve();
};

test('a large file goes a step at a time, with a pause behind each', async () => {
  const disk = await diskWith(25);
  const clock = new TestClock();
  let gone = false;
  const removal = removeInSteps(disk, path, { clock, isHurried: () => false, stepBytes: 10 }).then(() => {
    gone = true;
  });
  const sizes: (number | undefined)[] = [];
  while (!gone) {
    await settled();
    sizes.push(await sizeOf(disk));
    clock.advance(10);
    await settled();
  }
  await removal;
  expect(sizes).toEqual([15, 5]);
  expect(await disk.exists(path)).toBe(false);
});

test('one of a step or less goes at once, also in a hurry', async () => {
  const disk = await diskWith(10);
  await removeInSteps(disk, path, { clock: new TestClock(), isHurried: () => true, stepBytes: 10 });
  expect(await disk.exists(path)).toBe(false);
});

test('in a hurry a large one is left', async () => {
  const disk = await diskWith(25);
  const clock = new TestClock();
  let hurried = false;
  const removal = removeInSteps(disk, path, { clock, isHurried: () => hurried, stepBytes: 10 });
  await settled();
  hurried = true;
  clock.advance(10);
  await removal;
  expect(await sizeOf(disk)).toBe(15);
});
