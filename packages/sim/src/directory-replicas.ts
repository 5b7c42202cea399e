/** What the logs in the data directories of stopped nodes hold, for the end of a history of a real cluster. */
import { LogKind, partitionIndex, silentLogger, topicId } from '@sluice/base';
import { DataDirectory, NodeDisk, openNodeLog } from '@sluice/storage';
import { SystemClock } from '@sluice/wire';
import type { HistoryRecorder } from './history-recorder.ts';
import { readWholeLog } from './replica-logs.ts';

export interface DirectoryReplicas {
  readonly node: number;
  readonly directory: string;
  readonly topic: { readonly name: string; readonly id: string };
  /** That the node has a replica of. */
  readonly partitions: readonly number[];
}

/** The node does not run, and stopped after the last write was decided. Its directory is recovered as at a start. */
export async function recordDirectory(recorder: HistoryRecorder, of: DirectoryReplicas): Promise<void> {
  const { node, topic } = of;
  const directory = await DataDirectory.open(new NodeDisk(), of.directory);
  let stopped: Error | undefined;
  const halt = { halt: (reason: Error): void => void (stopped = reason) };
  const log = await openNodeLog({ directory, clock: new SystemClock(), halt, logger: silentLogger });
  try {
    for (const partition of of.partitions) {
      const id = { topicId: topicId(topic.id), partition: partitionIndex(partition), kind: LogKind.data };
      recorder.replica({ node, topic: topic.name, partition, ...(await readWholeLog(log.log(id))) });
    }
    if (stopped !== undefined) throw stopped;
  } finally {
    await log.close();
    await directory.release();
  }
}
