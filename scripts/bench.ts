/**
 * `npm run -s bench -- NAME… --json`: micro-benchmarks by name, a line a figure; without a name their list; `--only PART`
 * for one part of one, `--behind-gb G` for what a node
 * misses that catches up. Figures of one run are for comparing with each other: another machine, or another hour, has others.
 */
import { parseArgs } from 'node:util';
import type { BenchFigure } from './bench/figure.ts';
import { benchmarks } from './bench/names.ts';

interface Options {
  readonly names: readonly string[];
  readonly json: boolean;
  readonly part: string | undefined;
  readonly behindGb: number | undefined;
}

function usage(): string {
  const parts = Object.entries(benchmarks).flatMap(([name, { parts: names }]) =>
    names === undefined ? [] : [`parts of ${name}: ${names.join(' ')}\n`],
  );
  const names = Object.keys(benchmarks).join(' ');
  return `usage: npm run -s bench -- NAME… [--only PART] [--behind-gb G] [--json]\nnames: ${names}\n${parts.join('')}`;
}

function optionsFrom(argv: readonly string[]): Options | undefined {
  try {
    const options = {
      json: { type: 'boolean', default: false },
      only: { type: 'string' },
      'behind-gb': { type: 'string' },
    } as const;
    const { values, positionals } = parseArgs({ args: [...argv], options, allowPositionals: true });
    const unknown = positionals.find((name) => benchmarks[name] === undefined);
    if (unknown !== undefined) throw new Error(`there is no benchmark ${unknown}`);
    const part = values.only;
    const without = positionals.find((name) => part !== undefined && benchmarks[name]?.parts?.includes(part) !== true);
    if (without !== undefined) throw new Error(`${without} has no part ${part}`);
    const behindGb = values['behind-gb'] === undefined ? undefined : Number(values['behind-gb']);
    if (behindGb !== undefined && !(behindGb > 0)) throw new Error('--behind-gb must be a number above 0');
    return { names: positionals, json: values.json, part, behindGb };
  } catch (error) {
    process.stderr.write(`bench: ${error instanceof Error ? error.message : String(error)}\n${usage()}`);
    return undefined;
  }
}

const nameWidth = 48;

function text({ name, ...figures }: BenchFigure): string {
  const shown = Object.entries(figures).map(([key, value]) => `${key} ${formatted(value)}`);
  return `${name.padEnd(nameWidth)} ${shown.join('  ')}`;
}

function formatted(value: BenchFigure[string]): string {
  if (typeof value === 'string') return value;
  if (typeof value === 'number') return value.toLocaleString('en-US', { maximumFractionDigits: 2 });
  return value?.map(formatted).join(', ') ?? '';
}

async function run({ names, json, part, behindGb }: Options): Promise<number> {
  if (names.length === 0) {
    if (json) console.log(JSON.stringify({ names: Object.keys(benchmarks) }));
    else process.stdout.write(usage());
    return 0;
  }
  for (const name of names) {
    for await (const figure of benchmarks[name]?.run(part, behindGb) ?? []) {
      console.log(json ? JSON.stringify(figure) : text(figure));
    }
  }
  return 0;
}

const options = optionsFrom(process.argv.slice(2));
process.exit(options === undefined ? 2 : await run(options));
