/** What administration answers; the shapes that `--json` prints. */

export interface NewTopic {
  /** 1 to 249 of `a-z A-Z 0-9 . _ -`, not `.` or `..`. */
  readonly name: string;
  /** Default 1. */
  readonly partitions?: number;
  /** Default: the smaller of 3 and the number of nodes. */
  readonly replication?: number;
  /** Keys that differ from their defaults, values as text. */
  readonly config?: Readonly<Record<string, string>>;
}

export interface TopicListing {
  readonly name: string;
  readonly id: string;
  readonly partitions: number;
  readonly replication: number;
}

export interface TopicDescription {
  readonly name: string;
  readonly id: string;
  /** All keys, with defaults filled in, values as text. */
  readonly config: Readonly<Record<string, string>>;
  readonly partitions: readonly PartitionDescription[];
}

export interface PartitionDescription {
  readonly partition: number;
  /** Null when no in-sync replica is up. */
  readonly leader: number | null;
  readonly leaderEpoch: number;
  readonly replicas: readonly number[];
  readonly isr: readonly number[];
  readonly elr: readonly number[];
  /** This and the next two are null while no leader answers for them. */
  readonly logStart: number | null;
  readonly highWatermark: number | null;
  readonly logEnd: number | null;
}

export interface PartitionBounds {
  readonly partition: number;
  /** First offset there is. */
  readonly logStart: number;
  /** Committed end: offsets below it can be read. */
  readonly highWatermark: number;
  /** End of the leader's log, committed or not. */
  readonly logEnd: number;
  /** The leader would take an append now. */
  readonly writable: boolean;
  /**
   * Where to read from for all records of the time that was asked for, or later: in the batch there older ones may come
   * first. The high watermark when there are none, the start when no time was given.
   */
  readonly sinceOffset: number;
}

export interface ClusterDescription {
  readonly clusterId: string;
  /** Null when unknown. */
  readonly controllerLeader: number | null;
  readonly metadataOffset: number;
  readonly nodes: readonly NodeDescription[];
  readonly topics: number;
  readonly partitions: number;
  readonly underReplicated: number;
  readonly underMinIsr: number;
  readonly leaderless: number;
  /** False when no controller leader answers: `voters` is what the asked node knew last then. */
  readonly membersCurrent: boolean;
  /** Who votes on the metadata. */
  readonly voters: readonly ControllerMember[];
  /** Who follows the metadata without a vote; null when no controller leader answers. */
  readonly observers: readonly ControllerMember[] | null;
}

/** A directory on a node, as the controller leader sees it. Without one `state` is `unknown`, and `lag` and `mayVote` null. */
export interface ControllerMember {
  readonly id: number;
  readonly directory: string;
  /** Empty when unknown. */
  readonly address: string;
  /** `leader`, `up`, `down`: it has not answered of late, or `unknown`. */
  readonly state: string;
  /** Entries of the metadata that it is not known to have on disk. */
  readonly lag: number | null;
  /** False when the node has not the role controller, or its directory may have lost votes. */
  readonly mayVote: boolean | null;
}

export interface VoterChange {
  /** Who was added or removed. */
  readonly changed: ControllerMember;
  /** The voters now. */
  readonly voters: readonly ControllerMember[];
  readonly metadataOffset: number;
}

export interface NodeDescription {
  readonly id: number;
  /** `up`, `fenced`, `draining` or `down`. */
  readonly state: string;
  readonly version: string;
  readonly rack: string;
  readonly client: string;
  readonly peer: string;
  readonly admin: string;
  readonly leaders: number;
  readonly replicas: number;
  readonly diskBytes: number;
}
