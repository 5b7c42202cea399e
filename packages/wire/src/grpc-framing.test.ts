import type { Message } from '@sluice/base';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { FrameWriter, MessageParser } from './grpc-framing.ts';
import { messageBytes } from './message-bytes.ts';

const bytesMax = 300_000;

interface Parsed {
  readonly messages: Message[];
  readonly flags: boolean[];
  readonly tooLarge: number[];
  readonly parser: MessageParser;
}

function parse(): Parsed {
  const messages: Message[] = [];
  const flags: boolean[] = [];
  const tooLarge: number[] = [];
  const parser = new MessageParser(bytesMax, {
    onMessage: (message, compressed) => {
      messages.push(message);
      flags.push(compressed);
    },
    onTooLarge: (bytes) => tooLarge.push(bytes),
  });
  return { messages, flags, tooLarge, parser };
}

const bytesOf = (length: number, seed: number): Uint8Array =>
  Uint8Array.from({ length }, (_, at) => (at * 31 + seed) & 255);

const framed = (messages: readonly Message[]): Uint8Array[] => {
  const writer = new FrameWriter();
  for (const message of messages) writer.add(message, messageBytes(message));
  return writer.take();
};

const chunk = fc.tuple(fc.oneof(fc.nat(40), fc.nat(3_000), fc.nat(70_000)), fc.nat(255));
const chunks = fc.array(chunk, { maxLength: 4 });
const manyMessages = fc
  .array(chunks, { maxLength: 12 })
  .map((all) => all.map((message) => message.map(([length, seed]) => bytesOf(length, seed))));
const cuts = fc.array(fc.oneof(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 16_384 })), { minLength: 1 });

test('what one side frames the other side reads, wherever the bytes are cut (F1, F2)', () => {
  fc.assert(
    fc.property(manyMessages, cuts, (messages, lengths) => {
      const whole = Buffer.concat(framed(messages));
      const { messages: read, flags, parser } = parse();
      for (let at = 0, turn = 0; at < whole.byteLength; turn += 1) {
        const end = Math.min(whole.byteLength, at + (lengths[turn % lengths.length] ?? 1));
        parser.push(whole.subarray(at, end));
        at = end;
      }
      expect(read.map((message) => Buffer.concat(message))).toEqual(messages.map((message) => Buffer.concat(message)));
      expect([flags.some(Boolean), parser.heldBytes, parser.isInside]).toEqual([false, 0, false]);
      for (const message of read) {
        const bytes = messageBytes(message);
        expect(message.length).toBeLessThanOrEqual(bytes / 512 + 2);
      }
    }),
    { numRuns: 60 },
  );
});

test('a message in single bytes is gathered, not kept as single bytes (F2)', () => {
  const { messages, parser } = parse();
  const body = bytesOf(50_000, 3);
  for (const byte of Buffer.concat(framed([[body]]))) parser.push(Uint8Array.of(byte));
  expect(messages.map((message) => message.length)).toEqual([4]);
  expect(Buffer.concat(messages[0] ?? []).equals(body)).toBe(true);
});

test('a message cut into large and tiny pieces in turn holds no more than it says twice over (F2)', () => {
  const { messages, parser } = parse();
  const body = bytesOf(102_500, 3);
  const whole = Buffer.concat(framed([[body]]));
  parser.push(whole.subarray(0, 5));
  for (let at = 5; at < whole.byteLength; at += 1_025) {
    parser.push(Uint8Array.from(whole.subarray(at, at + 1)));
    parser.push(Uint8Array.from(whole.subarray(at + 1, at + 1_025)));
  }
  const [message = []] = messages;
  expect(Buffer.concat(message).equals(body)).toBe(true);
  const stores = new Set(message.map(({ buffer }) => buffer));
  let held = 0;
  for (const { byteLength } of stores) held += byteLength;
  expect(held).toBeLessThanOrEqual(2 * body.byteLength);
});

test('a large piece is handed on as it came, and written as it is', () => {
  const body = bytesOf(100_000, 1);
  const buffers = framed([[body.subarray(0, 10), body]]);
  expect(buffers).toHaveLength(2);
  expect(buffers[1]).toBe(body);
  const { messages, parser } = parse();
  const piece = Buffer.concat([...buffers, Buffer.alloc(0)]);
  parser.push(piece);
  expect(messages[0]?.map(({ buffer }) => buffer)).toEqual([piece.buffer]);
});

test('small messages of one turn become one buffer', () => {
  expect(framed(Array.from({ length: 20 }, () => [bytesOf(10, 1), bytesOf(1_000, 2)]))).toHaveLength(1);
});

test('what is held is the body of the message that is not whole', () => {
  const { parser } = parse();
  const bytes = Buffer.concat(framed([[bytesOf(5_000, 1)]]));
  parser.push(bytes.subarray(0, 4));
  expect([parser.heldBytes, parser.isInside]).toEqual([0, true]);
  parser.push(bytes.subarray(4, 1_005));
  expect(parser.heldBytes).toBe(1_000);
  parser.push(bytes.subarray(1_005));
  expect([parser.heldBytes, parser.isInside]).toEqual([0, false]);
});

test.each([bytesMax + 1, 0x8000_0000, 0xffff_ffff])(
  'a prefix that says %i is refused, and nothing after it is read',
  (length) => {
    const { messages, tooLarge, parser } = parse();
    const prefix = Buffer.alloc(5);
    prefix.writeUInt32BE(length, 1);
    parser.push(Buffer.concat([...framed([[bytesOf(3, 1)]]), prefix, ...framed([[bytesOf(3, 1)]])]));
    parser.push(Buffer.alloc(100));
    expect([messages.length, tooLarge, parser.heldBytes]).toEqual([1, [length], 0]);
  },
);

test('the flag of the prefix is told', () => {
  const { flags, parser } = parse();
  parser.push(Uint8Array.of(1, 0, 0, 0, 1, 9, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0));
  expect(flags).toEqual([true, false, false]);
});
