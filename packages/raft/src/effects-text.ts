/** Effects as text, one line each, for transcripts and for the account of a failed random run. */
import { utf8Decode } from '@sluice/base';
import type { MembershipChangeOutcome, Proposal, RaftEffects } from './effects.ts';
import { decodeMembership } from './membership.ts';
import type { Entry, Membership, RaftMessage, ReplicationSession, Snapshot, Voter } from './messages.ts';
import type { RaftTrace } from './trace.ts';

export function entryText(entry: Entry): string {
  return `${entry.index}/${entry.term}${payloadText(entry)}`;
}

function payloadText({ kind, payload }: Entry): string {
  if (kind === 'no-op') return '';
  if (kind === 'membership') return `:voters=${votersText(decodeMembership(payload))}`;
  return `:${utf8Decode(payload) ?? '?'}`;
}

const entriesText = (entries: readonly Entry[]): string => `[${entries.map(entryText).join(' ')}]`;

const votersText = (voters: readonly Voter[]): string => voters.map(({ id }) => id).join(',');

const sessionText = ({ term, configIndex, attempt }: ReplicationSession): string =>
  `session=${term}.${configIndex}.${attempt}`;

const membershipText = ({ index, voters }: Membership): string => `membership=${index}:${votersText(voters)}`;

const snapshotText = ({ index, term, membership, bytes }: Snapshot): string =>
  `${index}/${term} ${membershipText(membership)} "${utf8Decode(bytes) ?? '?'}"`;

export function messageText(message: RaftMessage): string {
  const head = `${message.kind} term=${message.term}`;
  switch (message.kind) {
    case 'vote-request':
      return `${message.pre ? 'pre-' : ''}${message.transfer ? 'transfer-' : ''}${head} last=${message.lastIndex}/${message.lastTerm}`;
    case 'vote-reply':
      return `${message.pre ? 'pre-' : ''}${head} ${message.granted ? 'granted' : 'refused'}`;
    case 'append':
      return (
        `${head} ${sessionText(message.session)} prev=${message.prevIndex}/${message.prevTerm} ` +
        `entries=${entriesText(message.entries)} commit=${message.commitIndex}`
      );
    case 'append-accepted':
      return `${head} ${sessionText(message.session)} match=${message.matchIndex}`;
    case 'append-rejected':
      return (
        `${head} ${sessionText(message.session)} prev=${message.prevIndex} ` +
        `hint=${message.hintIndex}/${message.hintTerm} last=${message.lastIndex}`
      );
    case 'heartbeat':
      return `${head} ${sessionText(message.session)} commit=${message.commitIndex} round=${message.round}`;
    case 'heartbeat-reply':
      return `${head} ${sessionText(message.session)} matched=${message.matchedIndex} round=${message.round}`;
    case 'time-out-now':
    case 'leader-moved':
      return head;
    case 'snapshot-chunk':
      return (
        `${head} ${sessionText(message.session)} snapshot=${message.index}/${message.lastTerm} ` +
        `${membershipText(message.membership)} bytes=${message.offset}+${message.chunk.length} of ${message.bytesTotal}`
      );
    case 'snapshot-progress':
      return `${head} ${sessionText(message.session)} snapshot=${message.index} received=${message.receivedBytes}`;
    case 'observe':
      return `${head} last=${message.lastIndex}/${message.lastTerm}`;
  }
}

function proposalText(proposal: Proposal): string {
  switch (proposal.outcome) {
    case 'accepted':
      return `accepted ${proposal.firstIndex}..${proposal.lastIndex} term=${proposal.term}`;
    case 'not-leader':
      return `not-leader leader=${proposal.leader ?? 'none'}`;
    case 'transferring':
      return 'transferring';
    case 'tail-full':
      return `tail-full uncommittedBytes=${proposal.uncommittedBytes}`;
  }
}

function membershipChangeText(change: MembershipChangeOutcome): string {
  if (change.outcome === 'accepted') return `accepted index=${change.index} term=${change.term}`;
  const { reason, leader, matchIndex, lastIndex } = change;
  const details = Object.entries({ leader, match: matchIndex, last: lastIndex }).filter(
    ([, value]) => value !== undefined,
  );
  return ['refused', reason, ...details.map(([name, value]) => `${name}=${value}`)].join(' ');
}

function traceText({ kind, ...fields }: RaftTrace): string {
  return [kind, ...Object.entries(fields).map(([name, value]) => `${name}=${String(value)}`)].join(' ');
}

/** In the order of the contract: what is written, what waits for it, what goes at once. */
export function effectsText(effects: RaftEffects): string[] {
  const lines = effects.trace.map((event) => `trace ${traceText(event)}`);
  const { persist, proposal, leadership } = effects;
  if (leadership !== undefined) {
    lines.push(`leadership ${leadership.role} term=${leadership.term} leader=${leadership.leader ?? 'none'}`);
  }
  if (proposal !== undefined) lines.push(`proposal ${proposalText(proposal)}`);
  const { membershipChange, transfer, membership } = effects;
  if (membershipChange !== undefined) lines.push(`membership change ${membershipChangeText(membershipChange)}`);
  if (transfer !== undefined)
    lines.push(`transfer ${transfer.outcome === 'begun' ? 'begun' : `refused ${transfer.reason}`}`);
  if (membership !== undefined) {
    lines.push(`membership index=${membership.index} voters=${votersText(membership.voters)}`);
  }
  if (persist !== undefined) {
    const parts = [`persist #${persist.number}`];
    if (persist.hardState !== undefined) {
      parts.push(`term=${persist.hardState.term} vote=${persist.hardState.votedFor ?? 'none'}`);
    }
    if (persist.snapshot !== undefined) {
      const { index, term, keepFrom, replacesLog } = persist.snapshot;
      parts.push(`snapshot=${index}/${term} ${replacesLog ? 'replacesLog' : `keepFrom=${keepFrom}`}`);
    }
    if (persist.truncateFrom !== undefined) parts.push(`truncateFrom=${persist.truncateFrom}`);
    if (persist.entries.length > 0) parts.push(`entries=${entriesText(persist.entries)}`);
    lines.push(parts.join(' '));
  }
  for (const held of effects.sendAfterPersist) {
    lines.push(`send after #${held.afterPersist} to ${held.to}: ${messageText(held.message)}`);
  }
  for (const { to, message } of effects.sendNow) lines.push(`send now to ${to}: ${messageText(message)}`);
  for (const read of effects.reads) {
    lines.push(`read ${read.id} ${read.outcome === 'confirmed' ? `confirmed index=${read.index}` : read.outcome}`);
  }
  if (effects.saveSnapshot !== undefined) lines.push(`saveSnapshot ${snapshotText(effects.saveSnapshot)}`);
  if (effects.restore !== undefined) lines.push(`restore ${snapshotText(effects.restore)}`);
  if (effects.committed.length > 0) lines.push(`committed ${entriesText(effects.committed)}`);
  return lines;
}
