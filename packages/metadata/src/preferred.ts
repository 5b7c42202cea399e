/** Moves leaders back to where placement wanted them, a bounded batch at a time (D19). */
import type { NodeId } from '@sluice/base';
import { partitionChange } from './election.ts';
import type { MetadataImage } from './image.ts';
import type { PartitionState } from './state.ts';
import { failed } from './metadata-error.ts';
import type { PartitionChangedRecord } from './records.ts';
import type { DecisionFor, ElectPreferredRequest } from './requests.ts';

export function decideElectPreferred(
  image: MetadataImage,
  request: ElectPreferredRequest,
): DecisionFor<ElectPreferredRequest> {
  const { partitionsMax } = request;
  if (!Number.isInteger(partitionsMax) || partitionsMax < 1) {
    return { records: [], response: failed('INVALID_REQUEST', 'partitionsMax must be an integer from 1') };
  }
  const records: PartitionChangedRecord[] = [];
  let remaining = 0;
  for (const topic of image.topics.values()) {
    for (const partition of topic.partitions) {
      const leader = betterLeader(image, partition);
      if (leader === undefined) continue;
      const record = records.length < partitionsMax ? partitionChange(partition, { ...partition, leader }) : undefined;
      if (record === undefined) remaining += 1;
      else records.push(record);
    }
  }
  return { records, response: { ok: true, value: { changed: records.length, remaining } } };
}

/** The preferred replica when it does not lead but could; doing nothing is always right (KAFKA-9866). */
function betterLeader(image: MetadataImage, partition: PartitionState): NodeId | undefined {
  const { replicas, isr, lossy, leader } = partition;
  const preferred = replicas[0];
  if (preferred === undefined || preferred === leader || !isr.includes(preferred)) return undefined;
  const isElectable = !lossy.includes(preferred) && image.node(preferred)?.state === 'up';
  return isElectable ? preferred : undefined;
}
