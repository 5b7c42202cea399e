/** The tail against a list of what it should hold, over more chunks than its first ring has, and down to few again. */
import { SeededRandom } from '@sluice/base';
import { expect, test } from 'vitest';
import { concat, testBatch } from './test-batches.ts';
import { LogTail, Tail } from './tail.ts';

/** A batch. */
interface Kept {
  readonly base: number;
  readonly bytes: Uint8Array;
  readonly group: number;
  /** Of all batches that it was added with. */
  readonly chunkEnd: number;
}

const hex = (parts: readonly Uint8Array[]): string => Buffer.from(concat([...parts])).toString('hex');
const batchAt = (base: number, log: number): Uint8Array => testBatch({ base, records: 1, valueBytes: 30, mark: log });

/** A few logs, and what each was given: the tail may hold less, from the oldest on, and never less of what is not durable. */
class Model {
  readonly tail: Tail;
  readonly logs = Array.from({ length: 5 }, () => ({ start: 0, end: 0, kept: [] as Kept[] }));
  readonly tails: readonly LogTail[];
  durableGroup = 0;
  group = 1;

  constructor(bytesMax: number) {
    this.tail = new Tail(bytesMax);
    this.tails = this.logs.map(() => new LogTail(this.tail));
  }

  add(number: number, batches: number): void {
    const log = this.logs[number];
    if (log === undefined) return;
    const chunkEnd = log.end + batches;
    const parts = Array.from({ length: batches }, (_, at) => batchAt(log.end + at, number));
    const bytes = concat(parts);
    const span = { baseOffset: log.end, endOffset: chunkEnd };
    const { store, from, to } = this.tails[number]?.add(bytes, span, this.group) ?? { store: bytes, from: 0, to: 0 };
    expect(hex([store.subarray(from, to)])).toBe(hex([bytes]));
    for (const [at, part] of parts.entries())
      log.kept.push({ base: log.end + at, bytes: part, group: this.group, chunkEnd });
    log.end = chunkEnd;
  }

  cut(number: number, to: number): void {
    const log = this.logs[number];
    if (log === undefined) return;
    this.tails[number]?.cut(to);
    log.kept = log.kept
      .filter(({ base }) => base < to)
      .map((each) => ({ ...each, chunkEnd: Math.min(each.chunkEnd, to) }));
    log.end = Math.min(log.end, to);
    log.start = Math.min(log.start, to);
  }

  dropBelow(number: number, start: number): void {
    const log = this.logs[number];
    if (log === undefined) return;
    this.tails[number]?.dropBelow(start);
    log.kept = log.kept.filter(({ chunkEnd }) => chunkEnd > start);
    log.start = Math.max(log.start, start);
  }

  durable(): void {
    this.durableGroup = this.group;
    this.group += 1;
    this.tail.evict(this.durableGroup);
  }

  check(): void {
    for (const [number, log] of this.logs.entries()) {
      const base = this.tails[number]?.base ?? log.end;
      // What was evicted stays away.
      log.kept = log.kept.filter((each) => each.base >= base || each.group > this.durableGroup);
      expect([number, base]).toEqual([number, log.kept[0]?.base ?? log.end]);
      if (base >= log.end) continue;
      const read = this.tails[number]?.read(base, log.end, Number.POSITIVE_INFINITY);
      expect([read?.end, hex(read?.batches ?? [])]).toEqual([log.end, hex(log.kept.map(({ bytes }) => bytes))]);
      const middle = base + Math.floor((log.end - base) / 2);
      const one = this.tails[number]?.read(middle, log.end, 1);
      expect([one?.end, hex(one?.batches ?? [])]).toEqual([middle + 1, hex([batchAt(middle, number)])]);
    }
  }
}

test('whatever is added, cut, dropped and evicted, a log reads what it holds', () => {
  const bytesMax = 600_000;
  const random = new SeededRandom(1);
  const model = new Model(bytesMax);
  let most = 0;
  for (let round = 0; round < 60; round += 1) {
    // Many are not durable at a time in some rounds: then the tail is larger than it should be.
    for (let left = random.below(round % 10 === 5 ? 5000 : 400); left > 0; left -= 1)
      model.add(random.below(5), 1 + random.below(3));
    const number = random.below(5);
    const { start = 0, end = 0 } = model.logs[number] ?? {};
    const at = start + random.below(end - start + 1);
    const draw = random.below(16);
    if (draw < 4) model.cut(number, at);
    else if (draw < 7) model.dropBelow(number, at);
    most = Math.max(most, model.tail.bytes);
    if (random.below(3) > 0) model.durable();
    model.check();
  }
  expect(most).toBeGreaterThan(1.5 * bytesMax);
  model.durable();
  expect(model.tail.bytes).toBeLessThanOrEqual(bytesMax);
  for (const [number, { end }] of model.logs.entries()) model.dropBelow(number, end);
  model.durable();
  model.check();
  expect(model.tail.bytes).toBe(0);
  expect(model.tail.chunks.slots).toBe(1024);
});
