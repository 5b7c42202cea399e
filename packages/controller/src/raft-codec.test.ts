import { isSluiceError, logIndex, term } from '@sluice/base';
import { memberId } from '@sluice/raft';
import type { Entry, RaftMessage } from '@sluice/raft';
import fc from 'fast-check';
import { expect, test } from 'vitest';
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

test('a field that is absent, of another type or below zero is refused by name', () => {
  fc.assert(
    fc.property(
      message,
      fc.constantFrom<unknown>(undefined, -1, 1.5, 'x', null, {}, 2 ** 53),
      fc.nat(),
      (sent, odd, at) => {
        const names = Object.keys(sent).filter((name) => name !== 'kind');
        const name = names[at % names.length]!;
        const header = { ...sent, entries: [], chunk: 0, [name]: odd };
        expect(readOrRefused(bytesOf(header))).toBe('refused');
      },
    ),
  );
  expect(readOrRefused(bytesOf({ kind: 'toString', term: 1 }))).toBe('refused');
  expect(readOrRefused(bytesOf([]))).toBe('refused');
});

function bytesOf(header: unknown): Uint8Array {
  const text = new TextEncoder().encode(JSON.stringify(header));
  const bytes = new Uint8Array(5 + text.length);
  bytes[0] = 1;
  new DataView(bytes.buffer).setUint32(1, text.length);
  bytes.set(text, 5);
  return bytes;
}
