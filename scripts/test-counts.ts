/** Counts of test cases, and how they are read from what vitest's JSON reporter wrote. */
import path from 'node:path';

export interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

export const noCounts: Counts = { passed: 0, failed: 0, skipped: 0 };

export const addCounts = (a: Counts, b: Counts): Counts => ({
  passed: a.passed + b.passed,
  failed: a.failed + b.failed,
  skipped: a.skipped + b.skipped,
});

/** The closing line of the test command. */
export const closingLine = (counts: Counts): string =>
  `${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`;

interface Report {
  readonly success: boolean;
  readonly testResults: readonly {
    readonly name: string;
    readonly status: string;
    readonly assertionResults: readonly { readonly status: string; readonly fullName: string }[];
  }[];
}

function fileCounts({ status, assertionResults }: Report['testResults'][number]): Counts {
  const count = (wanted: string): number => assertionResults.filter((each) => each.status === wanted).length;
  const passed = count('passed');
  const failed = count('failed');
  // A file that cannot even be loaded has no test cases to count, and is a failure all the same.
  const broken = status === 'failed' && failed === 0 ? 1 : 0;
  return { passed, failed: failed + broken, skipped: assertionResults.length - passed - failed };
}

/**
 * @param text what the reporter wrote, or undefined when it wrote nothing
 * @param succeeded whether vitest exited with 0: an error outside any test fails a run in which every test passed
 */
export function vitestCounts(text: string | undefined, succeeded: boolean): Counts {
  let counts = noCounts;
  if (text !== undefined) {
    const report = JSON.parse(text) as Report;
    counts = report.testResults.map(fileCounts).reduce(addCounts, noCounts);
  }
  return succeeded || counts.failed > 0 ? counts : { ...counts, failed: 1 };
}

/** A line for each test that failed, and for each file, below `root`, that did not load. @param text as of `vitestCounts` */
export function vitestFailures(text: string | undefined, root: string): readonly string[] {
  if (text === undefined) return [];
  return (JSON.parse(text) as Report).testResults.flatMap(({ name, status, assertionResults }) => {
    const file = path.relative(root, name);
    const failed = assertionResults.filter((each) => each.status === 'failed');
    if (failed.length > 0) return failed.map(({ fullName }) => `${file}: ${fullName}`);
    return status === 'failed' ? [file] : [];
  });
}
