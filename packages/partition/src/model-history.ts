/**
 * What the model test holds true (§2.8): one value per offset below any high watermark, for ever; an acked value stays
 * at its offset; no value of an idempotent producer twice, and each producer's in order; leaders have all of it.
 */
import type { NodeId, Offset } from '@sluice/base';
import type { ModelBatch, ModelLog } from './model-log.ts';

export class Violation extends Error {
  override readonly name = 'Violation';
}

export class ModelHistory {
  readonly #committed: (string | undefined)[] = [];
  readonly #offsetOf = new Map<string, Offset>();
  readonly #acked = new Map<string, Offset>();
  readonly #lastOf = new Map<string, { epoch: number; sequence: number }>();

  get committedEnd(): number {
    return this.#committed.length;
  }

  get ackedCount(): number {
    return this.#acked.size;
  }

  /** Where a value was committed, if it was. */
  offsetOf(value: string): Offset | undefined {
    return this.#offsetOf.get(value);
  }

  /** A high watermark at `node` went from `from` to `to`. */
  committed(node: NodeId, log: ModelLog, from: Offset, to: Offset): void {
    for (const batch of log.current.batches) {
      if (batch.endOffset <= from || batch.baseOffset >= to) continue;
      // Only where a log starts inside one: all of that is committed, and the leader knows.
      if (batch.endOffset > to && to !== log.current.start) {
        throw new Violation(`node ${node}: high watermark ${to} inside a batch`);
      }
      this.#commit(node, batch);
    }
    if (to > this.#committed.length) throw new Violation(`node ${node}: committed to ${to} without records`);
  }

  acked(value: string, at: Offset, log: ModelLog): void {
    const batch = log.current.batches.find((one) => one.baseOffset === at);
    // Retention may have dropped a batch whose duplicate is answered from memory.
    if (batch !== undefined && batch.value !== value)
      throw new Violation(`acked ${value} at ${at} over ${batch.value}`);
    const before = this.#acked.get(value);
    if (before !== undefined && before !== at) throw new Violation(`acked ${value} at ${before} and at ${at}`);
    if (this.#committed[at] !== `${value}+0`) throw new Violation(`acked ${value} at ${at}, which is not committed`);
    this.#acked.set(value, at);
  }

  /** LeaderCompleteness: whatever was committed is in the log of `node`. */
  complete(node: NodeId, log: ModelLog): void {
    const { start, end, batches } = log.current;
    if (end < this.#committed.length) {
      throw new Violation(`node ${node} ends at ${end}, committed are ${this.#committed.length}`);
    }
    for (const batch of batches) this.#compare(node, batch);
    if ((batches[0]?.baseOffset ?? end) > start) throw new Violation(`node ${node} has a hole at its start ${start}`);
  }

  #commit(node: NodeId, batch: ModelBatch): void {
    this.#compare(node, batch);
    if (this.#committed[batch.baseOffset] !== undefined) return;
    if (batch.baseOffset !== this.#committed.length) throw new Violation(`a hole before ${batch.baseOffset}`);
    for (let at: number = batch.baseOffset; at < batch.endOffset; at += 1) {
      this.#committed[at] = `${batch.value}+${at - batch.baseOffset}`;
    }
    const { producer, value } = batch;
    const twice = this.#offsetOf.get(value);
    if (twice !== undefined) throw new Violation(`${value} is committed at ${twice} and at ${batch.baseOffset}`);
    this.#offsetOf.set(value, batch.baseOffset);
    if (producer === undefined) return;
    const key = String(producer.producerId);
    const last = this.#lastOf.get(key);
    const expected = last?.epoch === producer.producerEpoch ? last.sequence : 0;
    if ((last?.epoch ?? 0) > producer.producerEpoch || producer.baseSequence !== expected) {
      throw new Violation(`producer ${key}: ${producer.baseSequence} committed, ${expected} expected`);
    }
    const sequence = producer.baseSequence + batch.endOffset - batch.baseOffset;
    this.#lastOf.set(key, { epoch: producer.producerEpoch, sequence });
  }

  #compare(node: NodeId, batch: ModelBatch): void {
    for (let at: number = batch.baseOffset; at < batch.endOffset; at += 1) {
      const known = this.#committed[at];
      const here = `${batch.value}+${at - batch.baseOffset}`;
      if (known !== undefined && known !== here) {
        throw new Violation(`node ${node}: offset ${at} is ${here}, was committed as ${known}`);
      }
    }
  }
}
