/**
 * `npm run -s crash-points -- --points N --seed S --json`: scripted workloads over the simulated disk, cut at every disk
 * operation with every kind of leftover; see `packages/storage/src/crash-points.testing.ts`. Exit 0 only when every point
 * was fine; a point that was not is named, and `--replay` looks at it again.
 */
import { parseArgs } from 'node:util';
import { startProgress } from '../packages/cli/src/progress.ts';
import {
  type PointKind,
  pointKinds,
  type PointMode,
  pointProblems,
  type Problems,
  verdictAt,
} from '../packages/storage/src/points.testing.ts';
import { workloadNamed, workloads } from '../packages/storage/src/crash-workloads.testing.ts';
import { forgettingSyncs } from '../packages/storage/src/forgetful-disk.testing.ts';
import { runTasks, serveTasks } from './worker-tasks.ts';

interface Options {
  readonly points: number;
  readonly seed: number;
  readonly json: boolean;
  readonly kind: PointKind;
  readonly forgetSyncs: boolean;
  readonly replay: readonly [workload: string, seed: string, at: string, mode: string] | undefined;
}

/** One workload with one seed, and how many of its points. */
interface Task {
  readonly workload: string;
  readonly seed: number;
  readonly pointsMax: number;
  readonly kind: PointKind;
  readonly forgetSyncs: boolean;
}

const usage = `usage: npm run -s crash-points -- [--points N] [--seed S] [--kind crash|failure] [--json] [--forget-syncs] [--replay POINT]
  --points N       how many, over all workloads (${workloads.map(({ name }) => name).join(', ')}); default 6000
  --seed S         of the first round of workloads, the next has the next; default 1
  --kind KIND      crash: the power goes there, or the process is killed; failure: the operation fails; default crash
  --forget-syncs   syncs of files do nothing: shows that losses are found
  --replay POINT   one point, as a problem names it: WORKLOAD:SEED:AT:MODE
`;

const integer = (name: string, text: string): number => {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1) throw new Error(`--${name} must be an integer from 1`);
  return value;
};

function kindOf(text: string): PointKind {
  const kinds = Object.keys(pointKinds) as PointKind[];
  const found = kinds.find((kind) => kind === text);
  if (found === undefined) throw new Error(`--kind must be ${kinds.join(' or ')}`);
  return found;
}

function optionsFrom(argv: readonly string[]): Options | undefined {
  try {
    const { values } = parseArgs({
      args: [...argv],
      options: {
        points: { type: 'string', default: '6000' },
        seed: { type: 'string', default: '1' },
        kind: { type: 'string', default: 'crash' },
        json: { type: 'boolean', default: false },
        'forget-syncs': { type: 'boolean', default: false },
        replay: { type: 'string' },
      },
    });
    const [workload = '', seed = '', at = '', mode = ''] = values.replay?.split(':') ?? [];
    return {
      points: integer('points', values.points),
      seed: integer('seed', values.seed),
      kind: kindOf(values.kind),
      json: values.json,
      forgetSyncs: values['forget-syncs'],
      replay: values.replay === undefined ? undefined : [workload, seed, at, mode],
    };
  } catch (error) {
    process.stderr.write(`crash-points: ${error instanceof Error ? error.message : String(error)}\n${usage}`);
    return undefined;
  }
}

/** Each workload gets an equal share, seed after seed until it is used up: which points these are does not depend on timing. */
class Shares {
  readonly problems: string[] = [];
  readonly byWorkload: Record<string, number> = {};
  readonly #waiting: Task[];
  readonly #running = new Map<Task, number>();
  #points = 0;

  constructor({ points, seed, kind, forgetSyncs }: Options) {
    const share = Math.ceil(points / workloads.length);
    this.#waiting = workloads.map(({ name }) => ({ workload: name, seed, pointsMax: share, kind, forgetSyncs }));
  }

  get points(): number {
    let running = 0;
    for (const count of this.#running.values()) running += count;
    return this.#points + running;
  }

  next(): Task | undefined {
    return this.#waiting.shift();
  }

  progress(task: Task, count: number): void {
    this.#running.set(task, count);
  }

  done(task: Task, { found, points }: Problems): void {
    this.#running.delete(task);
    this.#points += points;
    this.byWorkload[task.workload] = (this.byWorkload[task.workload] ?? 0) + points;
    this.problems.push(...found);
    const left = task.pointsMax - points;
    if (left > 0 && points > 0 && found.length === 0)
      this.#waiting.push({ ...task, seed: task.seed + 1, pointsMax: left });
  }

  lost(task: Task, why: string): void {
    this.#running.delete(task);
    this.problems.push(`${task.workload} with seed ${task.seed}: ${why}`);
  }
}

async function enumerate(options: Options): Promise<number> {
  const shares = new Shares(options);
  const startedMs = performance.now();
  const progress = startProgress({
    label: 'crash points',
    total: options.points,
    watched: process.stderr.isTTY,
    output: { quiet: false, note: (text) => void process.stderr.write(`${text}\n`) },
    describe: () => `${shares.points} of ${options.points}, ${shares.problems.length} problems`,
  });
  const tasks = {
    next: () => shares.next(),
    progress: (task: Task, count: number) => {
      shares.progress(task, count);
      progress.advance(shares.points);
    },
    done: (task: Task, result: Problems) => shares.done(task, result),
    lost: (task: Task, why: string) => shares.lost(task, why),
  };
  await runTasks<Task, Problems>(tasks, { script: new URL(import.meta.url), silentMsMax: 120_000 });
  progress.stop();
  const { problems, byWorkload, points } = shares;
  const ok = problems.length === 0;
  const seconds = Math.round((performance.now() - startedMs) / 100) / 10;
  if (options.json) {
    console.log(JSON.stringify({ ok, kind: options.kind, points, seed: options.seed, byWorkload, seconds, problems }));
  } else {
    for (const problem of problems) console.log(problem);
    const shown = Object.entries(byWorkload).map(([name, count]) => `${name} ${count}`);
    console.log(
      `${points} points (${options.kind}) from seed ${options.seed} in ${seconds} s (${shown.join(', ')}): ${problems.length} problems`,
    );
  }
  return ok ? 0 : 1;
}

async function replay(
  [name, seed, at, mode]: NonNullable<Options['replay']>,
  { forgetSyncs }: Options,
): Promise<number> {
  const point = { seed: integer('replay', seed), at: Number(at), mode: mode as PointMode };
  const verdict = await verdictAt(workloadNamed(name), point, forgetSyncs ? forgettingSyncs : undefined);
  console.log(JSON.stringify({ workload: name, ...point, verdict }));
  return verdict === 'fine' ? 0 : 1;
}

async function runTask(task: Task, onProgress: (points: number) => void): Promise<Problems> {
  const { seed, pointsMax, kind, forgetSyncs } = task;
  const wrap = forgetSyncs ? { wrap: forgettingSyncs } : {};
  return pointProblems(workloadNamed(task.workload), seed, { kind, pointsMax, onProgress, ...wrap });
}

if (process.argv[2] === '--worker') serveTasks(runTask);
else {
  const options = optionsFrom(process.argv.slice(2));
  if (options === undefined) process.exitCode = 2;
  else
    process.exitCode = options.replay === undefined ? await enumerate(options) : await replay(options.replay, options);
}
