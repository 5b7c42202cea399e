/** What each replica's log holds of a topic, read from its own disk, for the end of a history. */
import { LogKind, offset as offsetOf, utf8Decode } from '@sluice/base';
import type { Offset } from '@sluice/base';
import { batchesIn, decodeRecords } from '@sluice/record';
import type { LogStore } from '@sluice/storage';
import type { HistoryRecorder } from './history-recorder.ts';
import type { SimCluster } from './sim-cluster.ts';

const readBytes = 1024 * 1024;
const limitMs = 60_000;

export interface Held {
  readonly offsets: number[];
  readonly values: string[];
}

/** Of every live node that holds a replica; nothing may be written meanwhile. Compressed batches are not expected. */
export async function recordReplicas(cluster: SimCluster, recorder: HistoryRecorder, topic: string): Promise<void> {
  for (const id of cluster.ids) {
    const inspected = cluster.inspect(id);
    const found = inspected?.image.topicNamed('default', topic);
    if (inspected === undefined || found === undefined) continue;
    for (const { partition, replicas } of found.partitions) {
      if (!replicas.some((replica) => replica === id)) continue;
      const log = inspected.nodeLog.log({ topicId: found.topicId, partition, kind: LogKind.data });
      const held = await cluster.simulation.settle(`node ${id} reads its log`, limitMs, readWholeLog(log));
      recorder.replica({ node: id, topic, partition, ...held });
    }
  }
}

export async function readWholeLog(log: LogStore): Promise<Held> {
  const held: Held = { offsets: [], values: [] };
  let at: Offset = log.startOffset;
  while (at < log.endOffset) {
    const read = await log.read(at, log.endOffset, readBytes);
    if (read.kind !== 'batches' || read.batches.length === 0) throw new Error(`a log ends at ${at} when it is read`);
    for (const bytes of read.batches) addRecords(held, bytes);
    at = offsetOf(read.endOffset);
  }
  return held;
}

function addRecords(held: Held, bytes: Uint8Array): void {
  for (const found of batchesIn(bytes)) {
    if (!found.ok) throw new Error(`a log holds a batch that is none: ${found.problem.message}`);
    const batch = bytes.subarray(found.position, found.position + found.header.batchBytes);
    const records = decodeRecords(batch);
    if (!records.ok) throw new Error(`a log holds records that do not decode: ${records.problem.message}`);
    for (const { offset, value } of records.value) {
      held.offsets.push(offset);
      held.values.push((value === null ? undefined : utf8Decode(value)) ?? '');
    }
  }
}
