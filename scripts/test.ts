/**
 * The one test command. Runs the suites of `suites.ts` in order, each within its budget, prints the time used, and ends
 * with `N passed, N failed, N skipped` alone on the last line. With `--json` stdout carries one JSON object instead.
 *
 *   npm test                         everything that can run here
 *   npm test -- --only unit          one suite; may be repeated
 *   npm test -- --only static --json
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { boundedRun, type RunResult } from './bounded-run.ts';
import { removeLeftovers } from './docker-leftovers.ts';
import { root } from './repository-files.ts';
import { type Step, type Suite, type SuiteName, suiteNames, suites, totalBudgetMs } from './suites.ts';
import { addCounts, closingLine, type Counts, noCounts, vitestCounts, vitestFailures } from './test-counts.ts';

interface SuiteResult {
  readonly name: SuiteName;
  readonly counts: Counts;
  readonly ms: number;
  readonly budgetMs: number;
  readonly note: string;
  /** A line for each test or check that failed. */
  readonly failures: readonly string[];
}

interface Session {
  readonly json: boolean;
  readonly temporary: string;
  readonly stop: AbortSignal;
  readonly deadlineMs: number;
}

const progressMs = 60_000;

const say = (line: string): void => console.error(line);

const minutes = (ms: number): string => `${(ms / 60_000).toFixed(1)} min`;

const isSuiteName = (name: string): name is SuiteName => suiteNames.some((each) => each === name);

function readArguments(): { readonly only: readonly SuiteName[]; readonly json: boolean } | undefined {
  try {
    const { values } = parseArgs({
      options: { only: { type: 'string', multiple: true }, json: { type: 'boolean', default: false } },
    });
    const only = values.only ?? suiteNames;
    const unknown = only.find((name) => !isSuiteName(name));
    if (unknown !== undefined) throw new Error(`there is no suite '${unknown}'`);
    return { only: only.filter(isSuiteName), json: values.json };
  } catch (error) {
    say(`${error instanceof Error ? error.message : String(error)}`);
    say(`usage: npm test -- [--only ${suiteNames.join('|')}]... [--json]`);
    return undefined;
  }
}

function environment(session: Session, suite: Suite): NodeJS.ProcessEnv {
  const bin = path.join(root, 'node_modules', '.bin');
  return {
    ...process.env,
    ...suite.env,
    PATH: `${bin}${path.delimiter}${process.env['PATH'] ?? ''}`,
    // What a suite that was killed leaves behind goes with our own folder.
    TMPDIR: session.temporary,
  };
}

function readReport(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined; // Killed or crashed before it wrote: counted as a failure.
  }
}

async function runStep(
  session: Session,
  suite: Suite,
  step: Step,
  budgetMs: number,
): Promise<{
  readonly counts: Counts;
  readonly outcome: RunResult['outcome'];
  readonly failures: readonly string[];
}> {
  const report = path.join(session.temporary, `${step.name}.json`);
  const reporting = ['--reporter=default', '--reporter=json', `--outputFile.json=${report}`];
  const { outcome, ms } = await boundedRun({
    command: step.kind === 'vitest' ? [...step.command, ...reporting] : step.command,
    cwd: root,
    env: environment(session, suite),
    budgetMs,
    output: session.json ? 'stderr' : 'inherit',
    stop: session.stop,
  });
  const passed = outcome === 'passed';
  if (step.kind === 'vitest') {
    const text = readReport(report);
    return { counts: vitestCounts(text, passed), outcome, failures: vitestFailures(text, root) };
  }
  say(`${passed ? 'ok    ' : 'FAILED'} ${step.name} (${(ms / 1000).toFixed(1)} s): ${step.command.join(' ')}`);
  return {
    counts: { passed: passed ? 1 : 0, failed: passed ? 0 : 1, skipped: 0 },
    outcome,
    failures: passed ? [] : [step.name],
  };
}

async function runSuite(session: Session, suite: Suite): Promise<SuiteResult> {
  const startMs = performance.now();
  const left = suite.needs === undefined ? session.deadlineMs - startMs : Number.POSITIVE_INFINITY;
  const budgetMs = Math.max(1, Math.min(suite.budgetMs, left));
  say(`\n== ${suite.name} (budget ${minutes(budgetMs)})`);
  const result = (counts: Counts, note: string, failures: readonly string[] = []): SuiteResult => {
    return { name: suite.name, counts, ms: performance.now() - startMs, budgetMs, note, failures };
  };
  if (suite.needs !== 'docker') {
    const { counts, note, failures } = await runSteps(session, suite, startMs + budgetMs);
    return result(counts, note, failures);
  }
  if (!(await engineAnswers(session, suite))) {
    const counts = await casesWithoutDocker(session, suite);
    say(
      `SKIPPED: no Docker engine answers, so ${counts.skipped} container tests do not run; scripts/docker-engine.sh starts one`,
    );
    return result(counts, 'no Docker engine');
  }
  const earlier = await cleanUp('an earlier run');
  if (earlier === undefined) return result({ ...noCounts, failed: 1 }, 'cannot clean up');
  const { counts, note, failures } = await runSteps(session, suite, startMs + budgetMs);
  const leftovers = await cleanUp('the suite');
  if (leftovers === undefined) return result({ ...counts, failed: counts.failed + 1 }, 'cannot clean up', failures);
  // A suite that was killed could not do it; any other should have.
  if (leftovers === 0 || note !== '') return result(counts, note, failures);
  return result({ ...counts, failed: counts.failed + 1 }, 'left containers, networks or volumes behind', failures);
}

/** The number of things that were left; undefined when they are left still. */
async function cleanUp(by: string): Promise<number | undefined> {
  try {
    const removed = await removeLeftovers();
    if (removed.length > 0) say(`removed what ${by} left: ${removed.join(', ')}`);
    return removed.length;
  } catch (error) {
    say(`FAILED to remove what ${by} left: ${error instanceof Error ? error.message : String(error)}`);
    return undefined;
  }
}

interface StepsResult {
  readonly counts: Counts;
  /** Empty when every step ended by itself. */
  readonly note: string;
  readonly failures: readonly string[];
}

async function runSteps(session: Session, suite: Suite, deadlineMs: number): Promise<StepsResult> {
  const startMs = performance.now();
  const progress = setInterval(() => {
    say(`.. ${suite.name}: ${minutes(performance.now() - startMs)} of ${minutes(deadlineMs - startMs)}`);
  }, progressMs);
  let counts = noCounts;
  let note = '';
  const failures: string[] = [];
  for (const step of suite.steps) {
    const ran = await runStep(session, suite, step, Math.max(1, deadlineMs - performance.now()));
    const { outcome } = ran;
    counts = addCounts(counts, ran.counts);
    failures.push(...ran.failures);
    if (outcome === 'over-budget') note = `${step.name} was killed: over budget`;
    if (outcome === 'stopped') note = 'stopped';
    if (outcome !== 'passed' && step.isNeeded === true) {
      note ||= `${step.name} failed: the rest did not run`;
      break;
    }
  }
  clearInterval(progress);
  if (note === '' && counts.passed + counts.failed + counts.skipped === 0) note = 'no tests';
  return { counts, note, failures };
}

/** A short command that says what a suite can do here; true when it succeeds. */
async function succeeds(
  session: Session,
  suite: Suite,
  { command, output }: { readonly command: readonly string[]; readonly output: 'none' | 'stderr' },
): Promise<boolean> {
  const env = environment(session, suite);
  const { outcome } = await boundedRun({ command, cwd: root, env, budgetMs: progressMs, output, stop: session.stop });
  return outcome === 'passed';
}

const engineAnswers = (session: Session, suite: Suite): Promise<boolean> =>
  succeeds(session, suite, { command: ['docker', 'info'], output: 'none' });

/** The container tests that cannot run because no engine answers. */
async function casesWithoutDocker(session: Session, suite: Suite): Promise<Counts> {
  const list = path.join(session.temporary, 'list.json');
  const command = ['vitest', 'list', '--project', suite.name, `--json=${list}`];
  // Tests that cannot even be listed are a failure, engine or not.
  if (!(await succeeds(session, suite, { command, output: 'stderr' }))) return { ...noCounts, failed: 1 };
  return { ...noCounts, skipped: (JSON.parse(readReport(list) ?? '[]') as unknown[]).length };
}

function table(results: readonly SuiteResult[]): string {
  const rows = results.map((result) => [
    result.name.padEnd(11),
    `${(result.ms / 1000).toFixed(1)} s`.padStart(9),
    `of ${minutes(result.budgetMs)}`.padEnd(12),
    `passed ${result.counts.passed}, failed ${result.counts.failed}, skipped ${result.counts.skipped}`,
    result.note,
  ]);
  const totalMs = results.reduce((sum, result) => sum + result.ms, 0);
  const total = `${'all'.padEnd(11)} ${`${(totalMs / 1000).toFixed(1)} s`.padStart(9)} of ${minutes(totalBudgetMs)} without containers`;
  return [...rows.map((row) => row.join(' ').trimEnd()), total].join('\n');
}

function report(results: readonly SuiteResult[], json: boolean): boolean {
  const counts = results.map((result) => result.counts).reduce(addCounts, noCounts);
  const ok = counts.failed === 0;
  // Last, so that whoever has no more than the end of a log knows what to look for.
  for (const { name, failures } of results) for (const each of failures) say(`FAILED ${name}: ${each}`);
  say(`\n${table(results)}\n`);
  console.log(json ? JSON.stringify({ ok, ...counts, suites: results }) : closingLine(counts));
  return ok;
}

async function main(): Promise<void> {
  const wanted = readArguments();
  if (wanted === undefined) {
    process.exitCode = 2;
    return;
  }
  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => stop.abort());
  const temporary = mkdtempSync(path.join(tmpdir(), 'sluice-test-'));
  try {
    const deadlineMs = performance.now() + totalBudgetMs;
    const session: Session = { json: wanted.json, temporary, stop: stop.signal, deadlineMs };
    const results: SuiteResult[] = [];
    for (const suite of suites) {
      if (wanted.only.includes(suite.name) && !stop.signal.aborted) results.push(await runSuite(session, suite));
    }
    const ok = report(results, wanted.json);
    process.exitCode = ok && !stop.signal.aborted ? 0 : 1;
  } finally {
    rmSync(temporary, { recursive: true, force: true, maxRetries: 5 });
  }
}

await main();
