export { defaultRaftConfig } from './config.ts';
export type { RaftConfig } from './config.ts';
export type {
  HardState,
  HeldEnvelope,
  Leadership,
  Persist,
  Proposal,
  RaftEffects,
  ReadOutcome,
  Role,
} from './effects.ts';
export type {
  MessageEvent,
  PeerRefusedEvent,
  PersistedEvent,
  ProposeEvent,
  RaftEvent,
  ReadEvent,
  TickEvent,
  VotingEvent,
} from './events.ts';
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
  VoteReply,
  VoteRequest,
  Voter,
} from './messages.ts';
export { Raft } from './raft.ts';
export type { PeerView } from './raft.ts';
export type { RaftOptions } from './state.ts';
export type { IgnoreReason, RaftTrace, StepDownReason, VoteRefusal } from './trace.ts';
