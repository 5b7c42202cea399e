/**
 * Sees the votes that leave a process, also those that the network then loses: what was said binds whoever said it (P2).
 * Reads them where they are sent, as bytes, so that the product needs no window for it.
 */
import type { Message, Transport } from '@sluice/base';
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

/** The header of a Raft message is JSON. */
const voteReply = /\{[^{}]*"kind":"vote-reply"[^{}]*\}/g;

/** Terms of the votes granted, without those before a campaign. */
function votesIn(message: Message): readonly number[] {
  const terms: number[] = [];
  for (const chunk of message) {
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    if (!bytes.includes('"vote-reply"')) continue;
    for (const [text] of bytes.toString('latin1').matchAll(voteReply)) {
      const { pre, granted, term } = JSON.parse(text) as { pre: boolean; granted: boolean; term: number };
      if (granted && !pre) terms.push(term);
    }
  }
  return terms;
}
