/** What rewrites cost and keep, counted: a policy that copies more, or leaves more lying, is red here. The curve is in the benchmark. */
import { expect, test } from 'vitest';
import { amplificationOf } from './amplification.testing.ts';
import { longRuns, mixed, shortRuns } from './amplification-workloads.testing.ts';

const MiB = 1024 * 1024;
/** Seconds, on a machine that has nothing else to do. */
const timeoutMs = 60_000;

test(
  'files with long runs, which die in order, are never copied: at most 1.1 bytes are written for one',
  async () => {
    const found = await amplificationOf(longRuns());
    expect(found.appendedBytes).toBeGreaterThan(32 * MiB);
    expect(found.rewrites).toBe(0);
    expect(found.written).toBeLessThan(1.1);
  },
  timeoutMs,
);

test(
  'short runs that expire together are copied once: at most 2.1 bytes are written for one',
  async () => {
    const found = await amplificationOf(shortRuns(100, 4));
    expect(found.appendedBytes).toBeGreaterThan(24 * MiB);
    expect(found.writtenFor.rewrites).toBeGreaterThan(0.9);
    expect(found.written).toBeLessThan(2.1);
  },
  timeoutMs,
);

test(
  'also where a run is one batch of 1 KiB',
  async () => {
    const found = await amplificationOf(shortRuns(250, 1, 16));
    expect(found.appendedBytes).toBeGreaterThan(12 * MiB);
    expect(found.writtenFor.rewrites).toBeGreaterThan(0.9);
    // Groups of 250 KiB end at a multiple of 4 KiB: 1 % of them.
    expect(found.written).toBeLessThan(2.1);
  },
  timeoutMs,
);

test(
  'with mixed retention files take 1.5 times what lives and three journal files at most, for 1.5 bytes written',
  async () => {
    const found = await amplificationOf(mixed('long', 1.5, { roundsInHour: 30, hours: 12 }));
    expect(found.spaceMean).toBeGreaterThan(1.2);
    expect(found.beyondFiles).toBeLessThan(3);
    // While files are copied both are there, four journal files of what lives and what is removed step by step.
    expect(found.beyondFilesEver).toBeLessThan(8);
    expect(found.written).toBeLessThan(1.5);
  },
  timeoutMs,
);
