/** An append of entries without payloads: the most in memory that its bytes can bring. */
import { logIndex, term } from '@sluice/base';
import type { RaftMessage } from '@sluice/raft';

export const emptyAppend = (count: number): RaftMessage => ({
  kind: 'append',
  term: term(1),
  session: { term: term(1), configIndex: logIndex(0), attempt: 0 },
  prevIndex: logIndex(0),
  prevTerm: term(0),
  entries: Array.from({ length: count }, (_, at) => ({
    index: logIndex(at + 1),
    term: term(1),
    kind: 'no-op',
    payload: new Uint8Array(),
  })),
  commitIndex: logIndex(0),
});
