/**
 * That the crash points see what they are for. All of them are run by `npm run -s crash-points`, of which
 * `scripts/crash-points.test.ts` runs a part.
 */
import type { Disk } from '@sluice/base';
import { expect, test } from 'vitest';
import { History, RaftModel, Scene } from './crash-history.testing.ts';
import { pointProblems } from './points.testing.ts';
import { deleteAndRecreate, drops, rewrites, truncateThenDrop, workloads, writes } from './crash-workloads.testing.ts';
import { forgettingNames, forgettingSyncs } from './forgetful-disk.testing.ts';
import { journalFileId } from './journal-file.ts';
import { LogModel } from './log-model.ts';
import { MemoryDisk } from './memory-disk.ts';
import { at, testBatch, testSpan } from './test-batches.ts';
import { durable, openTestNode, testLogId } from './test-node-log.ts';

const forgetful: readonly [string, (disk: Disk) => Disk][] = [
  ['files', forgettingSyncs],
  ['directories', forgettingNames],
];

test.each(forgetful)(
  'without the sync of %s the enumeration finds losses',
  async (_, wrap) => {
    expect((await pointProblems(writes, 1, { wrap })).found.length).toBeGreaterThan(10);
  },
  60_000,
);

test.each([drops, truncateThenDrop, deleteAndRecreate])(
  'the workload $name drops most of its files',
  async (workload) => {
    for (const seed of [1, 2, 3]) {
      const disk = new MemoryDisk();
      await workload.run(new Scene(disk, workload, seed));
      const names = await disk.list('/node');
      const ids = names.map(journalFileId).filter((id) => id !== undefined);
      expect(Math.min(...ids)).toBeGreaterThan(2);
      expect(names.filter((name) => name.startsWith('checkpoint-'))).toHaveLength(1);
    }
  },
);

test('the workload rewrites makes sets, and rewrites sets', async () => {
  let rewritten = 0;
  for (const seed of [1, 2, 3]) {
    const made: string[] = [];
    const disk = new MemoryDisk({
      faults: ({ kind, path }) => {
        if (kind === 'open' && path.includes('/sorted-')) made.push(path);
        return 'run';
      },
    });
    await rewrites.run(new Scene(disk, rewrites, seed));
    expect(new Set(made).size).toBeGreaterThan(3);
    // Opened when it was made, when the node was opened again, and when it was read for another set.
    rewritten += new Set(made.filter((path, at) => made.indexOf(path) !== at)).size;
  }
  expect(rewritten).toBeGreaterThan(3);
});

test('every workload cuts logs, and says what died of them', async () => {
  for (const workload of workloads) {
    const scene = new Scene(new MemoryDisk(), workload, 1);
    await workload.run(scene);
    expect([workload.name, scene.history.deadBatches > 10]).toEqual([workload.name, true]);
  }
});

test('P7: a batch that was durably truncated and can be read again is found', async () => {
  const node = await openTestNode({ disk: new MemoryDisk() });
  const log = node.log.log(testLogId(0));
  const history = new History();
  const logs = new LogModel();
  const dead = testBatch({ base: 0, records: 2 });
  logs.declareDead(0, dead);
  history.add(logs, new RaftModel());
  log.append(dead.slice(), testSpan(0, 2));
  await durable(log);
  expect(await history.readableDead(node.log, [0])).toBeUndefined();
  await history.reported(node.log);
  expect(await history.readableDead(node.log, [0])).toBe('log 0: what was at offset 0 before state 1 was read again');
  log.truncate(at(0));
  log.append(testBatch({ base: 0, records: 2, mark: 1 }), testSpan(0, 2));
  expect(await history.readableDead(node.log, [0])).toBeUndefined();
  await node.close();
});
