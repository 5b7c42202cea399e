import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { Clock, Disk } from '@sluice/base';
import { InvariantError } from '@sluice/base';
import { expect, test } from 'vitest';
import { rowBytes } from './group.ts';
import { durableGroup, logStoreConformance, type NodeLogUnderTest } from './log-store-conformance.ts';
import type { LogStore } from './log-store.ts';
import { MemoryDisk } from './memory-disk.ts';
import { NodeDisk } from './node-disk.ts';
import type { NodeLogLimits } from './node-log.ts';
import { at, concat, testBatch, testSpan } from './test-batches.ts';
import { TestClock } from './test-clock.ts';
import { contents, durable, openTestNode, testLogId, type TestNode } from './test-node-log.ts';

/** Everything that has a bound meets it: files roll, the tail is evicted, groups are full. */
const tiny: Partial<NodeLogLimits> = { journalBytesMax: 64 * 1024, groupBytesMax: 8 * 1024, tailBytesMax: 64 * 1024 };

const realClock: Clock = {
  monotonicMs: () => performance.now(),
  wallMs: () => Date.now(),
  setTimer: (delayMs, onFire) => {
    const timer = setTimeout(onFire, delayMs);
    return { cancel: () => clearTimeout(timer) };
  },
  defer: (run) => void setImmediate(run),
};

interface Over {
  readonly disk: Disk;
  readonly directory: string;
  readonly limits: Partial<NodeLogLimits>;
  readonly clock: Clock;
}

function over(options: Over, onClose: () => void = () => undefined): NodeLogUnderTest {
  let node: TestNode | undefined;
  let shiftMs = 0;
  const { clock: base } = options;
  const clock: Clock = {
    monotonicMs: () => base.monotonicMs() + shiftMs,
    wallMs: () => base.wallMs() + shiftMs,
    setTimer: (delayMs, onFire) => base.setTimer(delayMs, onFire),
    defer: (run) => base.defer(run),
  };
  return {
    reopen: async () => {
      await node?.close();
      node = await openTestNode({ ...options, clock });
      return node.log;
    },
    passTime: (ms) => {
      shiftMs += ms;
    },
    wallMs: () => clock.wallMs(),
    close: async () => {
      await node?.close();
      onClose();
    },
  };
}

const memory = (limits: Partial<NodeLogLimits>): Over => ({
  disk: new MemoryDisk(),
  directory: '/node',
  limits,
  // Not at the origin: times before must be possible.
  clock: new TestClock(1_700_000_000_000),
});

logStoreConformance('MemoryDisk', async () => over(memory({})));
logStoreConformance('MemoryDisk with tiny limits', async () => over(memory(tiny)));
logStoreConformance('MemoryDisk without a tail', async () => over(memory({ ...tiny, tailBytesMax: 0 })));
logStoreConformance('NodeDisk with tiny limits', async () => {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'sluice-log-'));
  return over({ disk: new NodeDisk(), directory: `${directory}/node`, limits: tiny, clock: realClock }, () =>
    fs.rmSync(directory, { recursive: true, force: true }),
  );
});

test('an append that is not what it says it is stops the node: nothing of it is taken', async () => {
  const node = await openTestNode({ disk: new MemoryDisk() });
  const log = node.log.log(testLogId(1));
  const two = concat([testBatch({ base: 0, records: 2 }), testBatch({ base: 2 })]);
  const gap = concat([testBatch({ base: 0, records: 2 }), testBatch({ base: 3 })]);
  const wrong: readonly [Uint8Array, number, number][] = [
    [two, 1, 3],
    [two, 0, 4],
    [two, 0, 2],
    [gap, 0, 4],
    [testBatch({ base: 1 }), 0, 1],
    [two.subarray(0, two.length - 1), 0, 3],
    [two.subarray(0, 0), 0, 0],
  ];
  for (const [batches, base, end] of wrong) {
    expect(() => log.append(batches, testSpan(base, end))).toThrow(InvariantError);
  }
  expect([log.endOffset, node.log.pendingBytes]).toEqual([0, 0]);
  log.append(two, testSpan(0, 3));
  await durable(log);
  expect(await contents(log)).toEqual(Buffer.from(two));
  await node.close();
});

test('a trim past what is durable makes nothing durable: an earlier group tells no more than is on the disk', async () => {
  const node = await openTestNode({ disk: new MemoryDisk(), limits: { groupBytesMax: 1024 } });
  const log = node.log.log(testLogId(1));
  const append = (from: number, valueBytes: number): void =>
    log.append(testBatch({ base: from, records: 4, valueBytes }), testSpan(from, from + 4));
  append(0, 10);
  await durable(log);
  const told: (readonly [end: number, start: number])[] = [];
  log.restartAt(at(2));
  // Too much for the group that holds the trim.
  append(4, 1000);
  log.restartAt(at(6));
  log.onDurable = (end) => void told.push([end, log.durableStart]);
  await durableGroup(node.log);
  expect(told).toEqual([
    [4, 2],
    [8, 2],
    [8, 6],
  ]);
  await node.close();
});

test('a log begins anew in one group, however full that is: no crash leaves it empty where it was', async () => {
  const batch = testBatch({ base: 0, records: 4, valueBytes: 1000 });
  // It fits beside one row and no more.
  const limits = { groupBytesMax: batch.length + rowBytes };
  const disk = new MemoryDisk();
  const node = await openTestNode({ disk, limits });
  const [log, other] = [1, 2].map((number) => node.log.log(testLogId(number))) as [LogStore, LogStore];
  log.append(batch.slice(), testSpan(0, 4));
  await durable(log);
  other.append(batch.slice(), testSpan(0, 4));
  log.beginAnew(at(3));
  await new Promise<void>((resolve) => {
    other.onDurable = () => {
      disk.holdSyncs();
      resolve();
    };
  });
  disk.crash({ keep: 'nothing' });
  disk.releaseSyncs();
  const after = await openTestNode({ disk });
  const { startOffset, endOffset } = after.log.log(testLogId(1));
  expect([startOffset, endOffset]).toEqual([3, 3]);
  await after.close();
});
