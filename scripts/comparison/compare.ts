/**
 * `scripts/compare`: Sluice and its peers, measured one after another on this machine, never two at once. The peers'
 * scripts are a kit of its own; without it Sluice is measured alone.
 */
import { execFileSync } from 'node:child_process';
import { appendFileSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, release, tmpdir, totalmem } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { root } from '../repository-files.ts';
import { runChild } from './child.ts';
import { diskProbe } from './disk-probe.ts';
import { figureLines } from './figure-line.ts';
import { report } from './report.ts';
import { sluiceSet } from './sluice-set.ts';

const usage = `usage: scripts/compare [--kit DIR] [--systems kafka,kafka:fsync,nats] [--only REGEX] [--runs 3] [--out DIR]

  --kit DIR        the peers' scripts (or SLUICE_PEERS_KIT; default: ../shared/peers beside this checkout)
  --systems LIST   peers to measure, NAME or NAME:fsync, or none; Sluice is always measured, last (default kafka)
  --only REGEX     only the works that it matches, such as 'produce-max|failover'
  --runs N         repetitions of what is measured at full speed (default 3)
  --out DIR        where SYSTEM.jsonl, machine.json and table.md go (default: below .tmp)

The kit's variables hold for all systems: MEASURE_SECONDS, WARMUP_SECONDS, ROUNDS, SIZES, IDLE_SECONDS, and
SLUICE_PEERS_DATA, where data lies. The whole set takes about a quarter of an hour a system.
`;

interface Options {
  readonly kit: string | undefined;
  readonly systems: readonly string[];
  readonly only: string;
  readonly runs: number;
  readonly out: string;
}

function optionsFrom(argv: readonly string[]): Options | 'help' | undefined {
  try {
    const { values } = parseArgs({
      args: [...argv],
      options: {
        kit: { type: 'string' },
        systems: { type: 'string', default: 'kafka' },
        only: { type: 'string', default: '.' },
        runs: { type: 'string', default: '3' },
        out: { type: 'string' },
        help: { type: 'boolean', default: false },
      },
    });
    if (values.help) return 'help';
    const runs = Number(values.runs);
    if (!Number.isInteger(runs) || runs < 1) throw new Error('--runs must be an integer from 1');
    const systems = values.systems.split(',').filter((name) => name !== '' && name !== 'none');
    const kit = kitDirectory(values.kit);
    const odd = systems.find((name) => !/^[a-z-]+(?::fsync)?$/.test(name) || !hasScript(kit, name));
    if (odd !== undefined) throw new Error(`the kit has no system ${odd}`);
    return { kit, systems, only: new RegExp(values.only).source, runs, out: values.out ?? defaultOut() };
  } catch (error) {
    process.stderr.write(`compare: ${error instanceof Error ? error.message : String(error)}\n${usage}`);
    return undefined;
  }
}

/** Undefined when it is nowhere; one that was named must be there. */
function kitDirectory(named = process.env['SLUICE_PEERS_KIT']): string | undefined {
  const directory = path.resolve(named ?? path.join(root, '..', 'shared', 'peers'));
  if (existsSync(path.join(directory, 'lib.sh'))) return directory;
  if (named !== undefined) throw new Error(`${directory} holds no kit: it has no lib.sh`);
  return undefined;
}

const hasScript = (kit: string | undefined, system: string): boolean =>
  kit === undefined || existsSync(path.join(kit, system.replace(':fsync', '')));

const defaultOut = (): string => path.join(root, '.tmp', `comparison-${new Date().toISOString().replaceAll(':', '')}`);

const say = (text: string): void => {
  process.stderr.write(`${new Date().toTimeString().slice(0, 8)} compare: ${text}\n`);
};

class Comparison {
  readonly #options: Options;
  readonly #stop: AbortSignal;
  readonly #data = process.env['SLUICE_PEERS_DATA'] ?? tmpdir();
  readonly failed: string[] = [];

  constructor(options: Options, stop: AbortSignal) {
    this.#options = options;
    this.#stop = stop;
  }

  async run(): Promise<void> {
    const { kit, systems, out } = this.#options;
    mkdirSync(out, { recursive: true });
    writeFileSync(path.join(out, 'machine.json'), `${JSON.stringify(machine())}\n`);
    if (kit === undefined) say('the peers’ kit is not here; Sluice is measured alone');
    for (const system of kit === undefined ? [] : systems) await this.#peer(kit ?? '', system);
    await this.#sluice();
    const table = this.#table();
    writeFileSync(path.join(out, 'table.md'), table);
    say(`everything is in ${out}`);
    process.stdout.write(table);
  }

  async #peer(kit: string, system: string): Promise<void> {
    const [name = '', fsync] = system.split(':');
    const line = this.#begin(system, fsync !== undefined);
    if (this.#stop.aborted) return;
    const environment = { ONLY: this.#options.only, RUNS: String(this.#options.runs) };
    const words = fsync === undefined ? ['all'] : ['all', '--fsync'];
    const command = path.join(kit, name);
    const code = await runChild({ command, words, environment, stop: this.#stop, onLine: line });
    if (code !== 0) this.failed.push(system);
    say(`${system} ended with ${code ?? 'a signal'}`);
  }

  async #sluice(): Promise<void> {
    const onLine = this.#begin('sluice', true);
    const { runs, only } = this.#options;
    if (this.#stop.aborted) return;
    const options = { runs, only: new RegExp(only), data: this.#data, stop: this.#stop, say, onLine };
    this.failed.push(...(await sluiceSet(options)).map((work) => `sluice: ${work}`));
  }

  /** The disk as it is just before; returns what writes the system's own lines. */
  #begin(system: string, fsync: boolean): (line: string) => void {
    const file = path.join(this.#options.out, `${system.replace(':', '-')}.jsonl`);
    const write = (line: string): void => appendFileSync(file, `${line}\n`);
    if (this.#stop.aborted) return write;
    say(`${system}: probing the disk`);
    const [name] = system.split(':');
    for (const probed of diskProbe(this.#data)) write(JSON.stringify({ ...probed, system: name, settings: { fsync } }));
    say(`${system}: measuring`);
    return write;
  }

  #table(): string {
    const { out } = this.#options;
    const files = readdirSync(out).filter((name) => name.endsWith('.jsonl'));
    // Sluice first.
    const ordered = files.toSorted((one, other) => Number(other === 'sluice.jsonl') - Number(one === 'sluice.jsonl'));
    return report(ordered.flatMap((name) => figureLines(readFileSync(path.join(out, name), 'utf8'))));
  }
}

const machine = (): object => ({
  cores: cpus().length,
  processor: cpus()[0]?.model,
  memoryMb: Math.round(totalmem() / 2 ** 20),
  kernel: release(),
  node: process.version,
  commit: commit(),
  at: new Date().toISOString(),
});

function commit(): string {
  try {
    return execFileSync('git', ['describe', '--always', '--dirty'], {
      cwd: root,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
  } catch {
    return 'unknown'; // Not a checkout.
  }
}

async function run(options: Options): Promise<number> {
  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => stop.abort());
  const comparison = new Comparison(options, stop.signal);
  await comparison.run();
  if (stop.signal.aborted) return 130;
  for (const work of comparison.failed) say(`FAILED: ${work}`);
  return comparison.failed.length === 0 ? 0 : 1;
}

const options = optionsFrom(process.argv.slice(2));
if (options === 'help') process.stdout.write(usage);
process.exit(options === undefined ? 2 : options === 'help' ? 0 : await run(options));
