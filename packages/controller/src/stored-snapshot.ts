/**
 * Snapshots as the Raft store keeps them. Beside the bytes of the state machine lies the membership: the index of its
 * entry (8 bytes, big-endian), then the voters as an entry has them.
 */
import { ByteReader, ByteWriter, invariant, logIndex } from '@sluice/base';
import { decodeMembership, encodeMembership } from '@sluice/raft';
import type { Snapshot } from '@sluice/raft';
import type { RaftSnapshot } from '@sluice/storage';

export function storedSnapshot({ index, term, membership, bytes }: Snapshot): RaftSnapshot {
  const meta = new ByteWriter();
  meta.u64(membership.index);
  meta.bytes(encodeMembership(membership.voters));
  return { index, term, meta: meta.written(), bytes };
}

export function loadedSnapshot({ index, term, meta, bytes }: RaftSnapshot): Snapshot {
  const reader = new ByteReader(meta);
  const membershipIndex = reader.u64();
  const voters = decodeMembership(reader.bytes(reader.left));
  invariant(!reader.failed && membershipIndex <= index, 'a stored snapshot has no membership', { index });
  return { index, term, membership: { index: logIndex(membershipIndex), voters }, bytes };
}
