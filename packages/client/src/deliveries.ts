/**
 * Where the records of one call lie, without an object for each. Owns ranges: records that followed each other in the call
 * and in a batch. Filled by `SendCall`.
 *
 * V1 Ranges are in the order of the records and do not overlap; a record that no range has was not delivered.
 */
import type { Delivery } from './producer-record.ts';

/** `count` records of the call, from number `first` on, have the offsets from `baseOffset` on. */
export interface DeliveryRange {
  readonly first: number;
  readonly count: number;
  readonly partition: number;
  readonly baseOffset: number;
}

/** The outcome of one batch, for all the records that it has of a call. */
export interface BatchPlace {
  readonly partition: number;
  /** −1 until it is delivered, and for ever if it failed. */
  readonly baseOffset: number;
}

/** Where each of the records of a `sendMany` lies, by its place in the call. */
export class Deliveries implements Iterable<Delivery> {
  /** Records of the call. */
  readonly length: number;
  /** Of each range: its first record, how many it has, its batch, and where in the batch it begins. */
  readonly #firsts: number[] = [];
  readonly #counts: number[] = [];
  readonly #places: BatchPlace[] = [];
  readonly #positions: number[] = [];

  constructor(length: number) {
    this.length = length;
  }

  /** Where record `index` lies; undefined beyond the last one. */
  at(index: number): Delivery | undefined {
    let low = 0;
    let high = this.#firsts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if ((this.#firsts[middle] as number) <= index) low = middle;
      else high = middle - 1;
    }
    const range = this.#range(low);
    const within = range === undefined ? -1 : index - range.first;
    if (range === undefined || !(within >= 0 && within < range.count)) return undefined;
    return { partition: range.partition, offset: range.baseOffset + within };
  }

  /** In the order of the records: few if they had no keys, up to one for each if they had. */
  *ranges(): Generator<DeliveryRange, void, undefined> {
    for (let at = 0; at < this.#firsts.length; at += 1) {
      const range = this.#range(at);
      if (range !== undefined) yield range;
    }
  }

  *[Symbol.iterator](): Generator<Delivery, void, undefined> {
    for (const { count, partition, baseOffset } of this.ranges()) {
      for (let at = 0; at < count; at += 1) yield { partition, offset: baseOffset + at };
    }
  }

  /** @internal Record `index` lies at this position of its batch; indexes only grow. */
  place(index: number, place: BatchPlace, position: number): void {
    const last = this.#firsts.length - 1;
    const count = this.#counts[last] ?? 0;
    const follows = this.#places[last] === place && this.#firsts[last] === index - count;
    if (follows && this.#positions[last] === position - count) {
      this.#counts[last] = count + 1;
      return;
    }
    this.#firsts.push(index);
    this.#counts.push(1);
    this.#places.push(place);
    this.#positions.push(position);
  }

  /** @internal The records that this batch has of the call. */
  *indexesIn(place: BatchPlace): Generator<number, void, undefined> {
    for (const [at, each] of this.#places.entries()) {
      const first = this.#firsts[at] as number;
      if (each === place) for (let within = 0; within < (this.#counts[at] as number); within += 1) yield first + within;
    }
  }

  #range(at: number): DeliveryRange | undefined {
    const place = this.#places[at];
    if (place === undefined || place.baseOffset < 0) return undefined;
    const baseOffset = place.baseOffset + (this.#positions[at] as number);
    return {
      first: this.#firsts[at] as number,
      count: this.#counts[at] as number,
      partition: place.partition,
      baseOffset,
    };
  }
}
