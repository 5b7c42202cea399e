/** What a node log costs a process that does nothing with it, and how long one takes to open. */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { type BenchFigure, inTurn, median, rounded } from './figure.ts';

const child = fileURLToPath(new URL('storage-child.ts', import.meta.url));
const pairCount = 5;

interface Idle {
  readonly rssMb: number;
  readonly descriptors: number;
}

interface Recovered {
  /** Until all replicas are loaded. */
  readonly ms: number;
  /** Until the node log is open. */
  readonly openMs: number;
  /** Replicas that know of all their producers. */
  readonly knowing: number;
  /** Of all threads. */
  readonly cpuMs: number;
  readonly partitions: number;
  readonly readBytes: number;
  readonly scannedFiles: number;
  readonly rssMb: number;
}

/** 10,000 partitions with a batch in each, opened and left alone, beside a process with the same modules. */
export async function* idleLog(directory: string): AsyncGenerator<BenchFigure, void, undefined> {
  const at = `${directory}/idle`;
  await inChild('fill', at);
  const pairs = await inTurn(
    pairCount,
    () => inChild<Idle>('idle', at),
    () => inChild<Idle>('empty', at),
  );
  const ours = pairs.map((pair) => rounded(pair.ours.rssMb, 1));
  const other = pairs.map((pair) => rounded(pair.other.rssMb, 1));
  const value = rounded(median(ours.map((mb, pair) => mb - (other[pair] ?? 0))), 1);
  yield { name: 'idle log of 10,000 partitions over an empty process', unit: 'MB', value, goal: '<= 32', ours, other };
  const descriptors = median(pairs.map((pair) => pair.ours.descriptors - pair.other.descriptors));
  yield {
    name: 'file descriptors of an idle log of 10,000 partitions',
    unit: 'count',
    value: descriptors,
    goal: '<= 80',
  };
}

/** 10 GB over 10,000 partitions with producers: until the node log is open, and the replicas are loaded from it. */
export async function* recovery(directory: string): AsyncGenerator<BenchFigure, void, undefined> {
  const at = `${directory}/recovery`;
  const { diskBytes, files } = await inChild<{ diskBytes: number; files: number }>('fill-sparse', at);
  const size = `${rounded(diskBytes / 1e9, 1)} GB in ${files} files`;
  yield opened(`open ${size} after a clean stop`, await times(() => inChild<Recovered>('open', at)));
  // The first of these finds a clean stop and leaves none.
  await inChild<Recovered>('open-and-die', at);
  yield opened(`open ${size} after a kill`, await times(() => inChild<Recovered>('open-and-die', at)));
}

async function times<T>(run: () => Promise<T>): Promise<readonly T[]> {
  const results: T[] = [];
  for (let at = 0; at < pairCount; at += 1) results.push(await run());
  return results;
}

function opened(name: string, all: readonly Recovered[]): BenchFigure {
  const ours = all.map(({ ms }) => Math.round(ms));
  const last = all.at(-1);
  if (last === undefined) throw new Error('nothing was opened');
  const { partitions, knowing, readBytes, scannedFiles, rssMb } = last;
  return {
    name,
    unit: 'ms',
    value: median(ours),
    goal: '<= 5000',
    ours,
    cpuMs: Math.round(median(all.map(({ cpuMs }) => cpuMs))),
    openMs: all.map(({ openMs }) => Math.round(openMs)),
    partitions,
    knowing,
    readMb: rounded(readBytes / 1e6, 1),
    scannedFiles,
    rssMb: Math.round(rssMb),
  };
}

/** The line that it prints, also when it kills itself afterwards. */
function inChild<T>(role: string, at: string): Promise<T> {
  return new Promise((resolve, reject) => {
    const running = spawn(process.execPath, [child, role, at], { stdio: ['ignore', 'pipe', 'inherit'] });
    const end = (): void => void running.kill('SIGKILL');
    process.once('exit', end);
    let output = '';
    running.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      output += chunk;
    });
    running.once('error', reject);
    running.once('close', (code, signal) => {
      process.removeListener('exit', end);
      if (output.endsWith('\n')) resolve(JSON.parse(output) as T);
      else reject(new Error(`the process for ${role} ended with ${signal ?? code}`));
    });
  });
}
