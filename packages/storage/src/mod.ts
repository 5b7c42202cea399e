export { leaveCleanStop, takeCleanStop } from './clean-stop.ts';
export { DataDirectory } from './data-directory.ts';
export { holdsNodeLog } from './manifest.ts';
export { type Birth, type DirectoryIdentity, IdentityStore, type Voter } from './identity.ts';
export type { DiskReserveBytes, DiskState } from './disk-reserve.ts';
export { IdentityKeeper } from './identity-keeper.ts';
export type {
  LogStore,
  LossyReport,
  OffsetSpan,
  ReadBatches,
  ReadOutOfRange,
  ReadResult,
  RetentionLimits,
  StateSnapshot,
} from './log-store.ts';
export type { GroupStats, NodeLog, NodeLogLimits, NodeLogOptions, NodeLogStats } from './node-log.ts';
export type { AskedLog } from './asked-log.ts';
export type {
  RaftCompaction,
  RaftEntry,
  RaftHardState,
  RaftSnapshot,
  RaftState,
  RaftStore,
  RaftWrite,
} from './raft-store.ts';
export {
  type DiskFault,
  type DiskOperation,
  type DiskOperationKind,
  type FaultPlan,
  faultsAt,
  type PlannedFault,
} from './disk-faults.ts';
export { lastFrameAt } from './last-frame.ts';
export { MemoryDisk, type MemoryDiskOptions } from './memory-disk.ts';
export type { CrashOptions } from './memory-file.ts';
export { lockHolder, NodeDisk } from './node-disk.ts';
export { inspectDirectory, type Inspection, type InspectedLog } from './inspect.ts';
export { defaultLimits, openNodeLog } from './open-node-log.ts';
