/** A node log that a test opens, closes and opens again over the same disk. */
import type { Clock, Disk, LogId } from '@sluice/base';
import { LogKind, partitionIndex, silentLogger, topicId } from '@sluice/base';
import { DataDirectory } from './data-directory.ts';
import type { LogStore } from './log-store.ts';
import type { GroupStats, NodeLog, NodeLogLimits } from './node-log.ts';
import { openNodeLog } from './open-node-log.ts';
import { TestClock } from './test-clock.ts';

export const testLogId = (number: number): LogId => ({
  topicId: topicId(number.toString(16).padStart(32, '0')),
  partition: partitionIndex(number % 3),
  kind: LogKind.data,
});

export interface TestNode {
  readonly log: NodeLog;
  readonly clock: Clock;
  /** Why the node stopped; it must stop once at most. */
  readonly halts: readonly Error[];
  readonly groups: readonly GroupStats[];
  close(): Promise<void>;
}

export interface TestNodeOptions {
  readonly disk: Disk;
  readonly directory?: string;
  readonly clock?: Clock;
  readonly limits?: Partial<NodeLogLimits>;
}

export async function openTestNode(options: TestNodeOptions): Promise<TestNode> {
  const { disk, directory: path = '/node', clock = new TestClock() } = options;
  // Zeros and rewrites are writes and syncs of their own, a scrub reads: tests that count or fail those want none.
  const quiet = { zerosAheadBytes: 0, rewriteBytesPerSecondMax: 0, scrubBytesPerSecondMax: 0 };
  const limits = { spaceAheadBytes: 64 * 1024, ...quiet, ...options.limits };
  const directory = await DataDirectory.open(disk, path);
  const halts: Error[] = [];
  const groups: GroupStats[] = [];
  const halt = { halt: (reason: Error): void => void halts.push(reason) };
  const onGroup = (stats: GroupStats): void => void groups.push(stats);
  const log = await openNodeLog({ directory, clock, halt, logger: silentLogger, limits, onGroup });
  return {
    log,
    clock,
    halts,
    groups,
    close: async () => {
      await log.close();
      await directory.release();
    },
  };
}

/** Resolves when the log's end is durable. */
export function durable(log: LogStore): Promise<void> {
  return new Promise((resolve) => {
    const target = log.endOffset;
    const check = (): void => {
      if (log.durableOffset < Math.min(target, log.endOffset)) return;
      log.onDurable = undefined;
      resolve();
    };
    log.onDurable = check;
    check();
  });
}

/** Everything in the log, batch by batch, from its start. */
export async function contents(log: LogStore, bytesMax = 100_000): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let from = log.startOffset;
  while (from < log.endOffset) {
    const read = await log.read(from, log.endOffset, bytesMax);
    if (read.kind === 'out-of-range' || read.endOffset <= from) throw new Error(`nothing to read at ${from}`);
    parts.push(...read.batches);
    from = read.endOffset;
  }
  return Buffer.concat(parts);
}
