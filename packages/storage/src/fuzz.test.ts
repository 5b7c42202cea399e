/** Some inputs of each target; `npm run -s fuzz -- --target NAME --inputs 1000000` runs more of them. */
import { expect, test } from 'vitest';
import { fuzz } from './fuzz.testing.ts';
import { fuzzTarget, fuzzTargetNames } from './fuzz-targets.testing.ts';

const slow: ReadonlySet<string> = new Set(['journals', 'checkpoints']);

test.each(fuzzTargetNames)(
  '%s: random and mutated inputs are read or refused, at once and in little room',
  async (name) => {
    const target = await fuzzTarget(name);
    expect(target.samples.length).toBeGreaterThan(0);
    const result = await fuzz(target, { seed: 1, first: 0, inputs: slow.has(name) ? 300 : 5000 });
    expect(result.problems).toEqual([]);
  },
  60_000,
);

test('a crash, a long list and room for what a length field says are each found', async () => {
  const target = await fuzzTarget('rows');
  const run = { seed: 1, first: 0, inputs: 50 };
  const crash = await fuzz(
    {
      ...target,
      decode: () => {
        throw new RangeError('offset');
      },
    },
    run,
  );
  expect(crash.problems[0]).toContain('RangeError');
  const room = await fuzz({ ...target, decode: () => void new Uint8Array(10_000_000) }, run);
  expect(room.problems[0]).toContain('allocates 10000000');
});
