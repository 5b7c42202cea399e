/** What the disk itself gives, below the node log: one write after another, each durable before the next. */
import fs from 'node:fs';
import type { BenchFigure } from './figure.ts';
import { latencyFigures, type Sample, together } from './storage-samples.ts';

const writeSizes = [4 * 1024, 64 * 1024, 1024 * 1024] as const;
const fileBytesMax = 64 * 1024 * 1024;
const rounds = 3;
/** Of each round. */
const measuredMs = 100;

type Space = 'growing' | 'extended' | 'zeroed';
type Way = 'write + fdatasync' | 'O_DSYNC';

/** All of them in turn, a few times over: a disk that others use is not the same from one second to the next. */
export async function* rawDisk(directory: string): AsyncGenerator<BenchFigure, void, undefined> {
  const samples = new Map<string, Sample[]>();
  for (let round = 0; round < rounds; round += 1) {
    for (const writeBytes of writeSizes) {
      for (const space of ['growing', 'extended', 'zeroed'] as const) {
        for (const way of ['write + fdatasync', 'O_DSYNC'] as const) {
          const name = `raw ${writeBytes / 1024} KiB, ${space} file, ${way}`;
          const sample = await measure(`${directory}/raw`, { writeBytes, space, way });
          samples.set(name, [...(samples.get(name) ?? []), sample]);
        }
      }
    }
  }
  for (const [name, taken] of samples) yield { name, ...latencyFigures(together(taken)) };
}

async function measure(path: string, what: { writeBytes: number; space: Space; way: Way }): Promise<Sample> {
  const { writeBytes, space, way } = what;
  prepare(path, space);
  const { O_RDWR, O_DSYNC } = fs.constants;
  const descriptor = fs.openSync(path, way === 'O_DSYNC' ? O_RDWR | O_DSYNC : O_RDWR);
  const buffer = Buffer.alloc(writeBytes, 1);
  const latenciesMs: number[] = [];
  const cpu = process.cpuUsage();
  const startMs = performance.now();
  let position = 0;
  let nowMs = startMs;
  while (nowMs - startMs < measuredMs && position + writeBytes <= fileBytesMax) {
    await called((done) => fs.writev(descriptor, [buffer], position, done));
    if (way !== 'O_DSYNC') await called((done) => fs.fdatasync(descriptor, done));
    const endMs = performance.now();
    latenciesMs.push(endMs - nowMs);
    nowMs = endMs;
    position += writeBytes;
  }
  const used = process.cpuUsage(cpu);
  fs.closeSync(descriptor);
  fs.rmSync(path);
  return { latenciesMs, bytes: position, elapsedMs: nowMs - startMs, cpuUs: used.user + used.system };
}

function prepare(path: string, space: Space): void {
  const descriptor = fs.openSync(path, 'w');
  if (space === 'extended') fs.ftruncateSync(descriptor, fileBytesMax);
  const zeros = Buffer.alloc(space === 'zeroed' ? 1024 * 1024 : 0);
  for (let at = 0; at < fileBytesMax && zeros.length > 0; at += zeros.length) fs.writeSync(descriptor, zeros);
  fs.fsyncSync(descriptor);
  fs.closeSync(descriptor);
}

const called = (run: (done: (error: Error | null) => void) => void): Promise<void> =>
  new Promise((resolve, reject) => run((error) => (error === null ? resolve() : reject(error))));
