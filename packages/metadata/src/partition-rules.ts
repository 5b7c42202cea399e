import type { NodeId } from '@sluice/base';
import type { PartitionState } from './state.ts';

/** Which rule (M2, M3) a partition's state breaks by itself; undefined when none. */
export function partitionFault(state: PartitionState, minIsr: number): string | undefined {
  const { replicas, isr, elr, lastKnownElr, lossy, refilling, leader, leaderEpoch, recoveredEpoch } = state;
  const members = [...isr, ...elr, ...lastKnownElr];
  if (!members.every((id) => replicas.includes(id))) return 'M2: isr, elr and lastKnownElr are parts of replicas';
  if (hasDuplicates(members) || hasDuplicates(replicas)) return 'M2: no duplicates, each in one of the three';
  if (members.length === 0) return 'M2: somebody was complete last';
  if (isr.length >= minIsr && members.length > isr.length) return 'M2: elr and lastKnownElr are empty from minIsr on';
  if (!lossy.every((id) => lastKnownElr.includes(id))) return 'M2: lossy is a part of lastKnownElr';
  if (!refilling.every(({ nodeId }) => replicas.includes(nodeId) && !isr.includes(nodeId) && !elr.includes(nodeId))) {
    return 'M2: refilling is a part of replicas without isr and elr';
  }
  if (recoveredEpoch !== null && recoveredEpoch > leaderEpoch) return 'M2: who was recovered has led already';
  if (leader !== null && !isr.includes(leader)) return 'M3: the leader is in sync';
  return undefined;
}

/** For lists of a few: a set for each partition costs more than the search. */
const hasDuplicates = (ids: readonly NodeId[]): boolean => ids.some((id, at) => ids.indexOf(id) !== at);
