import { expect, test } from 'vitest';
import { addCounts, closingLine, vitestCounts, vitestFailures } from './test-counts.ts';

const report = (...files: readonly (readonly [status: string, ...cases: string[]])[]): string =>
  JSON.stringify({
    success: true,
    testResults: files.map(([status, ...cases], file) => ({
      name: `/repository/scripts/${file}.test.ts`,
      status,
      assertionResults: cases.map((each, index) => ({ status: each, fullName: `case ${index}` })),
    })),
  });

test('every case is counted once, over all files', () => {
  const text = report(['passed', 'passed', 'passed', 'skipped'], ['failed', 'failed', 'passed', 'pending', 'todo']);
  expect(vitestCounts(text, false)).toEqual({ passed: 3, failed: 1, skipped: 3 });
});

test('a file that does not load is a failure', () => {
  expect(vitestCounts(report(['failed'], ['passed', 'passed']), false)).toEqual({ passed: 1, failed: 1, skipped: 0 });
});

test('a run that fails without a failing test, or writes nothing, is a failure', () => {
  expect(vitestCounts(report(['passed', 'passed']), false)).toEqual({ passed: 1, failed: 1, skipped: 0 });
  expect(vitestCounts(undefined, false)).toEqual({ passed: 0, failed: 1, skipped: 0 });
});

test('what failed is named: cases, and files that do not load', () => {
  const text = report(['passed', 'passed'], ['failed', 'passed', 'failed', 'failed'], ['failed']);
  expect(vitestFailures(text, '/repository')).toEqual([
    'scripts/1.test.ts: case 1',
    'scripts/1.test.ts: case 2',
    'scripts/2.test.ts',
  ]);
  expect(vitestFailures(undefined, '/repository')).toEqual([]);
});

test('the closing line', () => {
  const counts = addCounts({ passed: 1, failed: 0, skipped: 2 }, { passed: 3, failed: 1, skipped: 0 });
  expect(closingLine(counts)).toBe('4 passed, 1 failed, 2 skipped');
});
