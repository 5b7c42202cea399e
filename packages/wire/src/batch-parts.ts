/**
 * A large batch on its way in parts, so that what comes after it on the stream does not wait for all of it. Pure.
 *
 * T1. Parts are views, in order; together they are the batch.
 * T2. The first part says how many bytes follow, each later one again: a sum that does not fit is refused.
 * T3. One buffer of exactly the declared size, made when the first part is there; who asks for it has charged the whole
 *     of it to the stream's credit and compared it with what may come.
 */
import { SluiceError } from '@sluice/base';

/** A batch of up to this is sent whole. */
export const wholeBytesMax: number = 512 * 1024;

/** Also the mark below which a transport holds little (T4). */
export const partBytesMax: number = 256 * 1024;

export interface BatchPart {
  readonly bytes: Uint8Array;
  /** That follow it (T2). */
  readonly moreBytes: number;
  readonly continues: boolean;
}

/** Cuts a batch (T1). */
export class BatchParts {
  readonly #batch: Uint8Array;
  #at = 0;

  constructor(batch: Uint8Array) {
    this.#batch = batch;
  }

  /** Of what was read from a log: a batch too large to be read with others. */
  static ofLarge(batches: readonly Uint8Array[]): BatchParts | undefined {
    const [only] = batches;
    if (only === undefined || batches.length > 1 || only.byteLength <= wholeBytesMax) return undefined;
    return new BatchParts(only);
  }

  get leftBytes(): number {
    return this.#batch.byteLength - this.#at;
  }

  /** Called while bytes are left. */
  next(): BatchPart {
    const from = this.#at;
    this.#at = Math.min(from + partBytesMax, this.#batch.byteLength);
    return { bytes: this.#batch.subarray(from, this.#at), moreBytes: this.leftBytes, continues: from > 0 };
  }
}

/**
 * When the next part may go, for the large batches of one stream together.
 *
 * T4. Parts are handed to a transport that holds little: what is sent later waits for no more of a large batch.
 * T5. Where the transport is never idle, a part goes each time that as much as a whole message went without one.
 */
export class PartPacing {
  #wholeBytes = 0;

  /** Bytes of whole batches that were sent. */
  onWhole(bytes: number): void {
    this.#wholeBytes += bytes;
  }

  /** True: one part goes now. */
  take(bufferedBytes: number): boolean {
    if (bufferedBytes >= partBytesMax && this.#wholeBytes < wholeBytesMax) return false;
    this.#wholeBytes = 0;
    return true;
  }
}

/** Puts one batch together (T2, T3). */
export class PartAssembler {
  readonly batchBytes: number;
  readonly #batch: Uint8Array;
  #filled = 0;

  /** For the batch that begins with this part, which is not taken yet. */
  constructor(first: Pick<BatchPart, 'bytes' | 'moreBytes'>, batchBytesMax: number) {
    this.batchBytes = first.bytes.byteLength + first.moreBytes;
    if (this.batchBytes > batchBytesMax) {
      throw malformed(`A batch of ${this.batchBytes} bytes was begun; the most is ${batchBytesMax}.`);
    }
    // Without zeros: nobody sees it before every byte is written.
    this.#batch = Buffer.allocUnsafeSlow(this.batchBytes);
  }

  /** The batch, once this part makes it whole. Throws `INVALID_REQUEST`. */
  add({ bytes, moreBytes }: Pick<BatchPart, 'bytes' | 'moreBytes'>): Uint8Array | undefined {
    const filled = this.#filled + bytes.byteLength;
    if (bytes.byteLength === 0) throw malformed('A part of a batch is empty.');
    if (filled + moreBytes !== this.batchBytes) {
      throw malformed(
        `The parts of a batch of ${this.batchBytes} bytes do not add up: ${filled} are here and ${moreBytes} follow.`,
      );
    }
    this.#batch.set(bytes, this.#filled);
    this.#filled = filled;
    return moreBytes === 0 ? this.#batch : undefined;
  }
}

const malformed = (message: string): SluiceError => new SluiceError('INVALID_REQUEST', { message });
