/**
 * Partitions of which nobody is left who is known to be complete (D17b): the ISR and the ELR are empty.
 *
 * Of two logs the one with the later last epoch holds more of what was committed, and of the same epoch the longer one:
 * what a damaged log lacks, it lacks at its end, where it was cut. So the leader is the largest by both. Of a log that was
 * trimmed to its end nobody may know the last epoch: all below was committed, so whatever ends before it lacks more.
 *
 * The leader is chosen only when all logs are found that may be it: those of everybody who was complete when the ISR fell
 * below `minIsr`, and of all replicas that are up, since one that was only behind may hold more than what damage left to
 * the others.
 *
 * A replica that is away, and lives, may know more as committed than the leader that was found: `recoveredEpoch` tells it
 * that it may cut its log to that of the leader (ADR 0040).
 */
import type { NodeId } from '@sluice/base';
import { partitionChange, withIsr } from './election.ts';
import type { MetadataImage } from './image.ts';
import { locatedPartition } from './located-partition.ts';
import type { DecisionFor, FoundLog, RecoverPartitionRequest } from './requests.ts';
import { electorateOf, standings } from './standing.ts';

export function decideRecoverPartition(
  image: MetadataImage,
  request: RecoverPartitionRequest,
): DecisionFor<RecoverPartitionRequest> {
  const located = locatedPartition(image, request);
  if (!located.ok) return { records: [], response: located };
  const before = located.value;
  const { replicas, isr, elr, lastKnownElr, leader } = before;
  const unchanged = (missing: readonly NodeId[]): DecisionFor<RecoverPartitionRequest> => ({
    records: [],
    response: { ok: true, value: { leader, mayHaveLost: false, missing } },
  });
  if (isr.length + elr.length > 0) return unchanged([]);
  const standingOf = standings(image);
  const found = new Map(request.found.filter((log) => isOfThisLife(image, log)).map((log) => [log.nodeId, log]));
  const asked = replicas.filter((id) => lastKnownElr.includes(id) || standingOf(id) !== 'fenced');
  const missing = asked.filter((id) => !found.has(id) || standingOf(id) !== 'electable');
  if (missing.length > 0) return unchanged(missing);
  const logs = asked.flatMap((id) => found.get(id) ?? []);
  const trimmedEnd = Math.max(0, ...logs.map(({ lastEpoch, logEnd }) => (lastEpoch === null ? logEnd : 0)));
  const [longest] = logs.filter(({ logEnd }) => logEnd >= trimmedEnd).toSorted(byLength);
  if (longest === undefined) return unchanged([]);
  const { minIsr } = electorateOf(image, before, standingOf);
  const after = { ...withIsr(before, [longest.nodeId], minIsr), leader: longest.nodeId };
  const record = partitionChange(before, after);
  const value = { leader: longest.nodeId, mayHaveLost: true, missing: [] };
  const records = record === undefined ? [] : [{ ...record, recoveredEpoch: record.leaderEpoch }];
  return { records, response: { ok: true, value } };
}

const isOfThisLife = (image: MetadataImage, { nodeId, brokerEpoch }: FoundLog): boolean =>
  image.node(nodeId)?.brokerEpoch === brokerEpoch;

/** The longest first; equal ones stay in assignment order. */
const byLength = (a: FoundLog, b: FoundLog): number => (b.lastEpoch ?? -1) - (a.lastEpoch ?? -1) || b.logEnd - a.logEnd;
