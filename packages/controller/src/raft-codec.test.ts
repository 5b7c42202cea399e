import { isSluiceError, logIndex, term } from '@sluice/base';
import { defaultRaftConfig, entriesMax, memberId } from '@sluice/raft';
import type { Entry, RaftMessage } from '@sluice/raft';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { emptyAppend } from './empty-append.testing.ts';
import { decodeRaftMessage, encodeRaftMessage } from './raft-codec.ts';

const position = fc.oneof(fc.nat(10), fc.maxSafeInteger().map(Math.abs));
const anIndex = position.map(logIndex);
const aTerm = position.map(term);
const session = fc.record({ term: aTerm, configIndex: anIndex, attempt: position });
const entry: fc.Arbitrary<Entry> = fc.record({
  index: anIndex,
  term: aTerm,
  kind: fc.constantFrom<Entry['kind']>('no-op', 'command', 'membership'),
  payload: fc.uint8Array({ maxLength: 40 }),
});
const voter = fc.record({ id: fc.string({ minLength: 1, maxLength: 128 }).map(memberId), address: fc.string() });
const message: fc.Arbitrary<RaftMessage> = fc.oneof(
  fc.record({
    kind: fc.constant('vote-request' as const),
    pre: fc.boolean(),
    transfer: fc.boolean(),
    term: aTerm,
    lastIndex: anIndex,
    lastTerm: aTerm,
  }),
  fc.record({ kind: fc.constant('vote-reply' as const), pre: fc.boolean(), term: aTerm, granted: fc.boolean() }),
  fc.record({
    kind: fc.constant('append' as const),
    term: aTerm,
    session,
    prevIndex: anIndex,
    prevTerm: aTerm,
    entries: fc.array(entry, { maxLength: 4 }),
    commitIndex: anIndex,
  }),
  fc.record({ kind: fc.constant('append-accepted' as const), term: aTerm, session, matchIndex: anIndex }),
  fc.record({
    kind: fc.constant('append-rejected' as const),
    term: aTerm,
    session,
    prevIndex: anIndex,
    hintIndex: anIndex,
    hintTerm: aTerm,
    lastIndex: anIndex,
  }),
  fc.record({ kind: fc.constant('heartbeat' as const), term: aTerm, session, commitIndex: anIndex, round: position }),
  fc.record({
    kind: fc.constant('heartbeat-reply' as const),
    term: aTerm,
    session,
    matchedIndex: anIndex,
    round: position,
  }),
  fc.record({ kind: fc.constant('time-out-now' as const), term: aTerm }),
  fc.record({
    kind: fc.constant('snapshot-chunk' as const),
    term: aTerm,
    session,
    index: anIndex,
    lastTerm: aTerm,
    membership: fc.record({ index: anIndex, voters: fc.array(voter, { maxLength: 3 }) }),
    bytesTotal: position,
    checksum: position,
    offset: position,
    chunk: fc.uint8Array({ maxLength: 40 }),
    chunkChecksum: position,
  }),
  fc.record({
    kind: fc.constant('snapshot-progress' as const),
    term: aTerm,
    session,
    index: anIndex,
    receivedBytes: position,
  }),
  fc.record({ kind: fc.constant('observe' as const), term: aTerm, lastIndex: anIndex, lastTerm: aTerm }),
);

/** A message that encodes again, or a typed error; anything else throws. */
function readOrRefused(bytes: Uint8Array): 'read' | 'refused' {
  try {
    encodeRaftMessage(decodeRaftMessage(bytes));
    return 'read';
  } catch (error) {
    if (isSluiceError(error) && ['INVALID_REQUEST', 'UNSUPPORTED_VERSION'].includes(error.code)) return 'refused';
    throw error;
  }
}

test('every message comes back as it went', () => {
  fc.assert(
    fc.property(message, (sent) => {
      expect(decodeRaftMessage(encodeRaftMessage(sent))).toEqual(sent);
    }),
  );
});

test('payloads are copies: the message that carried them may be used again', () => {
  const payload = Uint8Array.of(1, 2, 3);
  const session1 = { term: term(1), configIndex: logIndex(0), attempt: 0 };
  const bytes = encodeRaftMessage({
    kind: 'append',
    term: term(1),
    session: session1,
    prevIndex: logIndex(0),
    prevTerm: term(0),
    entries: [{ index: logIndex(1), term: term(1), kind: 'command', payload }],
    commitIndex: logIndex(0),
  });
  const decoded = decodeRaftMessage(bytes);
  bytes.fill(0);
  expect(decoded.kind === 'append' && decoded.entries[0]?.payload).toEqual(payload);
});

test('no truncation is a message, whole or in part', () => {
  fc.assert(
    fc.property(message, (sent) => {
      const bytes = encodeRaftMessage(sent);
      for (let end = 0; end < bytes.length; end += 1) expect(readOrRefused(bytes.subarray(0, end))).toBe('refused');
    }),
    { numRuns: 30 },
  );
});

test('every flipped bit gives a typed error or a whole message', () => {
  fc.assert(
    fc.property(message, (sent) => {
      const bytes = encodeRaftMessage(sent);
      for (let bit = 0; bit < bytes.length * 8; bit += 1) {
        const flipped = bytes.slice();
        flipped[bit >> 3]! ^= 1 << (bit & 7);
        expect(['read', 'refused']).toContain(readOrRefused(flipped));
      }
    }),
    { numRuns: 20 },
  );
});

test('what follows the end of a message makes it none', () => {
  fc.assert(
    fc.property(message, fc.uint8Array({ minLength: 1, maxLength: 4 }), (sent, more) => {
      expect(readOrRefused(Uint8Array.of(...encodeRaftMessage(sent), ...more))).toBe('refused');
    }),
  );
});

const timeOutNow = (...field: readonly number[]): Uint8Array =>
  Uint8Array.of(...encodeRaftMessage({ kind: 'time-out-now', term: term(1) }).subarray(0, 2), ...field);
const voteReply = (...fields: readonly number[]): Uint8Array =>
  Uint8Array.of(
    ...encodeRaftMessage({ kind: 'vote-reply', term: term(1), pre: true, granted: true }).subarray(0, 2),
    ...fields,
  );

test.each([
  ['as it should be', timeOutNow(2), 'read'],
  ['a position below zero', timeOutNow(1), 'refused'],
  ['a position in a longer form', timeOutNow(0x82, 0), 'refused'],
  ['a position beyond 2^53', timeOutNow(...Array.from({ length: 9 }, () => 0xff), 1), 'refused'],
  ['flags as they should be', voteReply(2, 1, 0), 'read'],
  ['a flag that is neither', voteReply(2, 2, 0), 'refused'],
  ['a kind that nobody knows', Uint8Array.of(2, 200, 2), 'refused'],
  ['another format', Uint8Array.of(1, 7, 2), 'refused'],
  ['nothing', Uint8Array.of(), 'refused'],
])('%s', (_what, bytes, outcome) => {
  expect(readOrRefused(bytes)).toBe(outcome);
});

test('an append of as many empty entries as anybody sends is read, one of more is refused', () => {
  const most = entriesMax(defaultRaftConfig.appendBytesMax);
  const append = (count: number): Uint8Array => encodeRaftMessage(emptyAppend(count));
  expect([readOrRefused(append(most)), readOrRefused(append(most + 1))]).toEqual(['read', 'refused']);
});

test('a count beyond what is there costs nothing', () => {
  const append = encodeRaftMessage({
    kind: 'append',
    term: term(1),
    session: { term: term(1), configIndex: logIndex(0), attempt: 0 },
    prevIndex: logIndex(0),
    prevTerm: term(0),
    entries: [],
    commitIndex: logIndex(0),
  });
  // In place of the count of no entries: 2^40 of them.
  const claims = Uint8Array.of(...append.subarray(0, -1), 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01);
  expect(readOrRefused(claims)).toBe('refused');
});
