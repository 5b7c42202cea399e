/**
 * The works of the peers' standard set, measured on Sluice as they are on Kafka, every client a process of its own. Each
 * run at full speed has a cluster of its own: it writes up to 40 GB, which deleting its topic does not give back.
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
const topic = 'measured';
const partitions = 6;
const tuned = ['--batch-bytes', '131072', '--linger-ms', '10'];
/** Peers on a JVM get 90; on two cores a node is at its speed after some 20. */
const discardedSeconds = 30;

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
    const { data } = this.#options;
    const sizes = (process.env['SIZES'] ?? '1024 100').split(' ').map(Number);
    for (const bytes of sizes) await this.#fullSpeed(bytes);
    if (rateWorks.some(({ work }) => this.#wanted(work))) {
      await this.#onCluster(async () => {
        for (const { work, words } of rateWorks) await this.#measure(work, words);
      });
    }
    const own = ['--data', data];
    await this.#measure('failover', ['failover', '--rounds', seconds('ROUNDS', 5), ...own]);
    await this.#measure('cold-start', ['cold-start', '--timeout', '3m', ...own]);
    await this.#measure('idle', ['idle', '--seconds', seconds('IDLE_SECONDS', 15), ...own]);
  }

  async #onCluster(run: () => Promise<void>): Promise<void> {
    const { data, say, stop } = this.#options;
    if (stop.aborted) return;
    const directory = mkdtempSync(path.join(data, 'sluice-compare-'));
    try {
      say('starting three nodes');
      await using cluster = await LocalCluster.start({ directory });
      this.#bootstrap = cluster.bootstrap;
      await this.#warmUp();
      await run();
    } finally {
      this.#bootstrap = [];
      rmSync(directory, { recursive: true });
    }
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
    const { runs } = this.#options;
    const size = ['--record-bytes', `${bytes}`];
    const times = ['--seconds', seconds('MEASURE_SECONDS', 15), '--warmup-seconds', seconds('WARMUP_SECONDS', 4)];
    const produce = ['produce', '--topic', topic, ...size, ...times];
    const consume = ['consume', '--topic', topic, ...size, '--records', '1000000000'];
    for (let run = 1; run <= runs && this.#wanted(byDefault); run += 1) {
      await this.#onTopic(() => this.#measure(byDefault, produce));
    }
    for (let run = 1; run < runs && this.#wanted(tunedWork); run += 1) {
      await this.#onTopic(() => this.#measure(tunedWork, [...produce, ...tuned]));
    }
    if (![tunedWork, consumed, decoded].some((work) => this.#wanted(work))) return;
    await this.#onTopic(async () => {
      await this.#measure(tunedWork, [...produce, ...tuned]);
      // There is nothing to read when only reading is wanted.
      if (!this.#wanted(tunedWork)) await this.#sluice(['bench', ...produce], () => undefined);
      await this.#repeat(consumed, consume);
      await this.#repeat(decoded, [...consume, '--decode']);
    });
  }

  #onTopic(run: () => Promise<void>): Promise<void> {
    return this.#onCluster(async () => {
      const words = ['topic', 'create', topic, '--partitions', `${partitions}`];
      if (!(await this.#sluice(words, () => undefined))) this.failed.push(words.join(' '));
      await run();
    });
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
