import { configDefaults, defineConfig } from 'vitest/config';

/**
 * One project a suite; `scripts/test.ts` runs them one after the other, each within its budget.
 * A test that needs longer than its suite's timeout says so itself. Nothing is retried: a flaky test is a red test.
 */
export default defineConfig({
  test: {
    exclude: [...configDefaults.exclude, '**/testdata/**'],
    pool: 'forks',
    maxWorkers: 2,
    retry: 0,
    watch: false,
    teardownTimeout: 30_000,
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          include: ['packages/*/src/**/*.test.ts', 'scripts/**/*.test.ts', 'e2e/*.test.ts'],
          // The repository rules run in `--only static`, before anything is executed.
          exclude: [...configDefaults.exclude, 'packages/sim/**', 'scripts/repository.test.ts'],
          testTimeout: 10_000,
          hookTimeout: 10_000,
        },
      },
      {
        extends: true,
        test: { name: 'repository', include: ['scripts/repository.test.ts'], testTimeout: 30_000 },
      },
      {
        extends: true,
        test: { name: 'simulation', include: ['packages/sim/**/*.test.ts'], testTimeout: 120_000 },
      },
      {
        extends: true,
        // Real processes share two cores: one file at a time, or the tests measure each other.
        test: {
          name: 'processes',
          include: ['e2e/processes/**/*.test.ts'],
          fileParallelism: false,
          testTimeout: 120_000,
          hookTimeout: 60_000,
        },
      },
      {
        extends: true,
        test: {
          name: 'containers',
          include: ['e2e/containers/**/*.test.ts'],
          fileParallelism: false,
          testTimeout: 300_000,
          hookTimeout: 300_000,
        },
      },
    ],
  },
});
