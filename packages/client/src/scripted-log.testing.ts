/** One partition of the scripted cluster: its batches, and the rules by which a leader takes them (I1 to I6). */
import { leaderEpoch, offset, SluiceError } from '@sluice/base';
import {
  baseOffsetOf,
  batchesIn,
  decodeRecords,
  maxTimestampOf,
  offsetAfterBatch,
  patchBatch,
  readBatchHeader,
  sequenceAfter,
} from '@sluice/record';
import { nodeCompression } from './compression.ts';

interface Remembered {
  readonly firstSequence: number;
  readonly lastSequence: number;
  readonly baseOffset: number;
}

export class ScriptedLog {
  readonly batches: Uint8Array[] = [];
  logStart = 0;
  highWatermark = 0;
  readonly #producers = new Map<number, { epoch: number; window: Remembered[] }>();

  /** Appends, or says why not; a repetition gets its first offset. */
  append(batch: Uint8Array, epoch: number): number | SluiceError {
    const read = readBatchHeader(batch);
    if (!read.ok) return new SluiceError(read.problem.code);
    const { producerId, producerEpoch, baseSequence, recordCount } = read.value;
    const lastSequence = sequenceAfter(baseSequence, recordCount - 1);
    if (producerId >= 0) {
      const known = this.#producers.get(producerId);
      if (known === undefined || producerEpoch > known.epoch) {
        if (baseSequence !== 0) return new SluiceError('OUT_OF_ORDER_SEQUENCE');
        this.#producers.set(producerId, { epoch: producerEpoch, window: [] });
      } else if (producerEpoch < known.epoch) {
        return new SluiceError('INVALID_PRODUCER_EPOCH');
      } else {
        const same = known.window.find(
          (one) => one.firstSequence === baseSequence && one.lastSequence === lastSequence,
        );
        if (same !== undefined) return same.baseOffset;
        const last = known.window.at(-1);
        if (last !== undefined && baseSequence !== sequenceAfter(last.lastSequence, 1)) {
          return new SluiceError('OUT_OF_ORDER_SEQUENCE');
        }
      }
    }
    const baseOffset = this.highWatermark;
    const window = this.#producers.get(producerId)?.window;
    window?.push({ firstSequence: baseSequence, lastSequence, baseOffset });
    if (window !== undefined && window.length > 5) window.shift();
    const placed = batch.slice();
    patchBatch(placed, 0, { baseOffset: offset(baseOffset), leaderEpoch: leaderEpoch(epoch) });
    this.batches.push(placed);
    this.highWatermark += recordCount;
    return baseOffset;
  }

  /** The leader forgets all producers, as after a long time. */
  forgetProducers(): void {
    this.#producers.clear();
  }

  /** Of the first batch that can hold a record of that time. */
  offsetSince(sinceMs: number): number {
    const found = this.batches.find((batch) => {
      const read = readBatchHeader(batch);
      return read.ok && offsetAfterBatch(read.value) > this.logStart && maxTimestampOf(batch, 0) >= sinceMs;
    });
    return found === undefined ? this.highWatermark : baseOffsetOf(found, 0);
  }

  /** Whole batches from the one that holds `from`. */
  read(from: number, bytesMax: number): Uint8Array[] {
    const found: Uint8Array[] = [];
    let bytes = 0;
    for (const batch of this.batches) {
      const header = readBatchHeader(batch);
      if (!header.ok || offsetAfterBatch(header.value) <= from) continue;
      if (found.length > 0 && bytes + batch.length > bytesMax) break;
      bytes += batch.length;
      found.push(batch.slice());
    }
    return found;
  }

  /** Values as text, in offset order. */
  values(): string[] {
    return this.batches.flatMap((batch) => {
      for (const found of batchesIn(batch)) if (!found.ok) throw new Error(found.problem.message);
      const decoded = decodeRecords(batch, { decompress: nodeCompression.decompress });
      if (!decoded.ok) throw new Error(decoded.problem.message);
      return decoded.value.map(({ value }) => new TextDecoder().decode(value ?? new Uint8Array()));
    });
  }
}
