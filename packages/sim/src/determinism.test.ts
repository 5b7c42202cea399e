/** The same seed is the same run: in another process, after other runs, under another test runner. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { runSeed } from './run-seed.ts';

const run = promisify(execFile);
const script = fileURLToPath(new URL('trace-hashes.testing.ts', import.meta.url));
const seeds = Array.from({ length: 10 }, (_, at) => String(at + 1));

test('ten seeds have the same trace hashes here and, in the other order, in a fresh process', async () => {
  const elsewhere = run(process.execPath, [script, ...seeds.toReversed()]);
  const here: Record<string, string> = {};
  for (const seed of seeds) {
    const { result } = await runSeed(Number(seed));
    here[seed] = result.traceHash;
  }
  const { stdout } = await elsewhere;
  expect(JSON.parse(stdout)).toEqual(here);
  expect(new Set(Object.values(here)).size).toBe(seeds.length);
}, 400_000);
