/**
 * S12 while files are dropped: topics are trimmed, deleted and made again, Raft entries written and cut, the node opened
 * again, over files so small that most of them die; see `crash-points.testing.ts`.
 */
import type { Disk } from '@sluice/base';
import { SeededRandom } from '@sluice/base';
import { expect, test } from 'vitest';
import {
  crashProblems,
  failureProblems,
  History,
  killProblems,
  RaftModel,
  type Workload,
} from './crash-points.testing.ts';
import { journalFileId } from './journal-file.ts';
import { LogModel } from './log-model.ts';
import { MemoryDisk } from './memory-disk.ts';
import { openTestNode } from './test-node-log.ts';

const steps = 40;
const restarts: ReadonlySet<number> = new Set([13, 27]);

const workload: Workload = {
  limits: {
    journalBytesMax: 20 * 1024,
    groupBytesMax: 8 * 1024,
    tailBytesMax: 16 * 1024,
    spaceAheadBytes: 0,
    zerosAheadBytes: 0,
  },
  logNumbers: [0, 1, 2, 3, 4],
  recoveryOperations: 70,
  async run(disk: Disk, seed: number, history: History): Promise<void> {
    const random = new SeededRandom(seed);
    const logs = new LogModel();
    const raft = new RaftModel();
    const open = (): ReturnType<typeof openTestNode> => openTestNode({ disk, limits: this.limits });
    let node = await open();
    node.log.raft.load();
    const note = (): void => history.add(logs.signature(), raft.signature());
    for (let step = 1; step <= steps; step += 1) {
      const draw = random.below(12);
      if (draw < 3) raft.step(node.log, random);
      else if (draw < 6) logs.trimEach(node.log, random, note);
      else if (draw < 7) logs.deleteOne(node.log, random);
      else logs.step(node.log, random);
      note();
      const reported = history.reported(node.log);
      if (random.below(2) === 0) await reported;
      if (!restarts.has(step)) continue;
      await node.close();
      // What waited for a disk that failed is lost, and was reported to nobody.
      if (node.log.failed !== undefined) return;
      node = await open();
    }
    await node.close();
  },
};

test('the workload drops most of its files', async () => {
  for (const seed of [1, 2, 3]) {
    const disk = new MemoryDisk();
    await workload.run(disk, seed, new History());
    const names = await disk.list('/node');
    const ids = names.map(journalFileId).filter((id) => id !== undefined);
    expect(Math.min(...ids)).toBeGreaterThan(5);
    expect(names.filter((name) => name.startsWith('checkpoint-'))).toHaveLength(1);
  }
});

test('a crash at any disk operation of drops loses nothing durable, and nothing dead comes back', async () => {
  const { found, points } = await crashProblems(workload, [1, 2]);
  expect(found.slice(0, 3)).toEqual([]);
  expect(points).toBeGreaterThan(1000);
}, 240_000);

test('what is found after a kill while files are dropped survives the power cut that follows', async () => {
  const { found, points } = await killProblems(workload, 3);
  expect(found.slice(0, 3)).toEqual([]);
  expect(points).toBeGreaterThan(150);
}, 240_000);

for (const code of ['EIO', 'ENOSPC']) {
  test(`${code} at any disk operation of drops loses nothing that was reported durable`, async () => {
    const { found, points } = await failureProblems(workload, 2, code);
    expect(found.slice(0, 3)).toEqual([]);
    expect(points).toBeGreaterThan(250);
  }, 240_000);
}
