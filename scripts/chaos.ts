/**
 * `npm run -s chaos -- --processes --minutes M --seed S --json`: faults under load, and every operation judged; see
 * `e2e/chaos-run.ts`. The last line on stdout is the result; exit 0 only when it is valid.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { chaosRun } from '../e2e/chaos-run.ts';
import type { ChaosResult } from '../e2e/chaos-run.ts';
import { LocalCluster } from '../e2e/cluster.ts';
import { endBySignal } from './end-by-signal.ts';

interface Options {
  readonly minutes: number;
  readonly seed: number;
  readonly rate: number;
  readonly json: boolean;
  /** Kept whatever comes; else a temporary directory, kept unless the run was valid. */
  readonly out: string | undefined;
}

const usage = `usage: npm run -s chaos -- --processes [--minutes M] [--seed S] [--rate R] [--out DIR] [--json]
  --processes   three nodes as plain processes of this machine
  --minutes M   how long faults come; default 3
  --seed S      plans them; default: drawn, and said
  --rate R      records a second; default 400
  --out DIR     keeps the history, the logs and the data there; without it they are kept unless the verdict is valid
Examples:
  npm run -s chaos -- --processes --minutes 30 --seed 7 --json
  npm run -s chaos -- --processes --minutes 1 --out /tmp/chaos
`;

function positive(name: string, text: string): number {
  const value = Number(text);
  if (!(value > 0 && Number.isFinite(value))) throw new Error(`--${name} must be a number above 0`);
  return value;
}

function optionsFrom(argv: readonly string[]): Options | undefined {
  try {
    const { values } = parseArgs({
      args: [...argv],
      options: {
        processes: { type: 'boolean', default: false },
        minutes: { type: 'string', default: '3' },
        seed: { type: 'string', default: `${1 + Math.floor(Math.random() * 1_000_000)}` },
        rate: { type: 'string', default: '400' },
        out: { type: 'string' },
        json: { type: 'boolean', default: false },
      },
    });
    if (!values.processes) throw new Error('say on what: --processes');
    const seed = Number(values.seed);
    if (!Number.isSafeInteger(seed) || seed < 0) throw new Error('--seed must be an integer from 0');
    const [minutes, rate] = [positive('minutes', values.minutes), positive('rate', values.rate)];
    return { minutes, seed, rate, json: values.json, out: values.out };
  } catch (error) {
    process.stderr.write(`chaos: ${error instanceof Error ? error.message : String(error)}\n${usage}`);
    return undefined;
  }
}

function text({ verdict, seed, faults, acked, found, unavailableMsMax, ...counts }: ChaosResult): string {
  const list = (values: Readonly<Record<string, number>>): string =>
    Object.entries(values)
      .map(([name, value]) => `${name} ${value}`)
      .join(', ');
  const { lost, duplicated, reordered, indefinite } = counts;
  return [
    `${verdict}: seed ${seed}, ${acked} acked, lost ${lost}, duplicated ${duplicated}, reordered ${reordered}, in doubt ${indefinite}`,
    `faults: ${list(faults)}`,
    `longest time without acks, ms: ${list(unavailableMsMax)}`,
    ...found,
  ].join('\n');
}

async function run({ json, out, ...options }: Options): Promise<0 | 1> {
  const directory = out ?? mkdtempSync(path.join(tmpdir(), 'sluice-chaos-'));
  const data = path.join(directory, 'cluster');
  mkdirSync(data, { recursive: true });
  const say = (line: string): void => void process.stderr.write(`chaos: ${line}\n`);
  say(`seed ${options.seed}; history and logs: ${directory}`);
  await using cluster = await LocalCluster.start({ directory: data });
  endBySignal(cluster);
  const found = await chaosRun(cluster, { ...options, historyPath: path.join(directory, 'history.jsonl'), say });
  const isKept = out !== undefined || found.verdict !== 'valid';
  const line = { ...found, report: isKept ? directory : null };
  if (isKept) writeFileSync(path.join(directory, 'result.json'), `${JSON.stringify(line, undefined, 2)}\n`);
  else rmSync(directory, { recursive: true, force: true });
  console.log(json ? JSON.stringify(line) : text(found));
  if (isKept) say(`history, logs and data are kept: ${directory}`);
  return found.verdict === 'valid' ? 0 : 1;
}

const options = optionsFrom(process.argv.slice(2));
process.exit(options === undefined ? 2 : await run(options));
