import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { boundedRun, type RunOptions } from './bounded-run.ts';

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'sluice-bounded-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

const run = (script: string, options: Partial<RunOptions> = {}) =>
  boundedRun({
    command: [process.execPath, '-e', script],
    cwd: folder,
    env: process.env,
    budgetMs: 8_000,
    output: 'none',
    ...options,
  });

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    // A zombie that nobody has reaped yet still takes signals; it runs no more.
    return !/^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
};

test('the exit code decides', async () => {
  expect((await run('')).outcome).toBe('passed');
  expect((await run('process.exit(3)')).outcome).toBe('failed');
  expect((await run('', { command: ['no-such-program'] })).outcome).toBe('failed');
});

test('over budget ends the command, also one that ignores SIGTERM, and what it started', async () => {
  const script = `
    const child = require('child_process').spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)']);
    require('fs').writeFileSync('pid', String(child.pid));
    process.on('SIGTERM', () => {});
    setInterval(() => {}, 1000);`;
  const result = await run(script, { budgetMs: 500, graceMs: 100 });
  expect(result.outcome).toBe('over-budget');
  await expect.poll(() => isAlive(Number(readFileSync(path.join(folder, 'pid'), 'utf8')))).toBe(false);
});

test('what a command leaves in the background is gone when it is over', async () => {
  const script = `
    const child = require('child_process').spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' });
    require('fs').writeFileSync('pid', String(child.pid));
    process.exit(0);`;
  expect((await run(script)).outcome).toBe('passed');
  await expect.poll(() => isAlive(Number(readFileSync(path.join(folder, 'pid'), 'utf8')))).toBe(false);
});

test('a stop ends it', async () => {
  expect((await run('setInterval(() => {}, 1000)', { stop: AbortSignal.abort() })).outcome).toBe('stopped');
});
