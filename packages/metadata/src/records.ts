/**
 * The records of the metadata log: everything durable that the controller knows is the replay of these, in order.
 * One Raft entry carries the records of one decision; they are replayed together or not at all.
 *
 * R1. The first record of a log is `featureLevel`.
 * R2. A record of unknown type or version, or a feature level above `featureLevelMax`, is a failure that stops the
 *     node: going on without it would give this node another truth than the others have.
 */
import { isPosition, utf8Decode, utf8Encode } from '@sluice/base';
import type {
  ClusterId,
  DirectoryId,
  LeaderEpoch,
  NodeId,
  PartitionEpoch,
  PartitionIndex,
  ProducerId,
  TopicId,
} from '@sluice/base';
import type { TopicConfig } from './topic-config.ts';

/** The newest feature level that this build understands. */
export const featureLevelMax = 2;

/** The namespace of every name that does not say another one. */
export const defaultNamespace = 'default';

/** One address at which a node serves clients. */
export interface ClientListener {
  readonly name: string;
  /** `grpc`; a string, so that an older node keeps a newer listener that it cannot speak. */
  readonly protocol: string;
  /** Advertised `host:port`. */
  readonly address: string;
}

export interface FeatureLevelRecord {
  readonly type: 'featureLevel';
  readonly version: 1;
  readonly level: number;
  readonly clusterId: ClusterId;
}

/** The Raft index of the entry with this record is the broker epoch that it grants. The node starts fenced (D18). */
export interface NodeRegisteredRecord {
  readonly type: 'nodeRegistered';
  readonly version: 1;
  readonly nodeId: NodeId;
  readonly directoryId: DirectoryId;
  /** 32 hex digits drawn at process start: one life of the process. */
  readonly incarnation: string;
  readonly softwareVersion: string;
  readonly rack: string | null;
  readonly clientListeners: readonly ClientListener[];
  readonly peerAddress: string;
  readonly adminAddress: string;
  /** True when the directory may lack records that it once acked (D17b, design §3). */
  readonly lossy: boolean;
}

export interface NodeFencedRecord {
  readonly type: 'nodeFenced';
  readonly version: 1;
  readonly nodeId: NodeId;
}

export interface NodeUnfencedRecord {
  readonly type: 'nodeUnfenced';
  readonly version: 1;
  readonly nodeId: NodeId;
}

/** Controlled shutdown has begun (D20); only fencing ends it. */
export interface NodeDrainingRecord {
  readonly type: 'nodeDraining';
  readonly version: 1;
  readonly nodeId: NodeId;
}

/** Whether the node's disk hangs (`diskStallMs`). Registering anew ends it, too. */
export interface NodeStalledRecord {
  readonly type: 'nodeStalled';
  readonly version: 1;
  readonly nodeId: NodeId;
  readonly stalled: boolean;
}

/** The partitions follow in the same entry, from 0 without a gap. */
export interface TopicCreatedRecord {
  readonly type: 'topicCreated';
  readonly version: 3;
  readonly topicId: TopicId;
  readonly namespace: string;
  readonly name: string;
  readonly config: TopicConfig;
}

export interface PartitionCreatedRecord {
  readonly type: 'partitionCreated';
  readonly version: 1;
  readonly topicId: TopicId;
  readonly partition: PartitionIndex;
  /** In assignment order; the first is the preferred leader. */
  readonly replicas: readonly NodeId[];
  readonly isr: readonly NodeId[];
  readonly leader: NodeId | null;
  readonly leaderEpoch: LeaderEpoch;
  readonly partitionEpoch: PartitionEpoch;
}

/** What the replica acked before it knew of this partition epoch says nothing any more. */
export interface Refilling {
  readonly nodeId: NodeId;
  readonly since: PartitionEpoch;
}

/** Absent fields keep their value. `leaderEpoch` grows exactly when the leader changes, `partitionEpoch` always by one. */
export interface PartitionChangedRecord {
  readonly type: 'partitionChanged';
  readonly version: 4;
  readonly topicId: TopicId;
  readonly partition: PartitionIndex;
  readonly leader?: NodeId | null;
  readonly isr?: readonly NodeId[];
  readonly elr?: readonly NodeId[];
  readonly lastKnownElr?: readonly NodeId[];
  readonly replicas?: readonly NodeId[];
  readonly lossy?: readonly NodeId[];
  /** Those who are members of the ISR after this drop out by themselves. */
  readonly refilling?: readonly Refilling[];
  /** Present when this leader is the one of the longest log that was found. */
  readonly recoveredEpoch?: LeaderEpoch;
  readonly leaderEpoch: LeaderEpoch;
  readonly partitionEpoch: PartitionEpoch;
}

export interface TopicDeletedRecord {
  readonly type: 'topicDeleted';
  readonly version: 1;
  readonly topicId: TopicId;
}

/** All producer ids below `nextProducerId` have been handed out. */
export interface ProducerIdsAllocatedRecord {
  readonly type: 'producerIdsAllocated';
  readonly version: 1;
  readonly nextProducerId: ProducerId;
}

export type MetadataRecord =
  | FeatureLevelRecord
  | NodeRegisteredRecord
  | NodeFencedRecord
  | NodeUnfencedRecord
  | NodeDrainingRecord
  | NodeStalledRecord
  | TopicCreatedRecord
  | PartitionCreatedRecord
  | PartitionChangedRecord
  | TopicDeletedRecord
  | ProducerIdsAllocatedRecord;

/** Why bytes of the metadata log cannot be replayed. The node must stop (R2). */
export interface RecordFailure {
  /** `UNSUPPORTED_VERSION`: written by another version of Sluice. `INTERNAL`: not the bytes of any metadata entry. */
  readonly code: 'UNSUPPORTED_VERSION' | 'INTERNAL';
  readonly message: string;
}

export type DecodedRecords =
  | { readonly ok: true; readonly records: readonly MetadataRecord[] }
  | { readonly ok: false; readonly failure: RecordFailure };

/** The version of each record type that this build writes, and the only one that it reads. */
const versions: Readonly<Record<MetadataRecord['type'], number>> = {
  featureLevel: 1,
  nodeRegistered: 1,
  nodeFenced: 1,
  nodeUnfenced: 1,
  nodeDraining: 1,
  nodeStalled: 1,
  topicCreated: 3,
  partitionCreated: 1,
  partitionChanged: 4,
  topicDeleted: 1,
  producerIdsAllocated: 1,
};

/** First byte of an encoded entry; what follows is a JSON array of records in UTF-8. */
const formatVersion = 1;

/** The payload of one Raft entry. */
export function encodeRecords(records: readonly MetadataRecord[]): Uint8Array {
  const text = utf8Encode(JSON.stringify(records));
  const bytes = new Uint8Array(1 + text.length);
  bytes[0] = formatVersion;
  bytes.set(text, 1);
  return bytes;
}

/** Reads what `encodeRecords` wrote; `ok: false` must stop the node (R2). Never throws. */
export function decodeRecords(bytes: Uint8Array): DecodedRecords {
  if (bytes.length === 0) return failed('INTERNAL', 'the metadata entry is empty');
  const format = bytes[0];
  if (format !== formatVersion) {
    return failed('UNSUPPORTED_VERSION', `the metadata entry has format ${format}; this build reads ${formatVersion}`);
  }
  const parsed = tryParse(utf8Decode(bytes.subarray(1)));
  if (!Array.isArray(parsed)) return failed('INTERNAL', 'the metadata entry is not a list of records');
  for (const record of parsed as readonly unknown[]) {
    const failure = checkRecord(record);
    if (failure !== undefined) return { ok: false, failure };
  }
  return { ok: true, records: parsed as readonly MetadataRecord[] };
}

function checkRecord(record: unknown): RecordFailure | undefined {
  if (typeof record !== 'object' || record === null) {
    return { code: 'INTERNAL', message: 'a metadata record is not an object' };
  }
  const { type, version, level } = record as { type?: unknown; version?: unknown; level?: unknown };
  if (typeof type !== 'string' || !isPosition(version)) {
    return { code: 'INTERNAL', message: 'a metadata record has no type or version' };
  }
  const known = Object.hasOwn(versions, type) ? versions[type as MetadataRecord['type']] : 0;
  if (version > 0 && version < known) return outdated(`metadata record ${type} version ${version}`);
  if (version !== known || version === 0) return unsupported(`metadata record ${type} version ${version}`);
  if (type === 'featureLevel' && (!isPosition(level) || level > featureLevelMax)) {
    return unsupported(`feature level ${String(level)}`);
  }
  return undefined;
}

const unsupported = (what: string): RecordFailure => ({
  code: 'UNSUPPORTED_VERSION',
  message: `this build does not understand ${what}; start the newer version that wrote it`,
});

const outdated = (what: string): RecordFailure => ({
  code: 'UNSUPPORTED_VERSION',
  message: `this build does not read ${what} any more; start the older version that wrote it, or an empty directory`,
});

const failed = (code: RecordFailure['code'], message: string): DecodedRecords => ({
  ok: false,
  failure: { code, message },
});

function tryParse(text: string | undefined): unknown {
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
