/**
 * Moves leaders back to where placement wanted them, a bounded batch at a time (D19). A batch is spread over the leaders
 * that lose by it: a partition pauses while it moves, and no node is to do all the handing over.
 */
import type { NodeId } from '@sluice/base';
import { partitionChange } from './election.ts';
import type { MetadataImage } from './image.ts';
import type { PartitionState } from './state.ts';
import { failed } from './metadata-error.ts';
import type { PartitionChangedRecord } from './records.ts';
import type { DecisionFor, ElectPreferredRequest } from './requests.ts';
import { isElectable } from './standing.ts';

export function decideElectPreferred(
  image: MetadataImage,
  request: ElectPreferredRequest,
): DecisionFor<ElectPreferredRequest> {
  const { partitionsMax } = request;
  if (!Number.isInteger(partitionsMax) || partitionsMax < 1) {
    return { records: [], response: failed('INVALID_REQUEST', 'partitionsMax must be an integer from 1') };
  }
  const moves = new Map<NodeId | null, PartitionChangedRecord[]>();
  for (const topic of image.topics.values()) {
    for (const partition of topic.partitions) {
      const leader = betterLeader(image, partition);
      const record = leader === undefined ? undefined : partitionChange(partition, { ...partition, leader });
      if (record === undefined) continue;
      const ofLeader = moves.get(partition.leader);
      if (ofLeader === undefined) moves.set(partition.leader, [record]);
      else ofLeader.push(record);
    }
  }
  const all = inTurns([...moves.values()]);
  const records = all.slice(0, partitionsMax);
  const value = { changed: records.length, remaining: all.length - records.length };
  return { records, response: { ok: true, value } };
}

/** The first of each list, then the second of each, and so on. */
function inTurns<Item>(lists: readonly (readonly Item[])[]): readonly Item[] {
  const items: Item[] = [];
  const longest = Math.max(0, ...lists.map((list) => list.length));
  for (let at = 0; at < longest; at += 1) items.push(...lists.flatMap((list) => list.slice(at, at + 1)));
  return items;
}

/** The preferred replica when it does not lead but could; doing nothing is always right (KAFKA-9866). */
function betterLeader(image: MetadataImage, { replicas, isr, leader }: PartitionState): NodeId | undefined {
  const preferred = replicas[0];
  if (preferred === undefined || preferred === leader || !isr.includes(preferred)) return undefined;
  const node = image.node(preferred);
  return node !== undefined && isElectable(node) ? preferred : undefined;
}
