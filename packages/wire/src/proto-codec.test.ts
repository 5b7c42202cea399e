import { InvariantError, isSluiceError } from '@sluice/base';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { allMethods, methods } from './methods.ts';
import { encodedOnce } from './shared-messages.ts';

const { request, response } = methods.broker.produce;
const maxPosition = Number.MAX_SAFE_INTEGER;

test('absent fields have their zero values, absent messages are null, lists are empty', () => {
  expect(request.decode([])).toEqual({ open: null, batches: [] });
  expect(methods.admin.createTopic.request.decode([])).toEqual({ name: '', partitions: 0, replication: 0, config: {} });
  expect(response.decode(response.encode({ results: [{ requestId: 7 }] }))).toEqual({
    opened: null,
    results: [{ requestId: 7, baseOffset: 0, error: null }],
    creditBytes: 0,
  });
});

test('bytes come back as views into the message, from chunks split anywhere', () => {
  const batch = new Uint8Array([1, 2, 3, 4, 5]);
  const whole = Buffer.concat(request.encode({ batches: [{ requestId: 1, topicId: 'x', partition: 2, batch }] }));
  for (let at = 0; at <= whole.length; at += 1) {
    const decoded = request.decode([whole.subarray(0, at), whole.subarray(at)]);
    expect([...(decoded.batches[0]?.batch ?? [])]).toEqual([...batch]);
  }
  expect(request.decode([whole]).batches[0]?.batch.buffer).toBe(whole.buffer);
});

test('positions pass up to 2^53 − 1, and no further', () => {
  const credit = (creditBytes: number): number => response.decode(response.encode({ creditBytes })).creditBytes;
  expect(credit(maxPosition)).toBe(maxPosition);
  for (const bad of [2 ** 53, 0.5, Number.NaN, Infinity]) {
    expect(() => response.encode({ creditBytes: bad })).toThrow(InvariantError);
  }
  // Field 3, varint: 2^53, and all 64 bits set.
  const beyond = [
    Buffer.from([0x18, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10]),
    Buffer.from([0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]),
  ];
  for (const bytes of beyond) {
    expect(() => response.decode([bytes])).toThrow(
      expect.objectContaining({ code: 'INVALID_REQUEST', definite: true }),
    );
  }
});

test('negative epochs survive', () => {
  const { request: fetch } = methods.broker.fetch;
  expect(fetch.decode(fetch.encode({ start: [{ leaderEpoch: -1 }] })).start[0]?.leaderEpoch).toBe(-1);
});

describe('bytes from anywhere', () => {
  const decodeOrCode = (bytes: Uint8Array, at: number): string => {
    const method = allMethods()[at % allMethods().length];
    try {
      method?.request.decode([bytes]);
      return 'decoded';
    } catch (thrown) {
      return isSluiceError(thrown) ? thrown.code : `escaped: ${String(thrown)}`;
    }
  };

  test('decode or are refused as INVALID_REQUEST, for every method', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(100), (bytes, at) => {
        expect(['decoded', 'INVALID_REQUEST']).toContain(decodeOrCode(bytes, at));
      }),
      { numRuns: 2_000 },
    );
  });

  test('a valid message, cut off or with one bit flipped, is never worse', () => {
    const whole = Buffer.concat(
      request.encode({
        open: { clientId: 'client', acks: 1 },
        batches: [{ requestId: 300, topicId: 'ab'.repeat(16), partition: 3, batch: new Uint8Array(40) }],
      }),
    );
    fc.assert(
      fc.property(fc.nat(whole.length - 1), fc.nat(7), (at, bit) => {
        const flipped = Buffer.from(whole);
        flipped[at] = (flipped[at] ?? 0) ^ (1 << bit);
        expect(['decoded', 'INVALID_REQUEST']).toContain(decodeOrCode(flipped, 0));
        expect(['decoded', 'INVALID_REQUEST']).toContain(decodeOrCode(whole.subarray(0, at), 0));
      }),
    );
  });
});

test('a value that goes to many is encoded once by its codec, any other each time', () => {
  const { response: update } = methods.admin.watchMetadata;
  const shared = encodedOnce({ metadataIndex: 7 });
  expect(update.encode(shared)).toBe(update.encode(shared));
  expect(update.decode(update.encode(shared)).metadataIndex).toBe(7);
  const own = { metadataIndex: 7 };
  expect(update.encode(own)).not.toBe(update.encode(own));
  // Of another message it is another encoding.
  const other = methods.controller.heartbeat.request;
  expect(other.decode(other.encode(shared)).metadataIndex).toBe(7);
  expect(update.decode(update.encode(shared)).metadataIndex).toBe(7);
});
