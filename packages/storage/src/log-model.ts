/** The plainest thing that a set of logs could be, to compare the real one with. */
import type { Random } from '@sluice/base';
import { expect } from 'vitest';
import type { NodeLog } from './node-log.ts';
import { at, concat, testBatch, testSpan } from './test-batches.ts';
import { contents, testLogId } from './test-node-log.ts';

interface ModelBatch {
  readonly base: number;
  readonly end: number;
  readonly bytes: Uint8Array;
}

interface ModelLog {
  start: number;
  end: number;
  batches: ModelBatch[];
}

export class LogModel {
  readonly #logs = new Map<number, ModelLog>();
  readonly #first: number;
  #mark = 0;

  /** `first`: number of its first log, so that models over one node log stay apart. */
  constructor(first = 0) {
    this.#first = first;
  }

  /** Does one random thing to the node log and to the model. */
  step(node: NodeLog, random: Random): void {
    const number = this.#first + random.below(5);
    const model = this.#logs.get(number) ?? { start: 0, end: 0, batches: [] };
    this.#logs.set(number, model);
    const log = node.log(testLogId(number));
    const draw = random.below(20);
    if (draw < 15) this.#append(model, log, random);
    else if (draw < 17) {
      const to = boundary(model, random);
      log.truncate(at(to));
      model.batches = model.batches.filter((batch) => batch.end <= to);
      model.end = Math.min(model.end, to);
      model.start = Math.min(model.start, to);
    } else if (draw < 18) {
      const to = boundary(model, random);
      log.restartAt(at(to));
      model.batches = model.batches.filter((batch) => batch.base >= to);
      model.start = to;
    } else if (draw < 19) {
      const to = model.end + random.below(50);
      log.restartAt(at(to));
      Object.assign(model, { start: to, end: to, batches: [] });
    } else {
      log.delete();
      this.#logs.delete(number);
    }
  }

  async check(node: NodeLog): Promise<void> {
    for (const [number, model] of this.#logs) {
      const log = node.log(testLogId(number));
      expect([number, log.startOffset, log.endOffset]).toEqual([number, model.start, model.end]);
      const whole = concat(model.batches.map((batch) => batch.bytes));
      expect(Buffer.compare(await contents(log, 3000), whole)).toBe(0);
    }
  }

  #append(model: ModelLog, log: ReturnType<NodeLog['log']>, random: Random): void {
    const count = 1 + random.below(3);
    const parts: Uint8Array[] = [];
    const base = model.end;
    for (let n = 0; n < count; n += 1) {
      this.#mark += 1;
      const records = 1 + random.below(4);
      const valueBytes = random.below(8) === 0 ? 17_000 : random.below(300);
      const bytes = testBatch({ base: model.end, records, valueBytes, mark: this.#mark });
      model.batches.push({ base: model.end, end: model.end + records, bytes });
      model.end += records;
      parts.push(bytes);
    }
    log.append(concat(parts), testSpan(base, model.end));
  }
}

/** A batch boundary of the log, its start and end included. */
function boundary(model: ModelLog, random: Random): number {
  const all = [model.start, ...model.batches.map((batch) => batch.end)];
  return all[random.below(all.length)] ?? model.start;
}
