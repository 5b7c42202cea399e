/** Counts of test cases, and how they are read from what vitest's JSON reporter wrote. */
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
    readonly status: string;
    readonly assertionResults: readonly { readonly status: string }[];
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
