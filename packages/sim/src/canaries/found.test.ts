/**
 * A simulator that has gone blind fails here: the canaries that are found soonest, each by another eye, within a few seeds.
 * All of them: `npm run -s sim -- --canaries`.
 */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

const run = promisify(execFile);
const script = fileURLToPath(new URL('../../../../scripts/sim.ts', import.meta.url));

/** By whom each is seen; more seeds than it ever took. */
const seenBy: Readonly<Record<string, string>> = {
  'vote-not-persisted': 'vote-is-durable',
  'own-entry-counted-before-sync': 'committed-is-durable',
  'ack-before-sync': 'no-doubt-without-damage',
  'image-encoded-late': 'InvariantError',
  'decided-before-applied': 'InvariantError',
};
const seeds = '12';

interface Line {
  readonly canary: string;
  readonly found: boolean;
  readonly by: string;
}

test('canaries are seen, and without them the same seeds show nothing', async () => {
  const chosen = Object.keys(seenBy).flatMap((name) => ['--canary', name]);
  const { stdout } = await run(process.execPath, [script, ...chosen, '--seeds', seeds, '--json']);
  const lines = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Line);
  expect(Object.fromEntries(lines.map(({ canary, found, by }) => [canary, found && by]))).toEqual(seenBy);
}, 400_000);

test('a canary that is not found within the seeds is a failure', async () => {
  const hidden = run(process.execPath, [script, '--canary', 'two-changes-at-once', '--seeds', '1', '--json']);
  await expect(hidden).rejects.toMatchObject({ code: 1, stdout: expect.stringContaining('"found":false') as string });
}, 400_000);
