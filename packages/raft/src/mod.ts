export { defaultRaftConfig } from './config.ts';
export type { RaftConfig } from './config.ts';
export type {
  HardState,
  HeldEnvelope,
  Leadership,
  MembershipChange,
  MembershipChangeOutcome,
  Persist,
  PersistSnapshot,
  Proposal,
  RaftEffects,
  ReadOutcome,
  Role,
  TransferOutcome,
} from './effects.ts';
export type {
  ChangeMembershipEvent,
  MessageEvent,
  PeerRefusedEvent,
  PersistedEvent,
  ProposeEvent,
  RaftEvent,
  ReadEvent,
  SnapshotSavedEvent,
  TickEvent,
  TransferEvent,
  VotersHintEvent,
  VotingEvent,
} from './events.ts';
export { entriesMax } from './log-view.ts';
export { decodeMembership, encodeMembership } from './membership.ts';
export { memberId } from './messages.ts';
export type {
  Append,
  AppendAccepted,
  AppendRejected,
  Entry,
  EntryKind,
  Envelope,
  Heartbeat,
  HeartbeatReply,
  MemberId,
  Membership,
  Observe,
  RaftMessage,
  ReplicationSession,
  Snapshot,
  SnapshotChunk,
  SnapshotProgress,
  TimeOutNow,
  VoteReply,
  VoteRequest,
  Voter,
} from './messages.ts';
export { Raft } from './raft.ts';
export type { PeerView } from './raft.ts';
export type { RaftOptions } from './state.ts';
export type { IgnoreReason, MembershipRefusal, RaftTrace, StepDownReason, VoteRefusal } from './trace.ts';
