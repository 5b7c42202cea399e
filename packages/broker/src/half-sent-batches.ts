/**
 * Batches in parts of which some are to come: of one produce stream, within what the node has room for. Owned by the
 * stream, which charges them to its credit and answers them.
 *
 * W1. The half-sent batches of all streams together have at most `bytesMax` bytes, all their parts counted: a client that
 *     sends beginnings and no ends holds no more than that. One alone may be larger, or it could never be sent.
 * W2. A batch is whole `wholeWithinMs` after its first part, or its stream ends.
 * W3. The parts of a batch that was refused are passed over, whatever is in them.
 */
import { SluiceError } from '@sluice/base';
import type { Clock, Timer } from '@sluice/base';
import { PartAssembler } from '@sluice/wire';
import type { ProduceBatch } from '@sluice/wire';

/** On one stream at a time, refused ones too. */
const batchesMax = 1_000;
const wholeWithinMs = 120_000;

/** Of the node (W1). */
export class HalfSentRoom {
  readonly bytesMax: number;
  #bytes = 0;

  constructor(bytesMax: number) {
    this.bytesMax = bytesMax;
  }

  get bytes(): number {
    return this.#bytes;
  }

  take(bytes: number): boolean {
    if (this.#bytes > 0 && this.#bytes + bytes > this.bytesMax) return false;
    this.#bytes += bytes;
    return true;
  }

  giveBack(bytes: number): void {
    this.#bytes -= bytes;
  }
}

interface HalfSent {
  readonly topicId: string;
  readonly partition: number;
  readonly sinceMs: number;
  leftBytes: number;
  /** Undefined: refused (W3). */
  readonly assembler: PartAssembler | undefined;
}

export interface HalfSentOptions {
  readonly room: HalfSentRoom;
  readonly clock: Clock;
  /** The stream must end (W2). */
  readonly onOverdue: (error: SluiceError) => void;
}

export class HalfSentBatches {
  readonly #options: HalfSentOptions;
  /** By request id, oldest first. */
  readonly #batches = new Map<number, HalfSent>();
  #overdue: Timer | undefined;

  constructor(options: HalfSentOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#batches.size;
  }

  has(requestId: number): boolean {
    return this.#batches.has(requestId);
  }

  /**
   * Takes a first part. `refuse` is asked before there is memory for the batch; returns its answer, or that the node has
   * no room. Throws when a rule of the stream is broken.
   */
  begin(part: ProduceBatch, refuse: () => SluiceError | undefined): SluiceError | undefined {
    const { requestId, topicId, partition, batch, moreBytes } = part;
    if (batch.byteLength === 0) throw partsDoNotAddUp(requestId);
    if (this.#batches.size >= batchesMax) {
      throw new SluiceError('LIMIT_EXCEEDED', {
        message: `More than ${batchesMax} batches of a stream are half sent.`,
      });
    }
    const batchBytes = batch.byteLength + moreBytes;
    const refusal = refuse() ?? this.#noRoom(batchBytes);
    const assembler = refusal === undefined ? new PartAssembler({ bytes: batch, moreBytes }, batchBytes) : undefined;
    assembler?.add({ bytes: batch, moreBytes });
    const sinceMs = this.#options.clock.monotonicMs();
    this.#batches.set(requestId, { topicId, partition, sinceMs, leftBytes: moreBytes, assembler });
    this.#watch();
    return refusal;
  }

  /** Takes a later part of a batch that is here; returns the batch when it is whole. Throws when a rule is broken. */
  add({ requestId, batch, moreBytes }: ProduceBatch): Omit<ProduceBatch, 'moreBytes'> | undefined {
    const begun = this.#batches.get(requestId);
    if (begun === undefined || batch.byteLength === 0 || batch.byteLength + moreBytes !== begun.leftBytes) {
      throw partsDoNotAddUp(requestId);
    }
    const { topicId, partition, assembler } = begun;
    begun.leftBytes = moreBytes;
    const whole = assembler?.add({ bytes: batch, moreBytes });
    if (moreBytes === 0) this.#forget(requestId, begun);
    return whole === undefined ? undefined : { requestId, topicId, partition, batch: whole };
  }

  /** Forgets all. Returns those that were not refused, with all their bytes. */
  clear(): readonly { readonly requestId: number; readonly batchBytes: number }[] {
    const open: { requestId: number; batchBytes: number }[] = [];
    for (const [requestId, begun] of this.#batches) {
      if (begun.assembler !== undefined) open.push({ requestId, batchBytes: begun.assembler.batchBytes });
      this.#forget(requestId, begun);
    }
    return open;
  }

  #noRoom(batchBytes: number): SluiceError | undefined {
    const { room } = this.#options;
    if (room.take(batchBytes)) return undefined;
    const message = `Half-sent batches of ${room.bytes} bytes wait for their other parts here; the most is ${room.bytesMax}.`;
    return new SluiceError('LIMIT_EXCEEDED', { message });
  }

  #forget(requestId: number, { assembler }: HalfSent): void {
    this.#batches.delete(requestId);
    if (assembler !== undefined) this.#options.room.giveBack(assembler.batchBytes);
    if (this.#batches.size > 0) return;
    this.#overdue?.cancel();
    this.#overdue = undefined;
  }

  #watch(): void {
    const oldest = this.#batches.values().next().value;
    if (this.#overdue !== undefined || oldest === undefined) return;
    const { clock, onOverdue } = this.#options;
    this.#overdue = clock.setTimer(Math.max(0, oldest.sinceMs + wholeWithinMs - clock.monotonicMs()), () => {
      this.#overdue = undefined;
      const [[requestId, { sinceMs }] = [0, { sinceMs: Infinity }]] = this.#batches;
      if (clock.monotonicMs() - sinceMs < wholeWithinMs) return this.#watch();
      const message = `The batch of request ${requestId} was not whole ${wholeWithinMs} ms after its first part.`;
      onOverdue(new SluiceError('TIMEOUT', { message }));
    });
  }
}

const partsDoNotAddUp = (requestId: number): SluiceError =>
  new SluiceError('INVALID_REQUEST', {
    message: `The parts of the batch of request ${requestId} do not add up to what the first one said.`,
  });
