/**
 * Sees the votes that leave a process, also those that the network then loses: what was said binds whoever said it (P2).
 * Reads them where they are sent, as bytes, so that the product needs no window for it.
 */
import { type Message, term, type Transport } from '@sluice/base';
import { decodeRaftMessage, encodeRaftMessage } from '@sluice/controller';
import { methods } from '@sluice/wire';
import { withRaftStreams } from './raft-streams.ts';

export interface GivenVote {
  /** Of the candidate. */
  readonly address: string;
  readonly term: number;
}

export const observingVotes = (transport: Transport, onVote: (vote: GivenVote) => void): Transport =>
  withRaftStreams(transport, (stream, address) => (message) => {
    for (const term of votesIn(message)) onVote({ address, term });
    stream.send(message);
  });

/** How every vote begins, and little else: the other messages are not decoded. */
const voteMark = Buffer.from(
  encodeRaftMessage({ kind: 'vote-reply', term: term(1), pre: false, granted: true }).subarray(0, 2),
);

/** Terms of the votes granted, without those before a campaign. */
function votesIn(message: Message): readonly number[] {
  const mayHold = message.some((chunk) =>
    Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength).includes(voteMark),
  );
  if (!mayHold) return [];
  return methods.raft.exchange.request.decode(message).messages.flatMap((bytes) => {
    const sent = decodeRaftMessage(bytes);
    return sent.kind === 'vote-reply' && sent.granted && !sent.pre ? [sent.term] : [];
  });
}
