/** Values that say which record they are and when it was due, and are half random behind that. */
import { benchPayload } from './payload.ts';

export const stampBytes = 16;

export class StampedValues {
  readonly #payload: Uint8Array;

  /** `recordBytes` is at least `stampBytes`. */
  constructor(recordBytes: number) {
    this.#payload = benchPayload(Math.max(stampBytes, recordBytes));
  }

  make(index: number, dueMs: number): Uint8Array {
    const value = this.#payload.slice();
    const view = new DataView(value.buffer);
    view.setFloat64(0, index);
    view.setFloat64(8, dueMs);
    return value;
  }

  indexOf(value: Uint8Array): number {
    return number(value, 0);
  }

  dueMsOf(value: Uint8Array): number {
    return number(value, 8);
  }
}

/** NaN when the value is none of these. */
const number = (value: Uint8Array, at: number): number =>
  value.length < stampBytes ? Number.NaN : new DataView(value.buffer, value.byteOffset).getFloat64(at);
