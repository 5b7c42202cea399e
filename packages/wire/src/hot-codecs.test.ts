import { InvariantError, isSluiceError, type Message } from '@sluice/base';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Codec } from './codec.ts';
import { fieldsOf, inChunks, valueOf, varint, writtenMessage } from './hot-codecs.testing.ts';
import { methods } from './methods.ts';
import { methodCodec } from './proto-codec.ts';

const { produce, fetch } = methods.broker;
const { replicate } = methods.replication;

const hot = [
  ['sluice.v1.ProduceRequest', produce, 'request'],
  ['sluice.v1.ProduceResponse', produce, 'response'],
  ['sluice.v1.FetchRequest', fetch, 'request'],
  ['sluice.v1.FetchResponse', fetch, 'response'],
  ['sluice.peer.v1.ReplicateRequest', replicate, 'request'],
  ['sluice.peer.v1.ReplicateResponse', replicate, 'response'],
] as const;

const cases = hot.map(([name, method, direction]) => ({
  name,
  fields: fieldsOf(name),
  byHand: method[direction] as Codec<object>,
  reference: methodCodec<object>(method.path, direction),
}));

/** proto3 leaves zero values out; protobufjs writes those that it is given. Items of lists stay. */
function withoutZeros(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return value;
  if (Array.isArray(value)) return value.map(withoutZeros);
  const isZero = (field: unknown): boolean =>
    field === 0 || field === '' || field === false || (field instanceof Uint8Array && field.length === 0);
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, field]) => !isZero(field))
      .map(([name, field]) => [name, withoutZeros(field)]),
  );
}

/** Bytes by content, so that a Buffer equals any other view. */
const plain = (value: unknown): unknown =>
  JSON.parse(
    JSON.stringify(value, (_, field: unknown) => {
      const isJsonBuffer = typeof field === 'object' && field !== null && 'type' in field && 'data' in field;
      return isJsonBuffer ? Buffer.from(field.data as number[]).toString('hex') : hexOf(field);
    }),
  );

const hexOf = (value: unknown): unknown => (value instanceof Uint8Array ? Buffer.from(value).toString('hex') : value);

const outcome = (codec: Codec<object>, message: Message): string => {
  try {
    codec.decode(message);
    return 'decoded';
  } catch (thrown) {
    return isSluiceError(thrown) ? thrown.code : `escaped: ${String(thrown)}`;
  }
};

describe.each(cases)('$name', ({ fields, byHand, reference }) => {
  test('is written as proto-loader writes it, zero values left out', () => {
    fc.assert(
      fc.property(valueOf(fields), (value) => {
        const expected = Buffer.concat(reference.encode(withoutZeros(value) as object));
        expect(Buffer.concat(byHand.encode(value)).toString('hex')).toBe(expected.toString('hex'));
      }),
      { numRuns: 300 },
    );
  });

  test('is read as proto-loader reads it, however it is written and cut, and sub-messages are merged', () => {
    fc.assert(
      fc.property(writtenMessage(fields), fc.array(fc.nat(), { maxLength: 12 }), ({ bytes, merged }, cuts) => {
        const expected = plain(reference.decode([merged]));
        expect(plain(byHand.decode([bytes]))).toEqual(expected);
        expect(plain(byHand.decode(inChunks(bytes, cuts)))).toEqual(expected);
        expect(plain(byHand.decode([...bytes].map((byte) => Uint8Array.of(byte))))).toEqual(expected);
      }),
      { numRuns: 300 },
    );
  });

  test('damaged, it is read or refused as INVALID_REQUEST', () => {
    fc.assert(
      fc.property(writtenMessage(fields), fc.array(fc.nat(), { maxLength: 4 }), fc.nat(), ({ bytes }, cuts, at) => {
        fc.pre(bytes.length > 0);
        const flipped = Buffer.from(bytes);
        flipped[at % bytes.length] = (flipped[at % bytes.length] ?? 0) ^ (1 << (at % 8));
        expect(['decoded', 'INVALID_REQUEST']).toContain(outcome(byHand, inChunks(flipped, cuts)));
        const cut = bytes.subarray(0, at % bytes.length);
        expect(['decoded', 'INVALID_REQUEST']).toContain(outcome(byHand, inChunks(cut, cuts)));
      }),
      { numRuns: 300 },
    );
  });

  test('any bytes are read or refused as INVALID_REQUEST', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        expect(['decoded', 'INVALID_REQUEST']).toContain(outcome(byHand, [bytes]));
      }),
      { numRuns: 1_000 },
    );
  });

  test('malformed in a known way, it is refused with a sentence', () => {
    const last = Math.max(...fields.map((field) => field.number));
    const group = (depth: number): Buffer => Buffer.alloc(depth, 0x7b);
    const malformed: [why: string, bytes: Buffer][] = [
      ['cut off', Buffer.from([0x7d, 1, 2, 3])],
      ['cut off', Buffer.from([0x78, 0x80])],
      ['beyond the end', Buffer.from([0x7a, 5, 1])],
      ['beyond the end', Buffer.concat([Buffer.from([0x7a]), varint(2n ** 64n - 1n)])],
      ['beyond the end', Buffer.concat([Buffer.from([0x12]), varint(2 ** 40)])],
      ['wire type 6', Buffer.from([0x7e])],
      ['wire type 7', Buffer.from([0x7f])],
      ['did not begin', Buffer.from([0x7c])],
      ['did not begin', Buffer.from([0x7b, 0x74])],
      ['does not end', Buffer.from([0x7b])],
      ['groups are nested', group(101)],
      ['groups are nested', group(2_000_000)],
      ['number 0', Buffer.from([0x02, 0])],
      ['number 0', Buffer.from([0x80, 0x00, 0])],
      ['beyond 2\\^29', varint(2 ** 32 + 8)],
      ['longer than 64 bits', Buffer.concat([Buffer.from([0x78]), Buffer.alloc(10, 0xff), Buffer.from([1])])],
      ['longer than 64 bits', Buffer.concat([Buffer.from([0x78]), Buffer.alloc(9, 0xff), Buffer.from([2])])],
      ['has the wire type 5', Buffer.concat([varint(last * 8 + 5), Buffer.alloc(4)])],
    ];
    for (const [why, bytes] of malformed) {
      for (const message of [[bytes], inChunks(bytes, [1, 2, 3])]) {
        expect(() => byHand.decode(message), `${why}: ${bytes.toString('hex').slice(0, 40)}`).toThrow(
          expect.objectContaining({
            code: 'INVALID_REQUEST',
            definite: true,
            message: expect.stringMatching(new RegExp(`is not what its .proto file says: .*${why}`)) as string,
          }),
        );
      }
    }
  });

  test('a sub-message, or a packed list, that ends within a field is refused', () => {
    for (const field of fields) {
      if (field.message === undefined && !(field.repeated && field.type === 'TYPE_UINT32')) continue;
      // Its one byte begins a varint that ends outside.
      const bytes = Buffer.concat([varint(field.number * 8 + 2), Buffer.from([1, 0x88, 0x01, 0x00])]);
      expect(outcome(byHand, [bytes])).toBe('INVALID_REQUEST');
    }
  });
});

describe('integers', () => {
  const credit = (creditBytes: number | bigint): Message => [Buffer.concat([Buffer.from([0x18]), varint(creditBytes)])];

  test('of 64 bits pass up to 2^53 − 1', () => {
    expect(produce.response.decode(credit(Number.MAX_SAFE_INTEGER)).creditBytes).toBe(Number.MAX_SAFE_INTEGER);
    for (const beyond of [2n ** 53n, 2n ** 56n, 2n ** 64n - 1n]) {
      expect(() => produce.response.decode(credit(beyond))).toThrow(/largest allowed is 2\^53/);
    }
  });

  test('of 32 bits lose what does not fit, as protobuf says', () => {
    const stop = (value: bigint): Message => [Buffer.concat([Buffer.from([0x18]), varint(value)])];
    expect(fetch.request.decode(stop(2n ** 40n + 7n)).stop).toEqual([7]);
  });

  test('that a field cannot carry are never written', () => {
    const bad: (() => Message)[] = [
      ...[2 ** 53, 0.5, -1, Number.NaN, Infinity].map((value) => () => produce.response.encode({ creditBytes: value })),
      ...[2 ** 32, 0.5, -1, Number.NaN].map((value) => () => fetch.request.encode({ stop: [1, value] })),
      ...[2 ** 32, 1.5, -1].map((value) => () => replicate.request.encode({ acks: [{ slot: value }] })),
      ...[2 ** 31, -(2 ** 31) - 1, 0.5].map((value) => () => fetch.request.encode({ start: [{ leaderEpoch: value }] })),
    ];
    for (const encode of bad) expect(encode).toThrow(InvariantError);
  });
});

describe('bytes are not copied', () => {
  const large = new Uint8Array(4_096).fill(7);

  test('a large batch is a chunk of the message, the rest is pieces of one allocation', () => {
    const chunks = produce.request.encode({
      batches: [
        { requestId: 1, batch: large },
        { requestId: 2, batch: large },
      ],
    });
    expect(chunks.map((chunk) => chunk.length)).toEqual([8, 4_096, 8, 4_096]);
    expect([chunks[1], chunks[3]]).toEqual([large, large]);
    expect(chunks[1]).toBe(large);
    expect(chunks[3]).toBe(large);
    expect(chunks[0]?.buffer).toBe(chunks[2]?.buffer);
    const run = fetch.response.encode({ runs: [{ batches: [large] }] });
    expect(run[1]).toBe(large);
    const push = replicate.response.encode({ pushes: [{ batches: [large] }] });
    expect(push[1]).toBe(large);
  });

  test('small batches make one piece', () => {
    const small = new Uint8Array(100);
    expect(produce.request.encode({ batches: [{ batch: small }, { batch: small }] })).toHaveLength(1);
  });

  test('a batch in one chunk is a view of it; one across chunks is gathered once, into a buffer of its size', () => {
    const [head, body] = produce.request.encode({ batches: [{ requestId: 1, batch: large }] });
    const decode = (...message: Uint8Array[]): Uint8Array | undefined =>
      produce.request.decode(message).batches[0]?.batch;
    const view = decode(head!, body!);
    expect(view?.buffer).toBe(large.buffer);
    const gathered = decode(head!, body!.subarray(0, 1_000), body!.subarray(1_000));
    expect(gathered).toHaveLength(4_096);
    expect(gathered?.buffer.byteLength).toBe(4_096);
    expect(Buffer.compare(gathered!, large)).toBe(0);
  });
});
