/** What the disk itself takes: a write that is synced before the next one. Said beside every system's figures. */
import { closeSync, fdatasyncSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import path from 'node:path';
import type { FigureLine } from './figure-line.ts';
import { median } from './report.ts';

const sizes = [4, 64, 1024] as const;
const measuredMs = 1500;

/** Writes at the end of a growing file below `directory`, and removes it. */
export function diskProbe(directory: string): readonly FigureLine[] {
  const place = mkdtempSync(path.join(directory, 'sluice-disk-probe-'));
  try {
    return sizes.map((kib) => probe(path.join(place, `${kib}`), kib));
  } finally {
    rmSync(place, { recursive: true });
  }
}

function probe(file: string, kib: number): FigureLine {
  const bytes = new Uint8Array(kib * 1024).fill(0x61);
  const fd = openSync(file, 'w');
  const tookMs: number[] = [];
  const startMs = performance.now();
  let endMs = startMs;
  try {
    while (endMs - startMs < measuredMs) {
      const fromMs = endMs;
      writeSync(fd, bytes);
      fdatasyncSync(fd);
      endMs = performance.now();
      tookMs.push(endMs - fromMs);
    }
  } finally {
    closeSync(fd);
  }
  const sorted = tookMs.toSorted((one, other) => one - other);
  const p99 = sorted[Math.floor(sorted.length * 0.99)] ?? Number.NaN;
  return {
    system: 'disk',
    work: `disk ${kib} KiB write and fdatasync`,
    bytesPerSecond: Math.round((tookMs.length * bytes.length * 1000) / (endMs - startMs)),
    latencyMs: { p50: rounded(median(sorted)), p99: rounded(p99) },
  };
}

const rounded = (ms: number): number => Number(ms.toFixed(3));
