import { expect, test } from 'vitest';
import { DrainWaits } from './drain-waits.ts';

/** A stream that holds what the test says, and calls back when the test says. */
class HeldStream {
  readonly ran: string[] = [];
  readonly #deferred: (() => void)[] = [];
  readonly waits: DrainWaits;
  bufferedBytes = 100;

  constructor() {
    this.waits = new DrainWaits({
      bufferedBytes: () => this.bufferedBytes,
      defer: (run) => this.#deferred.push(run),
    });
  }

  named(name: string): () => void {
    return () => this.ran.push(name);
  }

  holds(bytes: number): void {
    this.bufferedBytes = bytes;
    this.waits.check();
  }

  turn(): void {
    for (const run of this.#deferred.splice(0)) run();
  }
}

test('each runs once, below its own mark, and never from inside a call (D1, D2)', () => {
  const it = new HeldStream();
  it.waits.wait(50, it.named('fifty'));
  it.waits.wait(100, it.named('hundred'));
  it.waits.wait(101, it.named('at once'));
  expect(it.ran).toEqual([]);
  it.turn();
  expect(it.ran).toEqual(['at once']);
  it.holds(50);
  expect(it.ran).toEqual(['at once']);
  it.turn();
  expect(it.ran).toEqual(['at once', 'hundred']);
  it.holds(49);
  it.holds(10);
  it.turn();
  it.holds(0);
  it.turn();
  expect(it.ran).toEqual(['at once', 'hundred', 'fifty']);
});

test('one that waits already waits once, at the higher of its marks', () => {
  const it = new HeldStream();
  const run = it.named('one');
  for (const mark of [60, 20]) it.waits.wait(mark, run);
  it.holds(59);
  it.turn();
  it.holds(0);
  it.turn();
  expect(it.ran).toEqual(['one']);
});

test('one that sends more leaves the others waiting, and may wait again', () => {
  const it = new HeldStream();
  it.waits.wait(50, () => {
    it.ran.push('sender');
    it.bufferedBytes = 90;
    it.waits.wait(95, it.named('again'));
  });
  it.waits.wait(50, it.named('other'));
  it.holds(0);
  it.turn();
  expect(it.ran).toEqual(['sender']);
  it.turn();
  expect(it.ran).toEqual(['sender', 'again']);
  it.holds(0);
  it.turn();
  expect(it.ran).toEqual(['sender', 'again', 'other']);
});

test('a stream that closes forgets them, also those whose turn it was (D1)', () => {
  const it = new HeldStream();
  it.waits.wait(50, it.named('due'));
  it.waits.wait(10, it.named('waiting'));
  it.holds(20);
  it.waits.close();
  it.holds(0);
  it.waits.wait(50, it.named('late'));
  it.turn();
  expect(it.ran).toEqual([]);
});
