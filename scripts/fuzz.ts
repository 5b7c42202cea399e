/**
 * `npm run -s fuzz -- --target NAME --inputs N --seed S --json`: random and mutated inputs for what reads the formats on the
 * disk; see `packages/storage/src/fuzz-targets.testing.ts`. Without a target it lists them. Exit 0 only when no input did
 * harm; one that did is named by its number, which with the seed makes it again.
 */
import { parseArgs } from 'node:util';
import { startProgress } from '../packages/cli/src/progress.ts';
import { fuzz, type FuzzResult } from '../packages/storage/src/fuzz.testing.ts';
import { fuzzTarget, fuzzTargetNames } from '../packages/storage/src/fuzz-targets.testing.ts';
import { snapshotTarget } from './fuzz-snapshots.ts';
import { runTasks, serveTasks } from './worker-tasks.ts';

const targetNames = [...fuzzTargetNames, 'snapshots'] as const;
type TargetName = (typeof targetNames)[number];

interface Options {
  readonly target: TargetName | undefined;
  readonly inputs: number;
  readonly seed: number;
  readonly first: number;
  readonly json: boolean;
}

/** So many inputs, one after the other, in one process. */
interface Task {
  readonly target: TargetName;
  readonly seed: number;
  readonly first: number;
  readonly inputs: number;
}

const inputsOfTask = 50_000;

const usage = `usage: npm run -s fuzz -- --target NAME [--inputs N] [--seed S] [--first N] [--json]
  --target NAME   ${targetNames.join(', ')}
  --inputs N      default 100000
  --seed S        default 1
  --first N       number of the first input: with --inputs 1 the one that a problem names; default 0
`;

function optionsFrom(argv: readonly string[]): Options | undefined {
  try {
    const text = { type: 'string' } as const;
    const { values } = parseArgs({
      args: [...argv],
      options: { target: text, inputs: text, seed: text, first: text, json: { type: 'boolean', default: false } },
    });
    const target = targetNames.find((name) => name === values.target);
    if (values.target !== undefined && target === undefined) throw new Error(`there is no target ${values.target}`);
    const [inputs, seed, first] = [
      Number(values.inputs ?? 100_000),
      Number(values.seed ?? 1),
      Number(values.first ?? 0),
    ];
    if (![inputs, seed, first].every((value) => Number.isSafeInteger(value) && value >= 0)) {
      throw new Error('--inputs, --seed and --first must be integers');
    }
    return { target, inputs, seed, first, json: values.json };
  } catch (error) {
    process.stderr.write(`fuzz: ${error instanceof Error ? error.message : String(error)}\n${usage}`);
    return undefined;
  }
}

function tasksOf(target: TargetName, { inputs, seed, first }: Options): Task[] {
  const tasks: Task[] = [];
  for (let at = first; at < first + inputs; at += inputsOfTask) {
    tasks.push({ target, seed, first: at, inputs: Math.min(inputsOfTask, first + inputs - at) });
  }
  return tasks;
}

async function run(target: TargetName, options: Options): Promise<number> {
  const waiting = tasksOf(target, options);
  const running = new Map<Task, number>();
  const total = { inputs: 0, bytes: 0, slowestMs: 0, allocatedBytesMax: 0 };
  const problems: string[] = [];
  const startedMs = performance.now();
  const inputs = (): number => [...running.values()].reduce((sum, count) => sum + count, total.inputs);
  const progress = startProgress({
    label: `fuzz ${target}`,
    total: options.inputs,
    watched: process.stderr.isTTY,
    output: { quiet: false, note: (text) => void process.stderr.write(`${text}\n`) },
    describe: () => `${inputs()} of ${options.inputs} inputs, ${problems.length} problems`,
  });
  await runTasks<Task, FuzzResult>(
    {
      next: () => waiting.shift(),
      progress: (task, count) => {
        running.set(task, count);
        progress.advance(inputs());
      },
      done: (task, result) => {
        running.delete(task);
        total.inputs += result.inputs;
        total.bytes += result.bytes;
        total.slowestMs = Math.max(total.slowestMs, result.slowestMs);
        total.allocatedBytesMax = Math.max(total.allocatedBytesMax, result.allocatedBytesMax);
        problems.push(...result.problems);
      },
      lost: (task, why) => {
        const from = task.first + (running.get(task) ?? 0);
        problems.push(`an input from ${from} on: ${why}`);
      },
    },
    { script: new URL(import.meta.url), silentMsMax: 120_000 },
  );
  progress.stop();
  const seconds = Math.round((performance.now() - startedMs) / 100) / 10;
  const ok = problems.length === 0;
  if (options.json) console.log(JSON.stringify({ ok, target, seed: options.seed, ...total, seconds, problems }));
  else {
    for (const problem of problems) console.log(problem);
    console.log(
      `${total.inputs} inputs from seed ${options.seed} in ${seconds} s: ${problems.length} problems; the slowest took ${total.slowestMs} ms, the largest allocated ${total.allocatedBytesMax} bytes`,
    );
  }
  return ok ? 0 : 1;
}

function list({ json }: Options): number {
  console.log(json ? JSON.stringify({ targets: targetNames }) : `targets: ${targetNames.join(' ')}`);
  return 0;
}

async function runTask(
  { target, seed, first, inputs }: Task,
  onProgress: (count: number) => void,
): Promise<FuzzResult> {
  return fuzz(target === 'snapshots' ? snapshotTarget : await fuzzTarget(target), { seed, first, inputs, onProgress });
}

if (process.argv[2] === '--worker') serveTasks(runTask);
else {
  const options = optionsFrom(process.argv.slice(2));
  if (options === undefined) process.exitCode = 2;
  else process.exitCode = options.target === undefined ? list(options) : await run(options.target, options);
}
