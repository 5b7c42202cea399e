import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { expect, test } from 'vitest';
import { root } from './repository-files.ts';

const fuzz = (...args: readonly string[]): { readonly status: number | null; readonly stdout: string } =>
  spawnSync(process.execPath, [path.join(root, 'scripts', 'fuzz.ts'), ...args], { encoding: 'utf8' });

test('the command runs every input that it is asked for, over processes, and says what they took', () => {
  const { status, stdout } = fuzz('--target', 'footers', '--inputs', '60000', '--json');
  expect([status, JSON.parse(stdout)]).toMatchObject([
    0,
    { ok: true, target: 'footers', inputs: 60_000, problems: [] },
  ]);
}, 60_000);

test('state snapshots of any bytes are read or refused', () => {
  const { status, stdout } = fuzz('--target', 'snapshots', '--inputs', '20000', '--json');
  expect([status, JSON.parse(stdout)]).toMatchObject([0, { ok: true, inputs: 20_000, problems: [] }]);
}, 60_000);

test('without a target it lists them, and one that there is not is wrong usage', () => {
  expect(fuzz('--json')).toMatchObject({ status: 0, stdout: expect.stringContaining('journals') as unknown });
  expect(fuzz('--target', 'nothing').status).toBe(2);
}, 60_000);
