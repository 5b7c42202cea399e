/**
 * What the indexes of a node log take in memory: the rows of the open file, a segment for each log in each finished file,
 * and what was read again of the indexes of finished files. Counted by the numbers that are held.
 *
 * I1 Half of `indexBytesMax` is for the open file, which is finished before its rows take more.
 * I2 Segments take what they take: there is one for each log and file, and recovery needs them all. What is read again gets
 *    what they leave, down to nothing.
 */
import { extentMemoryBytes } from './extents.ts';
import type { FileUse } from './file-use.ts';

/** A file is finished at this many rows at the latest: its footer must stay small. */
const journalRowsMax = 262_144;
/** About what a segment takes. */
const segmentBytes = 216;

export class IndexMemory {
  /** Of the open file. */
  readonly rowsMax: number;
  readonly #bytesMax: number;
  readonly #use: FileUse;

  constructor(bytesMax: number, use: FileUse) {
    this.#bytesMax = bytesMax;
    this.#use = use;
    this.rowsMax = Math.min(journalRowsMax, Math.floor(bytesMax / 2 / extentMemoryBytes));
  }

  /** For what is read again. */
  sectionBytesMax(): number {
    return Math.max(0, this.#bytesMax - this.rowsMax * extentMemoryBytes - this.#segmentBytes());
  }

  bytes(openRows: number, sectionBytes: number): number {
    return openRows * extentMemoryBytes + this.#segmentBytes() + sectionBytes;
  }

  #segmentBytes(): number {
    return this.#use.segments * segmentBytes + this.#use.extentBytes;
  }
}
