/** The plainest thing that a set of logs could be, to compare the real one with. */
import type { Random } from '@sluice/base';
import { crc32c, endOffsetOf } from '@sluice/record';
import type { LogStore } from './log-store.ts';
import type { NodeLog } from './node-log.ts';
import { at, concat, testBatch, testSpan } from './test-batches.ts';
import { contents, testLogId } from './test-node-log.ts';
import { type KnownBatch, knownBatches, testSnapshot, wrongSnapshot } from './test-snapshots.ts';

interface ModelBatch {
  readonly base: number;
  readonly end: number;
  readonly bytes: Uint8Array;
  readonly timestampMs: number;
}

interface ModelLog {
  start: number;
  end: number;
  batches: ModelBatch[];
  /** Of this life of the log, those that its start has passed too. */
  all: KnownBatch[];
}

export class LogModel {
  readonly #logs = new Map<number, ModelLog>();
  readonly #first: number;
  #mark = 0;
  readonly #dead: string[] = [];
  #highestEnd = 0;

  /** `first`: number of its first log, so that models over one node log stay apart. */
  constructor(first = 0) {
    this.#first = first;
  }

  /** Does one random thing to the node log and to the model. */
  step(node: NodeLog, random: Random): void {
    const number = this.#first + random.below(5);
    const draw = random.below(20);
    if (draw < 15) this.append(node, number, random);
    else if (draw < 17) this.truncate(node, number, random);
    else if (draw < 18) this.trim(node, number, random);
    else if (draw < 19) this.restart(node, number, random);
    else this.delete(node, number);
  }

  append(node: NodeLog, number: number, random: Random): void {
    const { model, log } = this.#log(node, number);
    this.#append(model, log, random);
  }

  /** Back to a boundary; what is appended afterwards takes the same offsets with other bytes. */
  truncate(node: NodeLog, number: number, random: Random): void {
    const { model, log } = this.#log(node, number);
    const to = boundary(model, random);
    log.truncate(at(to));
    this.#keep(number, model, (batch) => batch.end <= to);
    model.all = model.all.filter((batch) => batch.end <= to);
    model.end = Math.min(model.end, to);
    model.start = Math.min(model.start, to);
  }

  /** Anywhere: a batch that contains the start stays. */
  trim(node: NodeLog, number: number, random: Random): void {
    const { model, log } = this.#log(node, number);
    const to = model.start + random.below(model.end - model.start + 1);
    log.restartAt(at(to));
    this.#keep(number, model, (batch) => batch.end > to);
    model.start = to;
  }

  /** Empty, at its end or behind it. */
  restart(node: NodeLog, number: number, random: Random): void {
    const { model, log } = this.#log(node, number);
    const to = model.end + random.below(50);
    log.restartAt(at(to));
    if (to > model.end) model.all = [];
    this.#keep(number, model, () => false);
    Object.assign(model, { start: to, end: to });
  }

  delete(node: NodeLog, number: number): void {
    const { model, log } = this.#log(node, number);
    log.delete();
    this.#keep(number, model, () => false);
    this.#logs.delete(number);
  }

  /** Drops most of every log, or all of it; `after` each. */
  trimEach(node: NodeLog, random: Random, after: () => void): void {
    for (const [number, model] of this.#logs) {
      const kept = model.batches.slice(model.batches.length - random.below(3));
      const to = Math.max(model.start, kept[0]?.base ?? model.end);
      node.log(testLogId(number)).restartAt(at(to));
      this.#keep(number, model, (batch) => kept.includes(batch));
      model.start = to;
      after();
    }
  }

  deleteOne(node: NodeLog, random: Random): void {
    this.delete(node, this.#first + random.below(5));
  }

  /** As though the log had held it up to here. */
  declareDead(number: number, batch: Uint8Array): void {
    this.#dead.push(batchMark(number, batch));
    this.#highestEnd = Math.max(this.#highestEnd, endOffsetOf(batch, 0));
  }

  /** What was truncated, trimmed or deleted since this was last asked, as `batchMark` has it. */
  takeDead(): readonly string[] {
    return this.#dead.splice(0);
  }

  /** No log ever reached further. */
  get highestEnd(): number {
    return this.#highestEnd;
  }

  /** What differs between the node log and the model, in a sentence; undefined when nothing does. */
  async difference(node: NodeLog): Promise<string | undefined> {
    for (const [number, model] of this.#logs) {
      const log = node.log(testLogId(number));
      const found = `${log.startOffset} to ${log.endOffset}`;
      const expected = `${model.start} to ${model.end}`;
      if (found !== expected) return `log ${number} holds ${found}, not ${expected}`;
      const whole = concat(model.batches.map((batch) => batch.bytes));
      if (Buffer.compare(await contents(log, 3000), whole) !== 0) return `log ${number} holds other bytes`;
      const wrong = await wrongSnapshot(log);
      if (wrong !== undefined) return wrong;
    }
    return undefined;
  }

  /** What a log lets expire that it must not, in a sentence; undefined when nothing. */
  wronglyExpired(node: NodeLog, random: Random): string | undefined {
    for (const [number, model] of this.#logs) {
      const log = node.log(testLogId(number));
      const bytesMax = random.below(60_000);
      const end = log.expiredEnd({ bytesMax });
      const what = `log ${number}, ${model.start} to ${model.end}, durable to ${log.durableOffset}: ${end}`;
      const isBoundary = end === model.start || model.batches.some((batch) => batch.end === end);
      if (!isBoundary) return `${what} is no boundary`;
      if (end > Math.max(log.durableOffset, model.start)) return `${what} is not durable`;
      if (log.expiredEnd({}) !== model.start) return `${what}: something expires without a limit`;
    }
    return undefined;
  }

  /** A look-up by time that does not find the first batch of that time or later, in a sentence; undefined when none. */
  async wronglyFound(node: NodeLog, random: Random): Promise<string | undefined> {
    for (const [number, model] of this.#logs) {
      const log = node.log(testLogId(number));
      const sinceMs = 1_000_000 + random.below(1_500 + this.#mark);
      const upTo = boundary(model, random);
      const found = await log.offsetSince(sinceMs, at(upTo));
      const first = model.batches.find((batch) => batch.timestampMs >= sinceMs && batch.base < upTo);
      if (found !== (first === undefined ? upTo : Math.max(first.base, model.start))) {
        return `log ${number}, ${model.start} to ${model.end}: since ${sinceMs} below ${upTo} begins at ${found}`;
      }
    }
    return undefined;
  }

  /** Equal for equal states: what `signatureOf` makes of a node log in this state. */
  signature(): string {
    const lines: string[] = [];
    for (const [number, { start, end, batches }] of this.#logs) {
      lines.push(line(number, { start, end, bytes: concat(batches.map((batch) => batch.bytes)) }));
    }
    return sorted(lines);
  }

  #log(node: NodeLog, number: number): { readonly model: ModelLog; readonly log: LogStore } {
    const model = this.#logs.get(number) ?? { start: 0, end: 0, batches: [], all: [] };
    this.#logs.set(number, model);
    const log = node.log(testLogId(number));
    log.snapshot = () => testSnapshot(model.end, model.all);
    return { model, log };
  }

  #keep(number: number, model: ModelLog, keeps: (batch: ModelBatch) => boolean): void {
    for (const batch of model.batches) if (!keeps(batch)) this.#dead.push(batchMark(number, batch.bytes));
    model.batches = model.batches.filter(keeps);
  }

  #append(model: ModelLog, log: LogStore, random: Random): void {
    const batches = 1 + random.below(3);
    const parts: Uint8Array[] = [];
    const records = 1 + random.below(4);
    // What a restart made empty may go on with a batch that began before.
    const before = model.batches.length === 0 ? Math.min(random.below(records), model.end) : 0;
    const base = model.end - before;
    model.end = base;
    for (let n = 0; n < batches; n += 1) {
      this.#mark += 1;
      const count = n === 0 ? records : 1 + random.below(4);
      const valueBytes = random.below(8) === 0 ? 17_000 : random.below(300);
      // Neither growing nor the same: producers' clocks differ.
      const timestampMs = 1_000_000 + ((this.#mark * 7_919) % 1_000);
      const bytes = testBatch({ base: model.end, records: count, valueBytes, mark: this.#mark, timestampMs });
      const timestamp = timestampMs + this.#mark;
      model.batches.push({ base: model.end, end: model.end + count, bytes, timestampMs: timestamp });
      model.all.push(...knownBatches(bytes));
      model.end += count;
      parts.push(bytes);
    }
    this.#highestEnd = Math.max(this.#highestEnd, model.end);
    log.append(concat(parts), testSpan(base, model.end));
  }
}

/** No two batches have the same: not even those that took the same offsets one after the other. */
export const batchMark = (number: number, bytes: Uint8Array): string => `log ${number}: ${crc32c(bytes)}`;

/** The state of the logs with these numbers, as text; an empty log that was never moved counts as none. */
export async function signatureOf(node: NodeLog, numbers: readonly number[]): Promise<string> {
  const lines: string[] = [];
  for (const number of numbers) {
    const log = node.log(testLogId(number));
    lines.push(line(number, { start: log.startOffset, end: log.endOffset, bytes: await contents(log) }));
  }
  return sorted(lines);
}

const line = (number: number, log: { start: number; end: number; bytes: Uint8Array }): string =>
  log.end === 0 ? '' : `log ${number}: ${log.start} to ${log.end}, ${log.bytes.length} bytes, crc ${crc32c(log.bytes)}`;

const sorted = (lines: readonly string[]): string =>
  lines
    .filter((text) => text !== '')
    .toSorted()
    .join('\n');

/** A batch boundary of the log, its first and last included. */
function boundary(model: ModelLog, random: Random): number {
  const all = [model.batches[0]?.base ?? model.end, ...model.batches.map((batch) => batch.end)];
  return all[random.below(all.length)] ?? model.start;
}
