/** What holds while one journal file follows another (J1, J2). */
import { expect, test } from 'vitest';
import { MemoryDisk } from './memory-disk.ts';
import { testBatch, testSpan } from './test-batches.ts';
import { contents, durable, openTestNode, testLogId } from './test-node-log.ts';

const limits = { journalBytesMax: 24_000, tailBytesMax: 0, spaceAheadBytes: 0 };
const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

test('what the old file holds is read while its footer is on the way, and no manifest names the next (J2)', async () => {
  let isStuck = false;
  let manifests = 0;
  const disk = new MemoryDisk({
    faults: ({ kind, path }) => {
      if (kind === 'rename' && path.includes('manifest')) manifests += 1;
      // Of the old file; groups are durable writes.
      return isStuck && kind === 'sync' && path.includes('journal-') && !path.endsWith('2.log') ? 'hang' : 'run';
    },
  });
  const node = await openTestNode({ disk, limits });
  const log = node.log.log(testLogId(1));
  const append = (): void => {
    log.append(testBatch({ base: log.endOffset, valueBytes: 6000 }), testSpan(log.endOffset, log.endOffset + 1));
  };
  append();
  await durable(log);
  append();
  await durable(log);
  isStuck = true;
  manifests = 0;
  append();
  for (let turns = 0; turns < 20; turns += 1) await turn();
  expect((await disk.list('/node')).filter((name) => name.startsWith('journal-'))).toHaveLength(2);
  expect(log.durableOffset).toBe(2);
  expect(manifests).toBe(0);
  expect((await contents(log)).length).toBeGreaterThan(18_000);
});
