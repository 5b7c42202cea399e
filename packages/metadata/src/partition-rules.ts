import type { NodeId } from '@sluice/base';
import type { PartitionState } from './state.ts';

/** Which rule (M2, M3) a partition's state breaks by itself; undefined when none. */
export function partitionFault({ replicas, isr, lossy, refilling, leader }: PartitionState): string | undefined {
  if (isr.length === 0 || !isr.every((id) => replicas.includes(id))) return 'M2: isr is a part of replicas';
  if (hasDuplicates(isr) || hasDuplicates(replicas)) return 'M2: no duplicates';
  if (!lossy.every((id) => isr.includes(id))) return 'M2: lossy is a part of isr';
  if (!refilling.every(({ nodeId }) => replicas.includes(nodeId) && !isr.includes(nodeId))) {
    return 'M2: refilling is a part of replicas without isr';
  }
  if (leader !== null && (!isr.includes(leader) || lossy.includes(leader))) return 'M3: the leader is in sync';
  return undefined;
}

/** For lists of a few: a set for each partition costs more than the search. */
const hasDuplicates = (ids: readonly NodeId[]): boolean => ids.some((id, at) => ids.indexOf(id) !== at);
