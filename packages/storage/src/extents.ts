/**
 * Where the bytes of one log lie in one file: contiguous, in offset order, six numbers each in one array, since a
 * file may hold hundreds of thousands. It is the sparse index of the log's offsets and of its times.
 */
import { ByteReader, type ByteWriter, isPosition } from '@sluice/base';

export interface Extent {
  /** First offset of the bytes. */
  readonly base: number;
  /** One past the last offset that counts; bytes of a truncated batch may follow. */
  readonly end: number;
  /** In the file. */
  readonly position: number;
  readonly bytes: number;
  /** As in `RunRow`; over the bytes of truncated batches too. */
  readonly headsCrc: number;
  readonly maxTimestampMs: number;
}

const stride = 6;
/** In memory, of one extent. */
export const extentMemoryBytes = stride * 8;
/** The least that one takes in a footer, where most are about 13. */
export const extentBytesMin = 9;

/** Of one extent: what a frame can hold. */
const bytesMax = 0xffff_ffff;

/** Shared by all lists without any; never written to. */
const none: number[] = [];

export class ExtentList {
  #values: number[] = none;
  #bytes = 0;

  get length(): number {
    return this.#values.length / stride;
  }

  /** By the numbers that are held. */
  get memoryBytes(): number {
    return this.#values.length * 8;
  }

  /** Of all extents, on the disk. */
  get bytes(): number {
    return this.#bytes;
  }

  /** The newest record of all, 0 when there are none. */
  get maxTimestampMs(): number {
    let newest = 0;
    for (let at = 5; at < this.#values.length; at += stride) newest = Math.max(newest, this.#values[at] ?? 0);
    return newest;
  }

  /** Undefined when there are none. */
  get base(): number | undefined {
    return this.#values[0];
  }

  push(extent: Extent): void {
    const { base, end, position, bytes, headsCrc, maxTimestampMs } = extent;
    // Most of thousands of logs have one: no room for more before there is a second.
    if (this.#values.length === 0) this.#values = [base, end, position, bytes, headsCrc, maxTimestampMs];
    else this.#values.push(base, end, position, bytes, headsCrc, maxTimestampMs);
    this.#bytes += extent.bytes;
  }

  at(index: number): Extent | undefined {
    if (index < 0 || index >= this.length) return undefined;
    const field = (number: number): number => this.#values[index * stride + number] ?? 0;
    return {
      base: field(0),
      end: field(1),
      position: field(2),
      bytes: field(3),
      headsCrc: field(4),
      maxTimestampMs: field(5),
    };
  }

  /** Index of the last extent that begins at or before `offset`; −1 when none does. */
  find(offset: number): number {
    let low = 0;
    let high = this.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#values[middle * stride] ?? 0) <= offset) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  /** Offset at or behind `from` where the first extent begins that can hold a record of `sinceMs` or later. */
  findSince(from: number, sinceMs: number): number | undefined {
    for (let index = Math.max(0, this.find(from)); index < this.length; index += 1) {
      const extent = this.at(index);
      if (extent === undefined) return undefined;
      if (extent.end > from && extent.maxTimestampMs >= sinceMs) return Math.max(from, extent.base);
    }
    return undefined;
  }

  /** Keeps what lies below `end`. */
  cut(end: number): void {
    while (this.length > 0 && (this.#values.at(-stride) ?? 0) >= end) {
      this.#bytes -= this.#values.at(3 - stride) ?? 0;
      this.#values.length -= stride;
    }
    const last = this.#values.length - stride + 1;
    if (last > 0) this.#values[last] = Math.min(this.#values[last] ?? 0, end);
  }

  /** Forgets extents that lie wholly below `start`. */
  dropBelow(start: number): void {
    let dead = 0;
    while (dead < this.length && (this.#values[dead * stride + 1] ?? 0) <= start) {
      this.#bytes -= this.#values[dead * stride + 3] ?? 0;
      dead += 1;
    }
    if (dead > 0) this.#values.splice(0, dead * stride);
  }

  /** Each by how far it is from the one before; the least of it is the checksum, and a byte for each other number. */
  write(writer: ByteWriter): void {
    const values = this.#values;
    let [lastEnd, reached, lastMs] = [0, 0, 0];
    // Number by number: a footer has hundreds of thousands of extents, and an object for each is most of its time.
    for (let at = 0; at < values.length; at += stride) {
      const base = values[at] ?? 0;
      const end = values[at + 1] ?? 0;
      const position = values[at + 2] ?? 0;
      const bytes = values[at + 3] ?? 0;
      const maxTimestampMs = values[at + 5] ?? 0;
      writer.integer(base - lastEnd);
      writer.integer(end - base);
      writer.integer(position - reached);
      writer.integer(bytes);
      writer.u32(values[at + 4] ?? 0);
      writer.integer(maxTimestampMs - lastMs);
      [lastEnd, reached, lastMs] = [end, position + bytes, maxTimestampMs];
    }
  }

  /** What fills the bytes; undefined when that is not so many extents. */
  static read(bytes: Uint8Array, count: number): ExtentList | undefined {
    const reader = new ByteReader(bytes);
    const list = new ExtentList();
    let last = beforeFirst;
    for (let left = count; left > 0; left -= 1) {
      const extent = readBehind(last, reader);
      if (extent === undefined) return undefined;
      list.push(extent);
      last = extent;
    }
    return reader.left === 0 ? list : undefined;
  }
}

const beforeFirst: Extent = { base: 0, end: 0, position: 0, bytes: 0, headsCrc: 0, maxTimestampMs: 0 };

function readBehind(last: Extent, reader: ByteReader): Extent | undefined {
  const base = last.end + reader.integer();
  const end = base + reader.count();
  const position = last.position + last.bytes + reader.integer();
  const bytes = reader.count();
  const headsCrc = reader.u32();
  const maxTimestampMs = last.maxTimestampMs + reader.integer();
  const isSane = isPosition(base) && isPosition(end) && isPosition(position) && isPosition(maxTimestampMs);
  if (reader.failed || !isSane || bytes > bytesMax) return undefined;
  return { base, end, position, bytes, headsCrc, maxTimestampMs };
}
