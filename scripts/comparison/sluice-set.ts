/**
 * The works of the peers' standard set, measured on Sluice as they are on Kafka: one cluster for all that does not stop
 * nodes, every client a process of its own.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { LocalCluster } from '../../e2e/cluster.ts';
import { runChild } from './child.ts';

export interface SluiceSetOptions {
  /** Repetitions of what is measured at full speed. */
  readonly runs: number;
  readonly only: RegExp;
  /** Where temporary directories are made. */
  readonly data: string;
  readonly stop: AbortSignal;
  readonly say: (text: string) => void;
  readonly onLine: (line: string) => void;
}

const command = fileURLToPath(new URL('../../packages/cli/bin/sluice.mjs', import.meta.url));
const partitions = 6;
const tuned = ['--batch-bytes', '131072', '--linger-ms', '10'];
const discardedSeconds = 8;

/** The kit's own variables, so that both measure for as long. */
const seconds = (name: string, fallback: number): string => process.env[name] ?? String(fallback);

/** Resolves with what failed. */
export async function sluiceSet(options: SluiceSetOptions): Promise<readonly string[]> {
  const set = new SluiceSet(options);
  await set.run();
  return set.failed;
}

class SluiceSet {
  readonly failed: string[] = [];
  readonly #options: SluiceSetOptions;
  #bootstrap: readonly string[] = [];

  constructor(options: SluiceSetOptions) {
    this.#options = options;
  }

  async run(): Promise<void> {
    const { data, say } = this.#options;
    const sizes = (process.env['SIZES'] ?? '1024 100').split(' ').map(Number);
    const shared = [...sizes.flatMap(fullSpeedWorks), ...rateWorks.map(({ work }) => work)];
    if (shared.some((work) => this.#wanted(work))) {
      const directory = mkdtempSync(path.join(data, 'sluice-compare-'));
      try {
        say('starting three nodes');
        await this.#onOneCluster(directory, sizes);
      } finally {
        rmSync(directory, { recursive: true });
      }
    }
    const own = ['--data', data];
    await this.#measure('failover', ['failover', '--rounds', seconds('ROUNDS', 5), ...own]);
    await this.#measure('cold-start', ['cold-start', '--timeout', '3m', ...own]);
    await this.#measure('idle', ['idle', '--seconds', seconds('IDLE_SECONDS', 15), ...own]);
  }

  async #onOneCluster(directory: string, sizes: readonly number[]): Promise<void> {
    await using cluster = await LocalCluster.start({ directory });
    this.#bootstrap = cluster.bootstrap;
    await this.#warmUp();
    for (const bytes of sizes) await this.#fullSpeed(bytes);
    for (const { work, words } of rateWorks) await this.#measure(work, words);
    this.#bootstrap = [];
  }

  /** Discarded: code is compiled as it is used. */
  async #warmUp(): Promise<void> {
    if (this.#options.stop.aborted) return;
    this.#options.say('warming up');
    const words = ['produce', '--record-bytes', '1024', '--seconds', `${discardedSeconds}`, '--quiet'];
    await this.#sluice(['bench', ...words], () => undefined);
  }

  async #fullSpeed(bytes: number): Promise<void> {
    const [byDefault, tunedWork, consumed, decoded] = fullSpeedWorks(bytes);
    if (!fullSpeedWorks(bytes).some((work) => this.#wanted(work))) return;
    const [plain, fast] = [`d${bytes}`, `t${bytes}`];
    const size = ['--record-bytes', `${bytes}`];
    const times = ['--seconds', seconds('MEASURE_SECONDS', 15), '--warmup-seconds', seconds('WARMUP_SECONDS', 4)];
    for (const name of [plain, fast]) await this.#topic('create', name, '--partitions', `${partitions}`);
    await this.#repeat(byDefault, ['produce', '--topic', plain, ...size, ...times]);
    await this.#repeat(tunedWork, ['produce', '--topic', fast, ...size, ...times, ...tuned]);
    // There is nothing to read when only reading is wanted.
    if (!this.#wanted(tunedWork))
      await this.#sluice(['bench', 'produce', '--topic', fast, ...size, ...times], () => undefined);
    const all = ['consume', '--topic', fast, ...size, '--records', '1000000000'];
    await this.#repeat(consumed, all);
    await this.#repeat(decoded, [...all, '--decode']);
    for (const name of [plain, fast]) await this.#topic('delete', name);
  }

  async #topic(...words: readonly string[]): Promise<void> {
    if (this.#options.stop.aborted) return;
    if (!(await this.#sluice(['topic', ...words], () => undefined))) this.failed.push(`topic ${words.join(' ')}`);
  }

  async #repeat(work: string, words: readonly string[]): Promise<void> {
    for (let run = 1; run <= this.#options.runs; run += 1) await this.#measure(work, words);
  }

  /** A failure is told and does not end the set. */
  async #measure(work: string, words: readonly string[]): Promise<void> {
    const { stop, say, onLine } = this.#options;
    if (stop.aborted || !this.#wanted(work)) return;
    say(work);
    const print = (line: string): void => {
      if (line.startsWith('{"system"')) onLine(line);
      process.stderr.write(`${line}\n`);
    };
    if (await this.#sluice(['bench', ...words], print)) return;
    say(`${work} FAILED`);
    this.failed.push(work);
  }

  async #sluice(words: readonly string[], onLine: (line: string) => void): Promise<boolean> {
    const { stop } = this.#options;
    // Empty for what starts nodes of its own: it asks no other.
    const environment = this.#bootstrap.length === 0 ? {} : { SLUICE_BOOTSTRAP: this.#bootstrap.join(',') };
    const code = await runChild({
      command: process.execPath,
      words: [command, ...words, '--json'],
      environment,
      stop,
      onLine,
    });
    return code === 0;
  }

  #wanted(work: string): boolean {
    return this.#options.only.test(work);
  }
}

const fullSpeedWorks = (bytes: number): readonly [string, string, string, string] => [
  `produce-max ${bytes} B`,
  `produce-max ${bytes} B, tuned`,
  `consume-max ${bytes} B`,
  `consume-max ${bytes} B, decoded`,
];

const fixedTimes = ['--record-bytes', '1024', '--seconds', '20', '--warmup-seconds', '5'];

const rateWorks: readonly { readonly work: string; readonly words: readonly string[] }[] = [
  ...[1000, 10_000].map((rate) => ({
    work: `produce ${rate}/s 1024 B`,
    words: ['produce', '--rate', `${rate}`, '--partitions', `${partitions}`, ...fixedTimes],
  })),
  { work: 'end-to-end 1000/s 1024 B', words: ['end-to-end', '--rate', '1000', ...fixedTimes] },
];
