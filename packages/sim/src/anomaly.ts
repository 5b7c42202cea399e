/** What can be wrong with a history; named as in Jepsen's tests of Kafka, where there is such a name. */
import type { HistoryLine } from './history.ts';

export type AnomalyKind =
  /** Two values at one offset. */
  | 'inconsistent-offsets'
  /** One value at two places. */
  | 'duplicate'
  /** Acked or read by somebody, and not there in the end, though later records are. */
  | 'lost'
  /** Acked or read by somebody, at the end of the log, and not there in the end. */
  | 'unseen'
  /** The value of a send that failed for certain was read. */
  | 'aborted-read'
  /** A value was read that nobody sent. */
  | 'phantom'
  /** Sends of one session lie in another order than they were made in. */
  | 'reordered'
  /** A consumer read an offset again, or an earlier one, without being assigned anew. */
  | 'nonmonotonic-poll'
  /** A consumer passed over a record. */
  | 'poll-skip'
  /** Two replicas, or a replica and a reader, hold different records at an offset. */
  | 'replica-divergence'
  | 'not-linearizable'
  /** A process was heard though its successor had been registered. */
  | 'earlier-life'
  | 'malformed-history';

export interface Anomaly {
  readonly kind: AnomalyKind;
  readonly text: string;
  /** The fewest lines of the history that show it. */
  readonly lines: readonly HistoryLine[];
}

export const anomaly = (kind: AnomalyKind, text: string, lines: readonly HistoryLine[]): Anomaly => {
  return { kind, text, lines };
};
