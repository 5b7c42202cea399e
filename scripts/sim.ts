/**
 * `npm run -s sim`: whole clusters under faults, one for each seed, on simulated clock, network and disk. Over all cores,
 * in worker processes. Exit 0 only when nothing was violated, and, of 100 seeds and more, everything that is to be covered
 * was.
 */
import { execFileSync } from 'node:child_process';
import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { startProgress } from '../packages/cli/src/progress.ts';
import { addCoverage, type Coverage, missingIn } from '../packages/sim/src/coverage.ts';
import { faultText } from '../packages/sim/src/faults/fault.ts';
import { runSeed, type SeedResult } from '../packages/sim/src/run-seed.ts';
import { drawScenario } from '../packages/sim/src/scenario.ts';
import { reportOf, type SeedReport } from '../packages/sim/src/seed-report.ts';
import { findCanaries } from './canaries.ts';
import { watchUnhandled } from './unhandled.ts';
import { runTasks, serveTasks } from './worker-tasks.ts';

const usage = `usage: npm run -s sim -- [--seeds N | --minutes M] [--from S | --from next] [--json] [--ledger]
       npm run -s sim -- --seed S [--only 3,7,12] [--trace]
       npm run -s sim -- --canary NAME | --canaries [--seeds N] [--json]
  --seeds N     how many seeds; default 100
  --minutes M   as many seeds as that takes, in place of --seeds
  --from S      the first seed; default 1; next: the one after the last of the ledger
  --json        a line for each seed, and a summary last
  --ledger      appends the range and its result to packages/sim/ledger.jsonl
  --shrink N    runs spent on shortening the faults of a failing seed; default 60, 0: none
  --seed S      this seed alone
  --only LIST   of its faults only these, by position from 0; none: without faults
  --trace       and everything that happened in it
examples:
  npm run -s sim -- --seeds 1000 --from 5000 --json
  npm run -s sim -- --minutes 30 --from next --ledger
  npm run -s sim -- --seed 17 --trace
`;

const ledgerFile = new URL('../packages/sim/ledger.jsonl', import.meta.url);
const seedsOfTask = 40;
/** The first seeds of a process take twice as long: it is not compiled yet. Ends with what a leak may have left. */
const tasksOfWorker = 25;
const reportsMax = 5;
const reportsOfTaskMax = 2;
const minuteMs = 60_000;

interface Options {
  readonly seeds: number;
  readonly minutes: number | undefined;
  readonly from: number;
  readonly json: boolean;
  readonly ledger: boolean;
  readonly shrinkRuns: number;
  readonly seed: number | undefined;
  readonly only: readonly number[] | undefined;
  readonly trace: boolean;
}

interface Task {
  readonly from: number;
  readonly seeds: number;
  readonly shrinkRuns: number;
}

interface Run {
  readonly result: SeedResult;
  readonly wallMs: number;
  readonly report?: SeedReport;
}

interface LedgerLine {
  readonly commit: string;
  readonly from: number;
  readonly seeds: number;
}

function optionsFrom(argv: readonly string[]): Options | undefined {
  try {
    const text = { type: 'string' } as const;
    const flag = { type: 'boolean', default: false } as const;
    const { values } = parseArgs({
      args: [...argv],
      options: {
        seeds: text,
        minutes: text,
        from: text,
        shrink: text,
        seed: text,
        only: text,
        json: flag,
        ledger: flag,
        trace: flag,
      },
    });
    const whole = (name: 'seeds' | 'from' | 'shrink' | 'seed', fallback: number): number => {
      const value = Number(values[name] ?? fallback);
      if (!Number.isSafeInteger(value) || value < 0) throw new Error(`--${name} must be an integer from 0`);
      return value;
    };
    const minutes = values.minutes === undefined ? undefined : Number(values.minutes);
    if (minutes !== undefined && !(minutes > 0)) throw new Error('--minutes must be a number above 0');
    return {
      seeds: minutes === undefined ? whole('seeds', 100) : Number.POSITIVE_INFINITY,
      minutes,
      from: values.from === 'next' ? nextOfLedger() : whole('from', 1),
      json: values.json,
      ledger: values.ledger,
      shrinkRuns: whole('shrink', 60),
      seed: values.seed === undefined ? undefined : whole('seed', 0),
      only: values.only === undefined ? undefined : positions(values.only),
      trace: values.trace,
    };
  } catch (error) {
    process.stderr.write(`sim: ${error instanceof Error ? error.message : String(error)}\n${usage}`);
    return undefined;
  }
}

function positions(text: string): readonly number[] {
  if (text === 'none') return [];
  const found = text.split(',').map(Number);
  if (!found.every((at) => Number.isSafeInteger(at) && at >= 0)) throw new Error('--only must be numbers, or none');
  return found;
}

function nextOfLedger(): number {
  if (!existsSync(ledgerFile)) return 1;
  const lines = readFileSync(ledgerFile, 'utf8').trim().split('\n');
  const ends = lines
    .filter((line) => line !== '')
    .map((line) => {
      const { from, seeds } = JSON.parse(line) as LedgerLine;
      return from + seeds;
    });
  return Math.max(1, ...ends);
}

function commitOf(): string {
  try {
    const git = (...given: string[]): string => execFileSync('git', given, { encoding: 'utf8' }).trim();
    return `${git('rev-parse', '--short=12', 'HEAD')}${git('status', '--porcelain') === '' ? '' : '+changes'}`;
  } catch {
    return 'unknown';
  }
}

class SeedSet {
  readonly failed: number[] = [];
  readonly totals = { seeds: 0, events: 0, faults: 0, acked: 0, records: 0, commands: 0, simulatedMs: 0 };
  coverage: Coverage = {};
  happened: Coverage = {};
  readonly #options: Options;
  readonly #commit: string;
  /** Done, and not yet printed: lines come in the order of the seeds. */
  readonly #waiting = new Map<number, Run>();
  #printed: number;
  #reports = 0;

  constructor(options: Options, commit: string) {
    this.#options = options;
    this.#commit = commit;
    this.#printed = options.from;
  }

  get missing(): readonly string[] {
    return missingIn({ seeds: this.totals.seeds, coverage: this.coverage, happened: this.happened });
  }

  add(run: Run): void {
    const { result } = run;
    const { totals } = this;
    totals.seeds += 1;
    totals.events += result.events;
    totals.faults += result.faults;
    totals.acked += result.acked;
    totals.records += result.records;
    totals.commands += result.commands;
    totals.simulatedMs += result.simulatedMs;
    this.coverage = addCoverage(this.coverage, result.coverage);
    this.happened = addCoverage(this.happened, result.happened);
    if (!result.ok) this.failed.push(result.seed);
    this.#waiting.set(result.seed, run);
    this.print();
  }

  print(): void {
    for (;;) {
      const run = this.#waiting.get(this.#printed);
      if (run === undefined) return;
      this.#waiting.delete(this.#printed);
      this.#printed += 1;
      if (this.#options.json) console.log(JSON.stringify({ ...run.result, wallMs: run.wallMs }));
      if (!run.result.ok && this.#reports < reportsMax) {
        this.#reports += 1;
        process.stderr.write(`${failureText(run, this.#commit)}\n`);
      }
    }
  }
}

function failureText({ result, report }: Run, commit: string): string {
  const { seed, violations } = result;
  const said = violations.map(({ invariant, text, atMs }) => `  ${invariant} at ${atMs} ms: ${text}`);
  const lines = [`seed ${seed} of commit ${commit} failed:`, ...said];
  if (report === undefined) lines.push(`replay: npm run -s sim -- --seed ${seed} --trace`);
  else {
    const only = report.kept.length === 0 ? 'none' : report.kept.join(',');
    lines.push(
      `replay: npm run -s sim -- --seed ${seed} --only ${only} --trace`,
      `${report.faults.length} of its ${report.planned} faults are enough:`,
      ...report.faults.map((fault) => `  ${fault}`),
      'what happened around it:',
      report.trace,
    );
  }
  return lines.join('\n');
}

async function runSet(options: Options): Promise<number> {
  const commit = commitOf();
  const set = new SeedSet(options, commit);
  const startedMs = performance.now();
  const untilMs = startedMs + (options.minutes ?? Number.POSITIVE_INFINITY) * minuteMs;
  const running = new Map<Task, number>();
  let next = options.from;
  /** Left over by processes that ended. */
  const again: Task[] = [];
  const end = options.from + options.seeds;
  const done = (): number => set.totals.seeds;
  const minutes = (): number => (performance.now() - startedMs) / minuteMs;
  const progress = startProgress({
    label: 'sim',
    total: options.minutes === undefined ? options.seeds : Math.ceil(options.minutes * 60),
    watched: process.stderr.isTTY,
    output: { quiet: false, note: (text) => void process.stderr.write(`${text}\n`) },
    describe: () =>
      `${done()} seeds from ${options.from}, ${set.failed.length} failed, ${(done() / minutes() / 60).toFixed(1)} seeds/s`,
  });
  await runTasks<Task, undefined>(
    {
      next: () => {
        if (again.length > 0) return again.shift();
        if (next >= end || performance.now() >= untilMs) return undefined;
        // Small ones at the end, so that the cores end together.
        const left = Math.max(4, Math.ceil((end - next) / 4));
        const task = { from: next, seeds: Math.min(seedsOfTask, left, end - next), shrinkRuns: options.shrinkRuns };
        next += task.seeds;
        return task;
      },
      progress: (task, count, part) => {
        running.set(task, count);
        if (part !== undefined) set.add(part as Run);
        progress.advance(options.minutes === undefined ? done() : Math.round(minutes() * 60));
      },
      done: (task) => void running.delete(task),
      lost: (task, why) => {
        const count = running.get(task) ?? 0;
        running.delete(task);
        set.add(lostRun(task.from + count, why));
        const left = task.seeds - count - 1;
        if (left > 0) again.push({ ...task, from: task.from + count + 1, seeds: left });
      },
    },
    {
      script: new URL(import.meta.url),
      silentMsMax: 3 * minuteMs,
      // Two workers take both cores: threads of the collector would only take turns with them.
      nodeOptions: ['--max-semi-space-size=32', '--single-threaded-gc'],
      tasksEach: tasksOfWorker,
    },
  );
  progress.stop();
  return summary(set, { options, commit, wallMs: Math.round(performance.now() - startedMs) });
}

/** The process ended with this seed. */
function lostRun(seed: number, text: string): Run {
  const result: SeedResult = {
    seed,
    ok: false,
    traceHash: '',
    violations: [{ invariant: 'process', text, atMs: 0 }],
    events: 0,
    faults: 0,
    acked: 0,
    records: 0,
    simulatedMs: 0,
    commands: 0,
    shape: '',
    happened: {},
    coverage: {},
  };
  return { result, wallMs: 0 };
}

function summary(set: SeedSet, of: { options: Options; commit: string; wallMs: number }): number {
  const { totals, coverage, missing } = set;
  const { options, commit, wallMs } = of;
  const failed = set.failed.toSorted((one, other) => one - other);
  const seedsPerMinute = Math.round((totals.seeds / wallMs) * minuteMs);
  const speed = Math.round((10 * totals.simulatedMs) / wallMs) / 10;
  const line = {
    commit,
    from: options.from,
    ...totals,
    failed,
    wallMs,
    seedsPerMinute,
    simulatedSecondsPerSecond: speed,
  };
  if (options.ledger) appendFileSync(ledgerFile, `${JSON.stringify({ ...line, at: new Date().toISOString() })}\n`);
  if (options.json) console.log(JSON.stringify({ summary: true, ...line, coverage, missing }));
  else {
    console.log(
      `${totals.seeds} seeds from ${options.from} of commit ${commit}: ${failed.length} failed; ${totals.events} events, ${totals.faults} faults, ${totals.records} records acked, ${totals.commands} commands in ${Math.round(totals.simulatedMs / 1000)} simulated seconds; ${seedsPerMinute} seeds a minute, ${speed} simulated seconds a second`,
    );
    console.log(
      Object.entries(coverage)
        .map(([name, count]) => `  ${name} ${count}`)
        .join('\n'),
    );
  }
  if (missing.length > 0) process.stderr.write(`never happened in ${totals.seeds} seeds: ${missing.join(', ')}\n`);
  return failed.length > 0 || missing.length > 0 ? 1 : 0;
}

async function replay(seed: number, { only, trace, json }: Options): Promise<number> {
  const { faults: planned } = drawScenario(seed);
  const chosen = only === undefined ? planned : planned.filter((_, at) => only.includes(at));
  const startedMs = performance.now();
  const { result, timeline, scenario } = await runSeed(seed, { faults: chosen, stacks: true, watchUnhandled });
  const wallMs = Math.round(performance.now() - startedMs);
  if (trace) process.stderr.write(`${timeline.all()}\n`);
  if (json) console.log(JSON.stringify({ ...result, wallMs }));
  else {
    const { faults } = scenario;
    console.log(`seed ${seed}: ${result.shape}; ${faults.length} faults planned, ${result.faults} happened`);
    for (const [at, fault] of planned.entries()) {
      if (chosen.includes(fault)) console.log(`${String(at).padStart(4)}  ${faultText(fault)}`);
    }
    for (const { invariant, text, atMs } of result.violations) console.log(`${invariant} at ${atMs} ms: ${text}`);
    console.log(
      `${result.ok ? 'ok' : 'FAILED'}, trace hash ${result.traceHash}; ${result.events} events, ${result.commands} commands, ${result.simulatedMs} simulated ms in ${wallMs} ms`,
    );
  }
  return result.ok ? 0 : 1;
}

async function runTask(
  { from, seeds, shrinkRuns }: Task,
  onProgress: (count: number, run?: Run) => void,
): Promise<undefined> {
  let reports = 0;
  for (let done = 0; done < seeds; done += 1) {
    const startedMs = performance.now();
    const { result } = await runSeed(from + done, { watchUnhandled });
    const wallMs = Math.round(performance.now() - startedMs);
    if (result.ok || reports >= reportsOfTaskMax) onProgress(done + 1, { result, wallMs });
    else {
      reports += 1;
      const report = await reportOf(result, { runsMax: shrinkRuns, onRun: () => onProgress(done), watchUnhandled });
      onProgress(done + 1, { result, wallMs, report });
    }
  }
}

const argv = process.argv.slice(2);
if (argv[0] === '--worker') serveTasks(runTask);
else if (argv.some((each) => /^--canar(y|ies)\b/.test(each))) process.exitCode = await findCanaries(argv);
else {
  const options = optionsFrom(argv);
  if (options === undefined) process.exitCode = 2;
  else process.exitCode = await (options.seed === undefined ? runSet(options) : replay(options.seed, options));
}
