/**
 * Every identifier and position has its own brand, so that an offset cannot be passed where a Raft index is meant.
 * A brand is given here and nowhere else: each constructor checks its bounds and throws `InvariantError`.
 * Input from outside is checked with `isPosition` before it is branded (see `wire`).
 */
import { invariant } from './invariant.ts';

declare const brand: unique symbol;
type Brand<T, Name extends string> = T & { readonly [brand]: Name };

/** Operator-chosen id of a node, 1 to 2^31 − 1. */
export type NodeId = Brand<number, 'NodeId'>;
/** Identity of one data directory, 32 lower-case hex digits, made when the directory is formatted. */
export type DirectoryId = Brand<string, 'DirectoryId'>;
/** Identity of a cluster, 32 lower-case hex digits, made once at birth. */
export type ClusterId = Brand<string, 'ClusterId'>;
/** Identity of one life of a topic name, 32 lower-case hex digits; a recreated topic has another. */
export type TopicId = Brand<string, 'TopicId'>;
/** Partition of a topic, counted from 0. */
export type PartitionIndex = Brand<number, 'PartitionIndex'>;
/** Client-visible position of a record in a partition. */
export type Offset = Brand<number, 'Offset'>;
/** Position in the Raft log, counted from 1; 0 means "before the first entry". */
export type LogIndex = Brand<number, 'LogIndex'>;
/** Raft term. */
export type Term = Brand<number, 'Term'>;
/** Fences leaders of one partition. */
export type LeaderEpoch = Brand<number, 'LeaderEpoch'>;
/** Counts every change of one partition's metadata. */
export type PartitionEpoch = Brand<number, 'PartitionEpoch'>;
/** Fences incarnations of one broker: the Raft index of its registration record. */
export type BrokerEpoch = Brand<number, 'BrokerEpoch'>;
/** Granted by the controller in blocks; −1 on a batch means "not idempotent". */
export type ProducerId = Brand<number, 'ProducerId'>;
/** Fences earlier sequences of one producer id, 0 to 2^15 − 1. */
export type ProducerEpoch = Brand<number, 'ProducerEpoch'>;
/** Numbers the position statements of one replication stream and partition. */
export type SessionNumber = Brand<number, 'SessionNumber'>;

export const nodeId = (value: number): NodeId => ranged(value, 1, 0x7fff_ffff, 'node id') as NodeId;
export const directoryId = (value: string): DirectoryId => hex(value, 'directory id') as DirectoryId;
export const clusterId = (value: string): ClusterId => hex(value, 'cluster id') as ClusterId;
export const topicId = (value: string): TopicId => hex(value, 'topic id') as TopicId;
export const partitionIndex = (value: number): PartitionIndex =>
  ranged(value, 0, 0x7fff_ffff, 'partition') as PartitionIndex;
export const offset = (value: number): Offset => position(value, 'offset') as Offset;
export const logIndex = (value: number): LogIndex => position(value, 'log index') as LogIndex;
export const term = (value: number): Term => position(value, 'term') as Term;
export const leaderEpoch = (value: number): LeaderEpoch => ranged(value, 0, 0x7fff_ffff, 'leader epoch') as LeaderEpoch;
export const partitionEpoch = (value: number): PartitionEpoch =>
  ranged(value, 0, 0x7fff_ffff, 'partition epoch') as PartitionEpoch;
export const brokerEpoch = (value: number): BrokerEpoch => position(value, 'broker epoch') as BrokerEpoch;
export const producerId = (value: number): ProducerId => position(value, 'producer id') as ProducerId;
export const producerEpoch = (value: number): ProducerEpoch =>
  ranged(value, 0, 0x7fff, 'producer epoch') as ProducerEpoch;
export const sessionNumber = (value: number): SessionNumber => position(value, 'session') as SessionNumber;

/** `from` moved forward by `count` records. */
export const offsetAfter = (from: Offset, count: number): Offset => offset(from + count);
export const nextIndex = (index: LogIndex): LogIndex => logIndex(index + 1);
export const nextTerm = (value: Term): Term => term(value + 1);
export const nextLeaderEpoch = (value: LeaderEpoch): LeaderEpoch => leaderEpoch(value + 1);
export const nextPartitionEpoch = (value: PartitionEpoch): PartitionEpoch => partitionEpoch(value + 1);

/** True for an integer from 0 to 2^53 − 1: what a position from outside must be. */
export const isPosition = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

/** True for an integer from 0 to 2^31 − 1: what a partition, or one of its epochs, from outside must be. */
export const isSmallPosition = (value: unknown): value is number => isPosition(value) && value <= 0x7fff_ffff;

/** True for an integer from 1 to 2^31 − 1: what a node id from outside must be. */
export const isNodeNumber = (value: unknown): value is number => isSmallPosition(value) && value >= 1;

/** True for 32 lower-case hex digits: what an identity from outside must be. */
export const isIdentity = (value: unknown): value is string =>
  typeof value === 'string' && /^[0-9a-f]{32}$/.test(value);

function position(value: number, what: string): number {
  invariant(isPosition(value), `${what} out of range`, { value });
  return value;
}

function ranged(value: number, min: number, max: number, what: string): number {
  invariant(Number.isInteger(value) && value >= min && value <= max, `${what} out of range`, { value, min, max });
  return value;
}

function hex(value: string, what: string): string {
  invariant(isIdentity(value), `${what} is not 32 hex digits`, { value });
  return value;
}
