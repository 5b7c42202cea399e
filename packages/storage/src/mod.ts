export { DataDirectory } from './data-directory.ts';
export type { Birth, DirectoryIdentity, Voter } from './identity.ts';
export type { LogStore, LossyReport, OffsetSpan, ReadBatches, ReadOutOfRange, ReadResult } from './log-store.ts';
export type { GroupStats, NodeLog, NodeLogLimits, NodeLogOptions, NodeLogStats } from './node-log.ts';
export type { RaftEntry, RaftHardState, RaftState, RaftStore, RaftWrite } from './raft-store.ts';
