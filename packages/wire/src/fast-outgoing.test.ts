import type { Http2Stream } from 'node:http2';
import { Writable } from 'node:stream';
import { expect, test } from 'vitest';
import { FastOutgoing } from './fast-outgoing.ts';

/** Stands for HTTP/2, which takes what its peer's window lets through: here what the test says. */
class Held {
  readonly written: Buffer[] = [];
  readonly writes: number[] = [];
  ended = false;
  #pass: (() => void) | undefined;
  readonly stream: Http2Stream = new Writable({
    writev: (chunks, done) => {
      this.writes.push(chunks.length);
      for (const { chunk } of chunks) this.written.push(chunk as Buffer);
      this.#pass = done;
    },
    final: (done) => {
      this.ended = true;
      done();
    },
  }) as unknown as Http2Stream;

  get bytes(): number {
    return this.stream.writableLength;
  }

  async pass(): Promise<void> {
    const pass = this.#pass;
    this.#pass = undefined;
    pass?.();
    await new Promise(setImmediate);
  }
}

const mebibyte = 1_048_576;
const piece = (fill: number): Uint8Array => Buffer.alloc(mebibyte / 4, fill);

test('HTTP/2 holds a mebibyte and a message, the rest waits, and all of it goes in order (O2)', async () => {
  const held = new Held();
  const outgoing = new FastOutgoing();
  for (let at = 0; at < 20; at += 1) outgoing.push([piece(at)]);
  expect(outgoing.bufferedBytes).toBe(5 * mebibyte);
  outgoing.attach(held.stream);
  outgoing.end();
  for (let turn = 0; !held.ended; turn += 1) {
    await held.pass();
    expect(held.bytes).toBeLessThanOrEqual(mebibyte * 1.25 + 100);
    expect(turn).toBeLessThan(50);
  }
  const bodies = held.written.filter(({ byteLength }) => byteLength > 5);
  expect(bodies.map(([first]) => first)).toEqual(Array.from({ length: 20 }, (_, at) => at));
  expect(outgoing.bufferedBytes).toBe(0);
});

test('what waits is forgotten when the stream is closed', async () => {
  const held = new Held();
  const outgoing = new FastOutgoing();
  outgoing.attach(held.stream);
  for (let at = 0; at < 20; at += 1) outgoing.push([piece(at)]);
  await new Promise(setImmediate);
  outgoing.drop();
  expect(outgoing.bufferedBytes).toBe(0);
  for (let turn = 0; turn < 10; turn += 1) await held.pass();
  expect(held.written.filter(({ byteLength }) => byteLength > 5)).toHaveLength(4);
  outgoing.push([piece(0)]);
  expect([outgoing.closed, outgoing.bufferedBytes]).toEqual([true, 0]);
});

test('a stream that is cut ends behind what HTTP/2 may hold', async () => {
  const held = new Held();
  const outgoing = new FastOutgoing();
  outgoing.attach(held.stream);
  for (let at = 0; at < 20; at += 1) outgoing.push([piece(at)]);
  outgoing.cut();
  for (let turn = 0; turn < 10; turn += 1) await held.pass();
  expect(held.written.filter(({ byteLength }) => byteLength > 5)).toHaveLength(4);
  expect([held.ended, outgoing.bufferedBytes]).toEqual([true, 0]);
});

test('the messages of one turn are one write, and small ones one buffer (O1)', async () => {
  const held = new Held();
  const outgoing = new FastOutgoing();
  outgoing.attach(held.stream);
  for (let at = 0; at < 100; at += 1) outgoing.push([Buffer.alloc(100)]);
  await new Promise(setImmediate);
  await held.pass();
  for (let at = 0; at < 3; at += 1) outgoing.push([Buffer.alloc(100), Buffer.alloc(5_000)]);
  await new Promise(setImmediate);
  await held.pass();
  // Prefix and header, body, three times over.
  expect(held.writes).toEqual([1, 6]);
});
