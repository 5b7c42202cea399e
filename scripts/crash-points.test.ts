/** The crash points of the storage engine, by the command that runs more of them: evenly over one round of its workloads. */
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { expect, test } from 'vitest';
import { root } from './repository-files.ts';

function crashPoints(...args: readonly string[]): { readonly status: number | null; readonly last: unknown } {
  const script = path.join(root, 'scripts', 'crash-points.ts');
  const { status, stdout } = spawnSync(process.execPath, [script, ...args], { encoding: 'utf8' });
  return { status, last: JSON.parse(stdout) as unknown };
}

test('a crash at any disk operation, with any leftover, loses nothing durable, invents nothing and revives nothing', () => {
  const { status, last } = crashPoints('--points', '2040', '--json');
  expect(last).toMatchObject({ ok: true, points: 2040, problems: [] });
  expect(status).toBe(0);
}, 240_000);

test('EIO or ENOSPC at any disk operation, with any effect: the node stops with a sentence and acks nothing, or need not', () => {
  const { status, last } = crashPoints('--kind', 'failure', '--points', '720', '--json');
  expect(last).toMatchObject({ ok: true, points: 720, problems: [] });
  expect(status).toBe(0);
}, 240_000);

test('a loss is found, named, and found again by its name', () => {
  const { status, last } = crashPoints('--points', '100', '--forget-syncs', '--json');
  expect([status, last]).toMatchObject([1, { ok: false }]);
  const point = (last as { problems: readonly string[] }).problems[0]?.split(': ')[0] ?? '';
  expect(crashPoints('--replay', point, '--forget-syncs').status).toBe(1);
  expect(crashPoints('--replay', point)).toMatchObject({ status: 0, last: { verdict: 'fine' } });
}, 60_000);
