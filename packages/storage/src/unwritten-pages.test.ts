/**
 * A failed sync leaves pages that are clean and were never written (ADR 0039). The process stops; the next one reads them,
 * and no sync of its own makes them durable.
 */
import { DiskError, type DiskFile } from '@sluice/base';
import { expect, test } from 'vitest';
import { type DiskOperation, faultsAt } from './disk-faults.ts';
import { MemoryDisk } from './memory-disk.ts';
import { testBatch, testSpan } from './test-batches.ts';
import { wrappedDisk } from './test-disk.ts';
import { durable, openTestNode, testLogId, type TestNode } from './test-node-log.ts';

const cached = { fail: 'EIO', effect: 'cached' } as const;

function append(node: TestNode, base: number): void {
  node.log.log(testLogId(0)).append(testBatch({ base, records: 1 }), testSpan(base, base + 1));
}

const codeOf = (error: unknown): string => (error instanceof DiskError ? error.code : String(error));

const endOf = (node: TestNode): number => node.log.log(testLogId(0)).endOffset;

async function stopped(node: TestNode): Promise<void> {
  while (node.halts.length === 0) await new Promise((resolve) => void setImmediate(resolve));
}

test('what a process finds after a failed sync is there after a power cut, also when its own sync fails', async () => {
  for (const syncFails of [false, true]) {
    let recovering = false;
    const group = { kind: 'writeDurable', path: '/journal-', nth: 1, fault: cached } as const;
    const plan = faultsAt([group]);
    const again = faultsAt([{ kind: 'sync', path: '/journal-', nth: 0, fault: cached }]);
    const faults = (operation: DiskOperation) => (recovering ? again(operation) : plan(operation));
    const disk = new MemoryDisk({ faults });
    const first = await openTestNode({ disk });
    append(first, 0);
    await durable(first.log.log(testLogId(0)));
    append(first, 1);
    await stopped(first);
    disk.killProcess();
    recovering = syncFails;
    const opening = openTestNode({ disk }).then(() => 'opened', codeOf);
    expect(await opening).toBe(syncFails ? 'EIO' : 'opened');
    disk.killProcess();
    recovering = false;
    const next = await openTestNode({ disk });
    expect([endOf(next), next.log.lossy]).toEqual([2, []]);
    // Appended behind it, and acked.
    append(next, 2);
    await durable(next.log.log(testLogId(0)));
    disk.crash({ keep: 'nothing' });
    const last = await openTestNode({ disk });
    expect([endOf(last), last.log.lossy, last.log.damaged]).toEqual([3, [], false]);
    await last.close();
  }
});

test('pages that go between two looks at them stop the start, and the next one does not find the group', async () => {
  const group = { kind: 'writeDurable', path: '/journal-', nth: 1, fault: cached } as const;
  const disk = new MemoryDisk({ faults: faultsAt([group]) });
  const first = await openTestNode({ disk });
  append(first, 0);
  await durable(first.log.log(testLogId(0)));
  append(first, 1);
  await stopped(first);
  disk.killProcess();
  // As though the second look had found what the disk holds.
  const gone = wrappedDisk(disk, {
    write(this: DiskFile, buffers, position) {
      const zeros = buffers.map(({ length }) => new Uint8Array(length));
      return this.writeDurable(zeros, position);
    },
  });
  await expect(openTestNode({ disk: gone })).rejects.toMatchObject({ code: 'EIO' });
  disk.killProcess();
  const last = await openTestNode({ disk });
  expect([endOf(last), last.log.lossy, last.log.damaged]).toEqual([1, [], false]);
  await last.close();
});
