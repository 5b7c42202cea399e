import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { ReceiveCredit } from './credits.ts';
import { CreditBudget, SendCredit } from './credits.ts';

const guaranteedBytes = 100;

test('a sender takes while any credit is left, and the last batch may overdraw', () => {
  const credit = new SendCredit();
  expect([credit.canSend, credit.take(1)]).toEqual([false, false]);
  credit.grant(10);
  expect([credit.take(4), credit.take(100), credit.availableBytes]).toEqual([true, true, -94]);
  expect([credit.take(1), credit.canSend]).toEqual([false, false]);
  credit.grant(95);
  expect(credit.canSend).toBe(true);
  expect(() => credit.grant(-1)).toThrow('a grant is a number of bytes');
});

describe('a sender that is behind in part', () => {
  const sender = (windowBytes: number): SendCredit => {
    const credit = new SendCredit();
    credit.grant(windowBytes);
    return credit;
  };

  test('has at most half of the window under way of that, and the rest for what is new', () => {
    const credit = sender(100);
    credit.takeBehind(40);
    expect(credit.canSendBehind).toBe(true);
    credit.takeBehind(20);
    expect([credit.canSendBehind, credit.canSend, credit.availableBytes]).toEqual([false, true, 40]);
    credit.take(40);
    expect([credit.canSendBehind, credit.canSend]).toEqual([false, false]);
  });

  test('what went first comes back first: what is behind counts until then', () => {
    const credit = sender(100);
    credit.take(30);
    credit.takeBehind(60);
    credit.grant(30);
    expect([credit.canSend, credit.canSendBehind]).toEqual([true, false]);
    credit.grant(5);
    expect(credit.canSendBehind).toBe(false);
    credit.grant(6);
    expect([credit.canSendBehind, credit.availableBytes]).toEqual([true, 51]);
    credit.grant(49);
    expect([credit.availableBytes, credit.windowBytes]).toEqual([100, 100]);
  });

  test('a window smaller than a batch slows it and never stops it', () => {
    const credit = sender(10);
    for (let round = 0; round < 3; round += 1) {
      expect(credit.canSendBehind).toBe(true);
      credit.takeBehind(1_000);
      expect(credit.canSendBehind).toBe(false);
      credit.grant(1_000);
    }
  });
});

describe('a receiver', () => {
  const one = (windowBytesMax: number, totalBytes = 1e6) => {
    const later: number[] = [];
    const budget = new CreditBudget({ totalBytes, guaranteedBytes });
    const credit = budget.open({ windowBytesMax, onGrant: (bytes) => later.push(bytes) });
    return { budget, credit, later };
  };

  test('refuses what was sent without credit, and not before', () => {
    const { credit } = one(100);
    credit.onReceived(60);
    credit.onReceived(500);
    expect(() => credit.onReceived(1)).toThrow(expect.objectContaining({ code: 'CREDIT_EXCEEDED' }));
  });

  test('grants in steps of a quarter window, or at once when asked', () => {
    const { credit } = one(100);
    credit.onReceived(50);
    expect(credit.release(10)).toBe(0);
    expect(credit.release(14)).toBe(0);
    expect(credit.release(1)).toBe(25);
    expect(credit.release(5)).toBe(0);
    expect(credit.flush()).toBe(5);
    expect(credit.flush()).toBe(0);
  });

  test('grants the bytes of a batch in parts at once, of one such batch at a time', () => {
    const { budget, credit } = one(100);
    expect(credit.onFirstPart(5_000)).toBe(5_000);
    expect([credit.grantedBytes, credit.heldBytes]).toEqual([100, 5_000]);
    // Its memory is charged all the same.
    expect(budget.chargedBytes).toBe(5_000);
    credit.onReceived(30);
    expect(credit.release(30)).toBe(30);
    expect(credit.onFirstPart(3_000)).toBe(0);
    expect(credit.grantedBytes).toBe(-2_900);
    expect(credit.release(5_000)).toBe(0);
    expect(credit.release(3_000)).toBe(3_000);
    expect([credit.grantedBytes, credit.heldBytes]).toEqual([100, 0]);
  });

  test('leaves the guaranteed window beside a batch in parts that the budget has no room for, and no more', () => {
    const { budget, credit, later } = one(200, 500);
    credit.onReceived(100);
    credit.release(100);
    expect(credit.grantedBytes).toBe(200);
    const other = budget.open({ windowBytesMax: 1_000, onGrant: () => undefined });
    other.onReceived(600);
    expect([credit.onFirstPart(400), credit.grantedBytes]).toEqual([300, 100]);
    expect([budget.waitingStreams, later]).toEqual([1, []]);
    // What comes beside it uses that window up, and it comes back.
    credit.onReceived(80);
    expect([credit.grantedBytes, credit.release(80), credit.grantedBytes]).toEqual([20, 80, 100]);
    other.close();
    expect([later, credit.grantedBytes]).toEqual([[100], 200]);
  });

  test('leaves the guaranteed window beside a batch in parts that is larger than the whole budget', () => {
    const { budget, credit } = one(100, 500);
    expect([credit.onFirstPart(8_000), credit.grantedBytes]).toEqual([8_000, 100]);
    expect([budget.chargedBytes, budget.waitingStreams]).toEqual([8_000, 0]);
    credit.release(8_000);
    expect([budget.chargedBytes, credit.grantedBytes]).toEqual([0, 100]);
  });

  test('grows to its largest window while it is used, and a batch over the window slows it only', () => {
    const { credit } = one(1_000);
    credit.onReceived(800);
    expect(credit.grantedBytes).toBe(-700);
    credit.release(800);
    expect([credit.windowBytes, credit.grantedBytes]).toEqual([900, 900]);
    credit.onReceived(900);
    credit.release(900);
    expect([credit.windowBytes, credit.grantedBytes]).toEqual([1_000, 1_000]);
  });

  test('has its guaranteed window and no more when the budget is used up, until others release', () => {
    const { budget, credit, later } = one(1_000, 500);
    const other = budget.open({ windowBytesMax: 1_000, onGrant: () => undefined });
    other.onReceived(900);
    expect(budget.chargedBytes).toBe(800);
    credit.onReceived(100);
    expect(credit.release(100)).toBe(100);
    expect([credit.grantedBytes, budget.waitingStreams]).toEqual([100, 1]);
    other.release(200);
    expect(later).toEqual([]);
    other.release(400);
    expect(later).toEqual([100]);
    other.close();
    expect([credit.grantedBytes, budget.waitingStreams, budget.chargedBytes]).toEqual([200, 0, 100]);
  });

  test('that is closed gives everything back and takes part no more', () => {
    const { budget, credit } = one(1_000);
    credit.onReceived(1_000);
    credit.close();
    credit.close();
    expect([budget.chargedBytes, credit.release(1), credit.flush()]).toEqual([0, 0, 0]);
    expect(() => credit.onReceived(5)).not.toThrow();
  });
});

/** Streams whose senders, receivers and budget are checked after every step. */
class World {
  readonly budget: CreditBudget;
  readonly streams: {
    sender: SendCredit;
    credit: ReceiveCredit;
    unreleased: number[];
    apart: number;
    open: boolean;
  }[] = [];
  readonly violations: string[] = [];
  overdrawn = 0;

  constructor(totalBytes: number, windows: readonly number[]) {
    this.budget = new CreditBudget({ totalBytes, guaranteedBytes });
    for (const windowBytesMax of windows) {
      const sender = new SendCredit();
      const credit = this.budget.open({ windowBytesMax, onGrant: (bytes) => sender.grant(bytes) });
      sender.grant(credit.initialBytes);
      this.streams.push({ sender, credit, unreleased: [], apart: 0, open: true });
    }
  }

  step(at: number, action: 'send' | 'send parts' | 'release' | 'flush' | 'close', bytes: number): void {
    const stream = this.streams[at % this.streams.length]!;
    if (!stream.open) return;
    if (action === 'send' && stream.sender.take(bytes)) {
      this.overdrawn += Math.max(0, -stream.sender.availableBytes);
      stream.credit.onReceived(bytes);
      stream.unreleased.push(bytes);
    }
    if (action === 'send parts' && stream.sender.take(bytes)) {
      this.overdrawn += Math.max(0, -stream.sender.availableBytes);
      // It leaves the guaranteed window to what comes beside it.
      if (stream.apart === 0) {
        stream.apart = bytes;
        this.overdrawn += guaranteedBytes;
      }
      stream.sender.grant(stream.credit.onFirstPart(bytes));
      stream.unreleased.push(bytes);
    }
    if (action === 'release') {
      const released = stream.unreleased.shift() ?? 0;
      if (released === stream.apart) stream.apart = 0;
      stream.sender.grant(stream.credit.release(released));
    }
    if (action === 'flush') stream.sender.grant(stream.credit.flush());
    if (action === 'close' && bytes < 10) {
      stream.open = false;
      stream.credit.close();
    }
    this.check();
  }

  check(): void {
    const open = this.streams.filter((stream) => stream.open);
    const outstanding = open.map(({ credit }) => Math.max(0, credit.grantedBytes) + credit.heldBytes);
    const total = outstanding.reduce((sum, bytes) => sum + bytes, 0);
    const cap = this.budget.totalBytes + open.length * guaranteedBytes + this.overdrawn;
    if (total > cap) this.violations.push(`C1: ${total} bytes outstanding of ${cap}`);
    for (const { sender, credit } of open) {
      if (sender.availableBytes !== credit.grantedBytes) {
        this.violations.push(`C2: ${sender.availableBytes} at the sender, ${credit.grantedBytes} at the receiver`);
      }
    }
    const charged = open.reduce(
      (sum, { apart }, at) => sum + apart + Math.max(0, (outstanding[at] ?? 0) - apart - guaranteedBytes),
      0,
    );
    if (this.budget.chargedBytes !== charged)
      this.violations.push(`charged ${this.budget.chargedBytes}, not ${charged}`);
  }
}

const steps = fc.array(
  fc.tuple(
    fc.nat(5),
    fc.constantFrom<'send' | 'send parts' | 'release' | 'flush' | 'close'>(
      'send',
      'send',
      'send',
      'send parts',
      'release',
      'release',
      'flush',
      'close',
    ),
    fc.integer({ min: 1, max: 400 }),
  ),
  { maxLength: 200 },
);
const windows = fc.array(fc.integer({ min: 1, max: 2_000 }), { minLength: 1, maxLength: 6 });

test('whatever streams do: the budget holds, no credit is lost, and what was withheld is given in the end', () => {
  fc.assert(
    fc.property(fc.nat(3_000), windows, steps, (totalBytes, windowBytes, actions) => {
      const world = new World(totalBytes, windowBytes);
      for (const [at, action, bytes] of actions) world.step(at, action, bytes);
      // Every receiver catches up, and all but one stream end: nothing may stay withheld from the last.
      for (const stream of world.streams) {
        while (stream.open && stream.unreleased.length > 0) world.step(world.streams.indexOf(stream), 'release', 0);
      }
      const last = world.streams.findLast((stream) => stream.open);
      for (const [at, stream] of world.streams.entries()) if (stream !== last) world.step(at, 'close', 0);
      if (last !== undefined) last.sender.grant(last.credit.flush());
      world.check();
      expect(world.violations).toEqual([]);
      const possible = Math.min(last?.credit.windowBytes ?? 0, totalBytes + guaranteedBytes);
      expect(last?.sender.availableBytes ?? 0).toBe(possible);
      expect(world.budget.chargedBytes).toBe(Math.max(0, possible - guaranteedBytes));
    }),
    { numRuns: 500 },
  );
});

test('withheld grants are given in the order in which they were withheld', () => {
  const order: string[] = [];
  const budget = new CreditBudget({ totalBytes: 100, guaranteedBytes });
  const open = (name: string) => budget.open({ windowBytesMax: 200, onGrant: () => order.push(name) });
  const [hog, first, second, third] = [open('hog'), open('first'), open('second'), open('third')];
  hog.onReceived(200);
  for (const credit of [second, first, third]) {
    credit.onReceived(100);
    credit.release(100);
  }
  expect(budget.waitingStreams).toBe(3);
  hog.close();
  second.close();
  first.close();
  expect(order).toEqual(['second', 'first', 'third']);
});
