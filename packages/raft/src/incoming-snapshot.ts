/** The snapshot that a follower is being sent. Owned by `state`, driven by `snapshot-receiving`, ended by `compaction`. */
import type { LogIndex, Term } from '@sluice/base';
import type { MemberId, Membership, ReplicationSession } from './messages.ts';

export interface IncomingSnapshot {
  readonly index: LogIndex;
  readonly lastTerm: Term;
  readonly membership: Membership;
  readonly bytesTotal: number;
  readonly checksum: number;
  /** Who sends it, and in which session: both of the latest chunk. */
  leader: MemberId;
  session: ReplicationSession;
  chunks: Uint8Array[];
  receivedBytes: number;
  /** The whole is with the shell, to be made durable. */
  isSaving: boolean;
}

export function joined(chunks: readonly Uint8Array[], bytesTotal: number): Uint8Array {
  const bytes = new Uint8Array(bytesTotal);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}
