/**
 * Compaction of a log, one batch after another: what goes in and what comes out are the whole batches of the same
 * offsets. Owns the empty span that the next batch may prolong. Called by who rewrites the log, one object a rewrite.
 *
 * C4. The batches that come out follow each other without a gap, from the first offset put in to the last.
 * C5. A batch that reaches past `end`, a control batch and one of a transaction come out as they went in.
 * C6. An emptied batch whose producer's window still holds it keeps its header: duplicates are told by it.
 * C7. Behind a batch that was left alone no tombstone goes: what it put an end to may still be in there.
 */
import type { BatchHeader } from './batch-header.ts';
import { offsetAfterBatch } from './batch-header.ts';
import type { Compression } from './codec.ts';
import { compactRecords, sealCompacted } from './compacted-records.ts';
import type { CompactionRule } from './compacted-records.ts';
import type { EmptySpan } from './empty-batch.ts';
import { emptyBatch, emptySpanOf, joinedSpan } from './empty-batch.ts';
import { readRecordsLater } from './record-decoder.ts';

export interface LogCompactionOptions extends CompactionRule {
  /** Batches that end here or before may change. */
  readonly end: number;
  /** Whether the batch that begins there is among the last of a producer that may go on. */
  inProducerWindow(baseOffset: number): boolean;
  /** A batch that would grow past this, by the deltas to a delete horizon, stays as it is: replicas take no larger one. */
  readonly batchBytesMax: number;
  readonly compression: Compression;
  /** Resolves in a later turn of the event loop. */
  turn(): Promise<void>;
}

export interface CompactionCounts {
  readonly recordsBefore: number;
  readonly recordsAfter: number;
  /** Batches that could not be read, or would have grown too large, and stayed as they were. */
  readonly leftAlone: number;
  /** The first delete horizon that is still to pass; `Infinity` when there is none. */
  readonly nextHorizonMs: number;
}

export class LogCompaction {
  readonly #options: LogCompactionOptions;
  #span: EmptySpan | undefined;
  #counts = { recordsBefore: 0, recordsAfter: 0, leftAlone: 0, nextHorizonMs: Infinity };

  constructor(options: LogCompactionOptions) {
    this.#options = options;
  }

  get counts(): CompactionCounts {
    return this.#counts;
  }

  /** What is known to come out now, in order; nothing while it may still be joined with what follows. */
  async next(batch: Uint8Array, header: BatchHeader): Promise<readonly Uint8Array[]> {
    const compacted = await this.#compact(batch, header);
    if (typeof compacted !== 'object' || !('endOffset' in compacted)) return [...this.finish(), compacted];
    const before = this.#span;
    const joined = before === undefined ? compacted : joinedSpan(before, compacted);
    this.#span = joined ?? compacted;
    return before === undefined || joined !== undefined ? [] : [emptyBatch(before)];
  }

  /** The end of the log, or of what is rewritten of it. */
  finish(): readonly Uint8Array[] {
    const span = this.#span;
    this.#span = undefined;
    return span === undefined ? [] : [emptyBatch(span)];
  }

  async #compact(batch: Uint8Array, header: BatchHeader): Promise<Uint8Array | EmptySpan> {
    const { end, inProducerWindow, batchBytesMax } = this.#options;
    if (offsetAfterBatch(header) > end || header.control || header.transactional) return batch;
    const records = header.recordCount === 0 ? 'unchanged' : await this.#records(batch, header);
    const recordCount = records === 'unchanged' ? header.recordCount : records.recordCount;
    this.#counts.recordsBefore += header.recordCount;
    this.#counts.recordsAfter += recordCount;
    const isRemembered = header.producerId >= 0 && inProducerWindow(header.baseOffset);
    if (recordCount === 0 && !isRemembered) return emptySpanOf(header);
    this.#noteHorizon(records === 'unchanged' ? header : records);
    if (records === 'unchanged') return batch;
    if (recordCount === 0) return emptied(batch, header);
    const sealed = await this.#sealed(batch, header, records);
    if (sealed.length <= Math.max(batchBytesMax, header.batchBytes)) return sealed;
    this.#leftAlone();
    return batch;
  }

  async #records(batch: Uint8Array, header: BatchHeader) {
    const opened = await readRecordsLater(batch, header, this.#options.compression);
    const { turn } = this.#options;
    const compacted = opened.ok ? await compactRecords(opened.value, header, this.#rule, turn) : opened;
    return compacted.ok ? compacted.value : this.#leftAlone();
  }

  /** C7 */
  get #rule(): CompactionRule {
    const { isNewest, passedMs, newHorizonMs } = this.#options;
    return { isNewest, newHorizonMs, passedMs: this.#counts.leftAlone > 0 ? -Infinity : passedMs };
  }

  #noteHorizon({ deleteHorizon, baseTimestamp }: Pick<BatchHeader, 'deleteHorizon' | 'baseTimestamp'>): void {
    if (!deleteHorizon || baseTimestamp <= this.#options.passedMs) return;
    this.#counts.nextHorizonMs = Math.min(this.#counts.nextHorizonMs, baseTimestamp);
  }

  /** C3 */
  #leftAlone(): 'unchanged' {
    this.#counts.leftAlone += 1;
    return 'unchanged';
  }

  async #sealed(
    batch: Uint8Array,
    { codec }: BatchHeader,
    records: { readonly bytes: Uint8Array } & Parameters<typeof sealCompacted>[1],
  ): Promise<Uint8Array> {
    if (codec === 'none') return sealCompacted(batch, records, { codec, payload: records.bytes });
    const payload = await this.#options.compression.compressLater(codec, records.bytes);
    const shorter = payload.length < records.bytes.length;
    return sealCompacted(batch, records, shorter ? { codec, payload } : { codec: 'none', payload: records.bytes });
  }
}

const emptied = (batch: Uint8Array, { maxTimestamp }: BatchHeader): Uint8Array =>
  sealCompacted(
    batch,
    { recordCount: 0, baseTimestamp: -1, maxTimestamp, deleteHorizon: false },
    { codec: 'none', payload: new Uint8Array(0) },
  );
