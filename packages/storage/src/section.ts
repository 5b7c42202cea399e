/** A part of a footer's payload that is read by itself, checked by itself. */
export interface Section {
  /** In the file. */
  readonly position: number;
  readonly bytes: number;
  readonly crc: number;
}

/** One that holds the extents of a log. */
export interface ExtentSection extends Section {
  readonly extents: number;
}
