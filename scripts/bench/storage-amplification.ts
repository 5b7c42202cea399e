/**
 * What is written for each byte that is appended, rewrites in the background included, and what files take beside what
 * lives: scaled down, over a disk in memory and a clock of its own. Bytes are counted, no time is measured, and every run
 * finds the same.
 */
import { installCrc32c } from '../../packages/record/src/mod.ts';
import {
  type Amplification,
  amplificationOf,
  type Workload,
} from '../../packages/storage/src/amplification.testing.ts';
import { longRuns, mixed, shortRuns } from '../../packages/storage/src/amplification-workloads.testing.ts';
import { nativeCrc32c } from '../../packages/wire/src/native-crc32c.ts';
import { type BenchFigure, rounded } from './figure.ts';
import { compactedBeside } from './storage-compaction.ts';

type Figures = AsyncGenerator<BenchFigure, void, undefined>;

const MiB = 1024 * 1024;
const spaceBounds = [1.2, 1.35, 1.5, 2, 3];
/** Where the bound decides nothing, that is seen by its ends. */
const fewBounds = [1.2, 1.5, 3];
const defaultBound = 1.5;
/** The policy lets two be garbage beyond the bound; the open file and its space ahead come to it. */
const filesBeyondBoundMax = 3;

export async function* amplification(): Figures {
  const native = nativeCrc32c();
  if (typeof native !== 'string') installCrc32c(native);
  yield await writeFigure('long runs, retention by size', longRuns(), 1.1);
  yield await writeFigure('1,000 partitions that expire together, runs of 4 KiB', shortRuns(1000, 4), 2.1);
  yield await writeFigure('1,000 partitions that expire together, runs of 1 KiB', shortRuns(1000, 1, 16), 2.1);
  for (const runs of ['long', 'short'] as const) {
    for (const bound of runs === 'long' ? spaceBounds : fewBounds) {
      const found = await amplificationOf(mixed(runs, bound));
      yield curveFigure(`1, 4 and 16 h and for ever, ${runs} runs, bound ${bound}`, found, bound);
    }
  }
  for (const keys of ['uniform', 'skewed'] as const) {
    for (const bound of fewBounds) yield await compactedFigure(keys, bound);
  }
}

async function writeFigure(name: string, workload: Workload, goal: number): Promise<BenchFigure> {
  const found = await amplificationOf(workload);
  return {
    name: `write amplification, ${name}`,
    ...figuresOf(found),
    goal: `<= ${goal}`,
    met: found.written <= goal ? 'yes' : 'no',
  };
}

function curveFigure(name: string, found: Amplification, bound: number): BenchFigure {
  const figure = { name: `write amplification, ${name}`, ...figuresOf(found) };
  if (bound !== defaultBound) return figure;
  const met = found.beyondFiles <= filesBeyondBoundMax ? 'yes' : 'no';
  return { ...figure, goal: `disk <= ${bound} x live + ${filesBeyondBoundMax} journal files`, met };
}

async function compactedFigure(keys: 'uniform' | 'skewed', bound: number): Promise<BenchFigure> {
  const size = { ratios: [] as number[], passes: 0 };
  const found = await amplificationOf(compactedBeside(keys, bound, size));
  const mean = size.ratios.reduce((sum, ratio) => sum + ratio, 0) / size.ratios.length;
  return {
    ...curveFigure(`compacted, ${keys} keys, bound ${bound}`, found, bound),
    compactedByNewestMean: rounded(mean, 2),
    compactedByNewestPeak: rounded(Math.max(...size.ratios), 2),
    passes: size.passes,
  };
}

function figuresOf(found: Amplification) {
  const { written, writtenFor, spaceMean, spacePeak, beyondFiles, beyondFilesEver, appendedBytes, rewrites } = found;
  return {
    unit: 'ratio',
    value: rounded(written, 3),
    groups: rounded(writtenFor.groups, 3),
    footers: rounded(writtenFor.footers, 3),
    rewrites: rounded(writtenFor.rewrites, 3),
    checkpoints: rounded(writtenFor.checkpoints, 4),
    manifests: rounded(writtenFor.manifests, 4),
    spaceMean: rounded(spaceMean, 2),
    spacePeak: rounded(spacePeak, 2),
    filesBeyondBound: rounded(beyondFiles, 1),
    filesBeyondBoundInRewrite: rounded(beyondFilesEver, 1),
    appendedMib: Math.round(appendedBytes / MiB),
    rewriteCount: rewrites,
  };
}
