/**
 * `npm run -s bench -- NAME… --json`: micro-benchmarks by name, a line a figure; without a name their list. Figures of
 * one run are for comparing with each other: another machine, or another hour, has others.
 */
import { parseArgs } from 'node:util';
import type { BenchFigure } from './bench/figure.ts';
import { benchmarks } from './bench/names.ts';

interface Options {
  readonly names: readonly string[];
  readonly json: boolean;
}

const usage = (): string => `usage: npm run -s bench -- NAME… [--json]\nnames: ${Object.keys(benchmarks).join(' ')}\n`;

function optionsFrom(argv: readonly string[]): Options | undefined {
  try {
    const options = { json: { type: 'boolean', default: false } } as const;
    const { values, positionals } = parseArgs({ args: [...argv], options, allowPositionals: true });
    const unknown = positionals.find((name) => benchmarks[name] === undefined);
    if (unknown !== undefined) throw new Error(`there is no benchmark ${unknown}`);
    return { names: positionals, json: values.json };
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

const formatted = (value: string | number): string =>
  typeof value === 'number' ? value.toLocaleString('en-US', { maximumFractionDigits: 2 }) : value;

async function run({ names, json }: Options): Promise<number> {
  if (names.length === 0) {
    if (json) console.log(JSON.stringify({ names: Object.keys(benchmarks) }));
    else process.stdout.write(usage());
    return 0;
  }
  for (const name of names) {
    for await (const figure of benchmarks[name]?.() ?? []) console.log(json ? JSON.stringify(figure) : text(figure));
  }
  return 0;
}

const options = optionsFrom(process.argv.slice(2));
process.exit(options === undefined ? 2 : await run(options));
