/**
 * What goes wrong in a run: a list that is made before the run and replayed from it, so that it can be shrunk. Times are
 * milliseconds of simulated time since the safety phase began, or since the nodes started.
 */
interface At {
  readonly atMs: number;
  /** While the cluster is being born. */
  readonly atBirth?: true;
}

interface Lasting extends At {
  readonly forMs: number;
}

interface OfNode {
  readonly node: number;
}

/** A process ends and comes back after `forMs`. */
export interface Crash extends Lasting, OfNode {
  readonly kind: 'crash';
  /** What stays of what was not synced; `process`: the machine goes on, and all of it stays. */
  readonly keeps: 'nothing' | 'everything' | 'some' | 'process';
  /** The last write is there up to a random byte. */
  readonly tears: boolean;
  /** The other ends of its connections are not told. */
  readonly silent: boolean;
}

/** All machines lose power at once. */
export interface PowerCut extends Lasting {
  readonly kind: 'power-cut';
  readonly keeps: 'nothing' | 'some';
}

/** It ends again and again, each time so long after its start: also before it has recovered. */
export interface RestartLoop extends At, OfNode {
  readonly kind: 'restart-loop';
  readonly times: number;
  readonly upMs: number;
}

export interface Stop extends Lasting, OfNode {
  readonly kind: 'stop';
}

/** Timers and deliveries wait, and then happen all at once. */
export interface Pause extends Lasting, OfNode {
  readonly kind: 'pause';
}

/** It comes back with an empty disk. */
export interface Wipe extends Lasting, OfNode {
  readonly kind: 'wipe';
}

/** It comes back on a copy of its directory that was made a while before. */
export interface RolledBackDirectory extends Lasting, OfNode {
  readonly kind: 'rolled-back-directory';
  /** Of the copy, when the machine stops. */
  readonly ageMs: number;
}

/** A copy of its directory runs on another machine, under its name, for `forMs`. */
export interface CopiedDirectory extends Lasting, OfNode {
  readonly kind: 'copied-directory';
  /** It runs beside the copy, or the copy takes its place for half of the time. */
  readonly original: 'restarts' | 'stays-away';
}

export interface BitFlip extends At, OfNode {
  readonly kind: 'bit-flip';
  /** Which file and which bit, as the driver finds them. */
  readonly draw: number;
  /** `newest`: a little before the end of what was written last. Never in a last frame: it would look like a torn write. */
  readonly where: 'anywhere' | 'newest';
  /** The process ends too, so that the damage is met by recovery. */
  readonly restarts: boolean;
}

export interface ClockJump extends At, OfNode {
  readonly kind: 'clock-jump';
  readonly byMs: number;
}

export interface ClockDrift extends Lasting, OfNode {
  readonly kind: 'clock-drift';
  readonly ratePercent: number;
}

/** Nothing passes from the first to the second; and back, unless it is one way. */
export interface Cut extends Lasting {
  readonly kind: 'partition' | 'isolate' | 'ring' | 'one-way';
  readonly links: readonly (readonly [from: number, to: number])[];
}

/**
 * `elected`: it begins to lead, and nobody has an entry of its term; `followed`: another knows that it leads; `changing`:
 * nobody else has its change of voters.
 */
export type LeaderMoment = 'now' | 'elected' | 'followed' | 'changing';

/** Befalls whoever leads the controller at these moments: a node drawn beforehand seldom does. See `leader-strikes`. */
export interface LeaderStruck extends Lasting {
  readonly kind: 'leader-struck';
  readonly moments: readonly LeaderMoment[];
  /** Deaf: it hears no other node; mute: no other hears it. */
  readonly by: 'isolation' | 'deafness' | 'muteness' | 'pause' | 'crash';
}

/** Whoever leads the controller then is asked to let another voter lead. */
export interface LeaderTransfer extends At {
  readonly kind: 'leader-transfer';
  /** Which of the others, as the driver finds them. */
  readonly draw: number;
}

/** Befalls whoever leads a partition then. */
export interface PartitionLeaderStruck extends Lasting {
  readonly kind: 'partition-leader-struck';
  /** Which partition, as the driver finds them. */
  readonly draw: number;
  readonly by: 'crash' | 'pause' | 'isolate' | 'hung-disk' | 'slow-disk';
}

/** The disk of one who follows a partition then. */
export interface SlowFollower extends Lasting {
  readonly kind: 'slow-follower';
  readonly draw: number;
  readonly meanMs: number;
}

/** The connections between the leader of a partition and one who follows it: replication goes on in new streams. */
export interface LinkReset extends At {
  readonly kind: 'link-reset';
  readonly draw: number;
}

export interface Clog extends Lasting {
  readonly kind: 'clog';
  readonly from: number;
  readonly to: number;
}

export interface Slow extends Lasting {
  readonly kind: 'delay';
  readonly meanMs: number;
}

export interface Lossy extends Lasting {
  readonly kind: 'loss';
  readonly percent: number;
}

export interface RaftMessages extends Lasting {
  readonly kind: 'raft-messages';
  readonly lossPercent: number;
  readonly duplicatePercent: number;
  readonly delayPercent: number;
  readonly delayMsMax: number;
  /** Now and then one comes this late at most: in another term. */
  readonly lateMsMax: number;
}

export interface Reset extends At {
  readonly kind: 'reset';
  readonly one: number;
  readonly other: number;
}

export interface Refuse extends Lasting, OfNode {
  readonly kind: 'refuse';
}

export interface SlowDisk extends Lasting, OfNode {
  readonly kind: 'slow-disk';
  readonly meanMs: number;
}

/** No sync completes. */
export interface HungDisk extends Lasting, OfNode {
  readonly kind: 'hung-disk';
}

/** Its next write, sync or read fails; the node stops itself, and is started again. */
export interface FailedDisk extends At, OfNode {
  readonly kind: 'disk-error';
  readonly operation: 'write' | 'sync' | 'read';
  /** `cached`: of a sync alone; what it should have made durable is read until the power goes. */
  readonly effect: 'none' | 'part' | 'whole' | 'cached';
}

export interface FullDisk extends Lasting, OfNode {
  readonly kind: 'full-disk';
  readonly roomBytes: number;
}

export type Fault =
  | Crash
  | PowerCut
  | RestartLoop
  | Stop
  | Pause
  | Wipe
  | RolledBackDirectory
  | CopiedDirectory
  | BitFlip
  | ClockJump
  | ClockDrift
  | Cut
  | LeaderStruck
  | LeaderTransfer
  | PartitionLeaderStruck
  | SlowFollower
  | LinkReset
  | Clog
  | Slow
  | Lossy
  | RaftMessages
  | Reset
  | Refuse
  | SlowDisk
  | HungDisk
  | FailedDisk
  | FullDisk;

export type FaultKind = Fault['kind'];

/** When it is over, unless what it ends takes longer to come back. */
export const endMs = (fault: Fault): number => fault.atMs + ('forMs' in fault ? fault.forMs : 0);

/** Those that take something from a disk for good. */
export const damagingKinds: ReadonlySet<FaultKind> = new Set([
  'wipe',
  'bit-flip',
  'rolled-back-directory',
  'copied-directory',
]);

export const faultText = ({ atMs, kind, ...rest }: Fault): string =>
  `${String(atMs).padStart(6)} ms  ${kind}  ${Object.entries(rest)
    .map(([name, value]) => `${name} ${JSON.stringify(value)}`)
    .join(', ')}`;
