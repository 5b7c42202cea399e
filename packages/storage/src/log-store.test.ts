import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { Clock, Disk } from '@sluice/base';
import { logStoreConformance, type NodeLogUnderTest } from './log-store-conformance.ts';
import { MemoryDisk } from './memory-disk.ts';
import { NodeDisk } from './node-disk.ts';
import type { NodeLogLimits } from './node-log.ts';
import { openTestNode, type TestNode } from './test-node-log.ts';

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
  readonly clock?: Clock;
}

function over(options: Over, onClose: () => void = () => undefined): NodeLogUnderTest {
  let node: TestNode | undefined;
  return {
    reopen: async () => {
      await node?.close();
      node = await openTestNode(options);
      return node.log;
    },
    close: async () => {
      await node?.close();
      onClose();
    },
  };
}

const memory = (limits: Partial<NodeLogLimits>): Over => ({ disk: new MemoryDisk(), directory: '/node', limits });

logStoreConformance('MemoryDisk', async () => over(memory({})));
logStoreConformance('MemoryDisk with tiny limits', async () => over(memory(tiny)));
logStoreConformance('MemoryDisk without a tail', async () => over(memory({ ...tiny, tailBytesMax: 0 })));
logStoreConformance('NodeDisk with tiny limits', async () => {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'sluice-log-'));
  return over({ disk: new NodeDisk(), directory: `${directory}/node`, limits: tiny, clock: realClock }, () =>
    fs.rmSync(directory, { recursive: true, force: true }),
  );
});
