/** What `npm test` runs, in order, and how long each part may take. */
import { testImage } from '../e2e/test-image.ts';

export const suiteNames = ['static', 'unit', 'simulation', 'processes', 'containers'] as const;

export type SuiteName = (typeof suiteNames)[number];

export interface Step {
  readonly name: string;
  readonly command: readonly string[];
  /** `vitest` steps write their results to a file and count by test case; the others count as one check. */
  readonly kind: 'check' | 'vitest';
  /** The steps after it use what it makes: they do not run when it fails. */
  readonly isNeeded?: true;
}

export interface Suite {
  readonly name: SuiteName;
  readonly budgetMs: number;
  readonly steps: readonly Step[];
  readonly env?: Readonly<Record<string, string>>;
  /** Says what the suite needs that may not be there; it is skipped loudly then. */
  readonly needs?: 'docker';
}

const minuteMs = 60_000;

/** All suites together but `containers`. */
export const totalBudgetMs = 15 * minuteMs;

const vitest = (project: string): Step => ({
  name: project,
  kind: 'vitest',
  command: ['vitest', 'run', '--project', project, '--passWithNoTests'],
});

const check = (name: string, ...command: string[]): Step => ({ name, kind: 'check', command });

/** The same seeds every time, as many as there is time for: a red run is red again. */
const seeds = check('seeds', 'node', 'scripts/sim.ts', '--minutes', '2');

export const suites: readonly Suite[] = [
  {
    name: 'static',
    budgetMs: 2 * minuteMs,
    steps: [
      check('format', 'biome', 'format', '.'),
      check('lint', 'oxlint', '--type-aware', '--deny-warnings', '.'),
      check('types', 'tsc', '-p', 'tsconfig.json'),
      check('purity', 'tsc', '-p', 'tsconfig.pure.json'),
      vitest('repository'),
    ],
  },
  { name: 'unit', budgetMs: 8 * minuteMs, steps: [vitest('unit')] },
  { name: 'simulation', budgetMs: 6 * minuteMs, steps: [vitest('simulation'), seeds] },
  { name: 'processes', budgetMs: 8 * minuteMs, steps: [vitest('processes')] },
  {
    name: 'containers',
    budgetMs: 12 * minuteMs,
    steps: [
      { ...check('image', 'node', 'scripts/image.ts', '--tag', testImage), isNeeded: true },
      vitest('containers'),
    ],
    needs: 'docker',
    // The reaper is an image of its own, and the test command removes what a suite leaves.
    env: { TESTCONTAINERS_RYUK_DISABLED: 'true' },
  },
];
