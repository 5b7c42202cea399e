/** A line that a benchmark of any system prints; absent fields were not measured. */
export interface FigureLine {
  readonly system: string;
  readonly version?: string;
  readonly work: string;
  readonly settings?: { readonly fsync?: boolean };
  readonly recordsPerSecond?: number;
  readonly bytesPerSecond?: number;
  readonly latencyMs?: Readonly<Record<string, number>>;
  readonly rounds?: readonly number[];
  readonly restartGaps?: readonly number[];
  readonly lost?: number;
  readonly duplicated?: number;
  readonly ms?: number;
  readonly rssMb?: readonly number[];
}

/** The lines of a file of figures; anything else in it is left out. */
export const figureLines = (text: string): readonly FigureLine[] =>
  text
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as FigureLine);
