/** Which answers of a peer the leader hears; shared by `replication` and `snapshot-sending`. */
import type { MemberId, RaftMessage, ReplicationSession } from './messages.ts';
import type { Progress } from './progress.ts';
import type { RaftState } from './state.ts';

/** Undefined: not the leader's peer, or an answer in another session, which may speak of another log or another life. */
export function currentProgress(
  state: RaftState,
  from: MemberId,
  message: RaftMessage & { readonly session: ReplicationSession },
): Progress | undefined {
  const progress = state.peers.get(from);
  if (progress?.isSession(message.session)) {
    progress.lastContactMs = state.nowMs;
    return progress;
  }
  const reason = state.role !== 'leader' ? 'not-leading' : progress === undefined ? 'not-a-member' : 'old-session';
  state.out.trace({ kind: 'ignored', from, message: message.kind, reason });
  return undefined;
}
