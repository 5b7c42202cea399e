/**
 * The canaries of `npm run -s sim`: each is planted in worker processes that then run the same seeds as any other run,
 * from the first until one shows it; that seed must show nothing without it.
 */
import { parseArgs } from 'node:util';
import { startProgress } from '../packages/cli/src/progress.ts';
import { canaries } from '../packages/sim/src/canaries/canaries.ts';
import type { Canary } from '../packages/sim/src/canaries/canary.ts';
import { unfoundCanaries } from '../packages/sim/src/canaries/unfound.ts';
import type { Sighting } from '../packages/sim/src/canaries/watch.ts';
import type { CanaryDone, CanaryTask } from './canary-worker.ts';
import { runTasks } from './worker-tasks.ts';

const usage = `usage: npm run -s sim -- --canary NAME [--seeds N] [--from S] [--json]
       npm run -s sim -- --canaries [--seeds N] [--from S] [--json]
  --canary NAME  plants this bug (repeat for more) and runs seeds until one shows it
  --canaries     all but those that are not found yet (docs/canaries.md), one table
  --seeds N      how many seeds each may need; default 1000
  --from S       the first seed; default 1
  --json         a line for each canary, in place of the table
exit code 0 when each was found, and the seeds that found them show nothing in the product as it is
examples:
  npm run -s sim -- --canary prior-term-commit
  npm run -s sim -- --canaries --json
`;

const silentMsMax = 10 * 60_000;
/** Small at first: of two workers at one canary, one runs in vain what lies after the seed that the other finds. */
const firstTasks = { seeds: 4, until: 16 };
/** Then large: a process must be compiled before it is fast. */
const seedsOfTask = 48;

interface Options {
  readonly chosen: readonly Canary[];
  readonly seeds: number;
  readonly from: number;
  readonly json: boolean;
}

function optionsFrom(argv: readonly string[]): Options | undefined {
  try {
    const { values } = parseArgs({
      args: [...argv],
      options: {
        canary: { type: 'string', multiple: true },
        canaries: { type: 'boolean', default: false },
        seeds: { type: 'string', default: '1000' },
        from: { type: 'string', default: '1' },
        json: { type: 'boolean', default: false },
      },
    });
    const whole = (name: 'seeds' | 'from'): number => {
      const value = Number(values[name]);
      if (!Number.isSafeInteger(value) || value < 1) throw new Error(`--${name} must be an integer from 1`);
      return value;
    };
    const chosen = values.canaries ? expected : (values.canary ?? []).map(canaryNamed);
    return { chosen, seeds: whole('seeds'), from: whole('from'), json: values.json };
  } catch (error) {
    process.stderr.write(`sim: ${error instanceof Error ? error.message : String(error)}\n${usage}`);
    return undefined;
  }
}

/** To be found by the default distribution. */
const expected = [...canaries.values()].filter(({ name }) => !unfoundCanaries.has(name));

function canaryNamed(name: string): Canary {
  const canary = canaries.get(name);
  if (canary === undefined) throw new Error(`there is no canary ${name}; there are ${[...canaries.keys()].join(', ')}`);
  return canary;
}

/** What seeds show without any canary; undefined: under way. */
type Controls = Map<number, string | undefined>;

/** One canary's search. */
class Search {
  readonly canary: Canary;
  running = 0;
  /** Done with the canary planted. */
  seeds = 0;
  wallMs = 0;
  sighting: Sighting | undefined;
  error: string | undefined;
  /** `clean`, or what the seed shows without the canary. */
  control = 'not run';
  readonly #controls: Controls;
  readonly #from: number;
  #next: number;
  readonly #end: number;

  constructor(canary: Canary, { from, seeds }: Options, controls: Controls) {
    this.canary = canary;
    this.#controls = controls;
    this.#from = from;
    this.#next = from;
    this.#end = from + seeds;
  }

  get isFound(): boolean {
    return this.error === undefined && this.sighting !== undefined && this.control === 'clean';
  }

  /** Nothing is left to do, nor under way. */
  get isOver(): boolean {
    if (this.running > 0) return false;
    if (this.error !== undefined) return true;
    return this.sighting === undefined ? this.#next === this.#end : this.control !== 'not run';
  }

  take(): CanaryTask | undefined {
    const { name } = this.canary;
    if (this.error !== undefined) return undefined;
    if (this.sighting === undefined) {
      const isEarly = this.#next - this.#from < firstTasks.until;
      const seeds = Math.min(isEarly ? firstTasks.seeds : seedsOfTask, this.#end - this.#next);
      if (seeds === 0) return undefined;
      const from = this.#next;
      this.#next += seeds;
      return { name, isControl: false, from, seeds };
    }
    // Earlier seeds may still be under way.
    if (this.running > 0 || this.#controls.has(this.sighting.seed)) return undefined;
    this.#controls.set(this.sighting.seed, undefined);
    return { name, isControl: true, from: this.sighting.seed, seeds: 1 };
  }

  /** What the seed shows without the canary may have been seen for another one. */
  settle(): void {
    if (this.running > 0 || this.sighting === undefined) return;
    this.control = this.#controls.get(this.sighting.seed) ?? 'not run';
  }

  add({ isControl, from }: CanaryTask, done: CanaryDone): void {
    if ('error' in done) {
      this.error ??= done.error;
      return;
    }
    const { seeds, wallMs, sighting } = done;
    if (isControl) {
      this.#controls.set(from, sighting === undefined ? 'clean' : `${sighting.by}: ${sighting.text}`);
      return;
    }
    this.seeds += seeds;
    this.wallMs += wallMs;
    if (sighting !== undefined && sighting.seed < (this.sighting?.seed ?? Number.POSITIVE_INFINITY)) {
      this.sighting = sighting;
    }
  }
}

/** Gives the exit code. */
export async function findCanaries(argv: readonly string[]): Promise<number> {
  const options = optionsFrom(argv);
  if (options === undefined) return 2;
  const controls: Controls = new Map();
  const searches = options.chosen.map((canary) => new Search(canary, options, controls));
  const reported = new Set<Search>();
  const progress = startProgress({
    label: 'canaries',
    total: searches.length,
    watched: process.stderr.isTTY,
    output: { quiet: false, note: (text) => void process.stderr.write(`${text}\n`) },
    describe: () => {
      const seeds = searches.reduce((sum, search) => sum + search.seeds, 0);
      return `${found(searches)} of ${searches.length} found, ${seeds} seeds run`;
    },
  });
  const searchOf = ({ name }: CanaryTask): Search => {
    const search = searches.find(({ canary }) => canary.name === name);
    if (search === undefined) throw new Error(`no search for ${name}`);
    return search;
  };
  const report = (search: Search): void => {
    if (reported.has(search)) return;
    reported.add(search);
    console.log(options.json ? JSON.stringify(lineOf(search)) : textOf(search));
  };
  const ended = (task: CanaryTask, done: CanaryDone): void => {
    const search = searchOf(task);
    search.running -= 1;
    search.add(task, done);
    for (const each of searches) {
      each.settle();
      if (each.isOver) report(each);
    }
  };
  await runTasks<CanaryTask, CanaryDone>(
    {
      next: () => {
        // Two workers at one canary find it no sooner than one at each of two.
        for (const search of searches.toSorted((one, other) => one.running - other.running)) {
          const task = search.take();
          if (task === undefined) continue;
          search.running += 1;
          return task;
        }
        return undefined;
      },
      progress: () => progress.advance(found(searches)),
      done: (task, done) => ended(task, done),
      lost: (task, why) => ended(task, { error: why }),
    },
    { script: new URL('canary-worker.ts', import.meta.url), silentMsMax },
  );
  progress.stop();
  // Left over when the process that ran a seed without canaries for several of them died.
  for (const search of searches) report(search);
  return searches.every(({ isFound }) => isFound) ? 0 : 1;
}

const found = (searches: readonly Search[]): number => searches.filter(({ isFound }) => isFound).length;

function lineOf({ canary, isFound, seeds, wallMs, sighting, control, error }: Search) {
  const { name, source } = canary;
  return { canary: name, source, found: isFound, seeds, wallMs, ...sighting, control, ...(error && { error }) };
}

function textOf({ canary, sighting, seeds, wallMs, control, error }: Search): string {
  const name = canary.name.padEnd(32);
  if (error !== undefined) return `${name} ERROR      ${error}`;
  if (sighting === undefined) return `${name} NOT FOUND  in ${seeds} seeds, ${Math.round(wallMs / 1000)} s`;
  const without = control === 'clean' ? '' : `; WITHOUT IT TOO: ${control}`;
  const [text] = sighting.text.split('\n');
  return `${name} seed ${String(sighting.seed).padEnd(5)} ${Math.round(wallMs / 1000)} s  ${sighting.by}: ${text}${without}`;
}
