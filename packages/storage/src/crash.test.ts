/** S12 over everything that a node log does; see `crash-points.testing.ts`. */
import type { Disk, DiskFile } from '@sluice/base';
import { SeededRandom } from '@sluice/base';
import { expect, test } from 'vitest';
import { crashProblems, type History, killProblems, RaftModel, type Workload } from './crash-points.testing.ts';
import { LogModel } from './log-model.ts';
import { wrappedDisk } from './test-disk.ts';
import { openTestNode } from './test-node-log.ts';

const steps = 36;

const workload: Workload = {
  limits: {
    journalBytesMax: 40 * 1024,
    groupBytesMax: 12 * 1024,
    tailBytesMax: 64 * 1024,
    // In small steps, so that crashes meet them often.
    spaceAheadBytes: 24 * 1024,
    zerosAheadBytes: 16 * 1024,
  },
  logNumbers: [0, 1, 2, 3, 4],
  recoveryOperations: 25,
  async run(disk: Disk, seed: number, history: History): Promise<void> {
    const random = new SeededRandom(seed);
    const logs = new LogModel();
    const raft = new RaftModel();
    const node = await openTestNode({ disk, limits: this.limits });
    node.log.raft.load();
    for (let step = 1; step <= steps; step += 1) {
      if (random.below(3) === 0) raft.step(node.log, random);
      else logs.step(node.log, random);
      history.add(logs.signature(), raft.signature());
      const waits = random.below(2) === 0;
      const reported = history.reported(node.log);
      if (waits) await reported;
    }
    await node.close();
  },
};

test('a crash at any disk operation, with any leftover, loses nothing durable and invents nothing', async () => {
  const { found, points } = await crashProblems(workload, [1, 6]);
  expect(found.slice(0, 3)).toEqual([]);
  expect(points).toBeGreaterThan(600);
}, 240_000);

test('what is found after a kill at any disk operation survives the power cut that follows', async () => {
  const { found, points } = await killProblems(workload, 1);
  expect(found.slice(0, 3)).toEqual([]);
  expect(points).toBeGreaterThan(150);
}, 240_000);

test('without the sync of files the same enumeration finds losses', async () => {
  const forgetful = (disk: Disk): Disk =>
    wrappedDisk(disk, {
      sync: () => Promise.resolve(),
      writeDurable(this: DiskFile, buffers, position) {
        return this.write(buffers, position);
      },
    });
  expect((await crashProblems(workload, [1], forgetful)).found.length).toBeGreaterThan(10);
}, 240_000);

test('without the sync of directories the same enumeration finds losses', async () => {
  const forgetful = (disk: Disk): Disk => wrappedDisk(disk, {}, { syncDirectory: () => Promise.resolve() });
  expect((await crashProblems(workload, [1], forgetful)).found.length).toBeGreaterThan(10);
}, 240_000);
