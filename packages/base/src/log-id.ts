import type { PartitionIndex, TopicId } from './ids.ts';

/** What a log holds. Kind 0 is the partition's records; later kinds hold state that leads where the partition leads. */
export const LogKind = { data: 0 } as const;
export type LogKind = (typeof LogKind)[keyof typeof LogKind];

/** Identity of one replicated log. Topic ids are never reused, so a log id is never reused either. */
export interface LogId {
  readonly topicId: TopicId;
  readonly partition: PartitionIndex;
  readonly kind: LogKind;
}

/** A string that is equal exactly for equal log ids: the key of every map of logs. */
export function logKey({ topicId, partition, kind }: LogId): string {
  // The short part in one piece first: a text keeps all parts that it was put together from.
  const within = `/${partition}/${kind}`;
  return `${topicId}${within}`;
}
