/**
 * `npm start`: a three-node cluster of processes, and a live demonstration that a killed leader costs a pause and no
 * record. Keeps serving until Ctrl-C; with `--once` it exits, with `--json` the last line on stdout is the result.
 */
import { parseArgs } from 'node:util';
import { Demonstration } from '../e2e/demonstration.ts';
import type { DemonstrationOptions } from '../e2e/demonstration.ts';
import { exitCodeOf } from '../e2e/demonstration-result.ts';

interface Options extends Omit<DemonstrationOptions, 'say'> {
  readonly once: boolean;
  readonly json: boolean;
}

function optionsFrom(argv: readonly string[]): Options | undefined {
  try {
    const { values } = parseArgs({
      args: [...argv],
      options: {
        once: { type: 'boolean', default: false },
        json: { type: 'boolean', default: false },
        data: { type: 'string' },
      },
    });
    return { once: values.once, json: values.json, directory: values.data };
  } catch (error) {
    process.stderr.write(`start: ${error instanceof Error ? error.message : String(error)}\n`);
    process.stderr.write('usage: npm start -- [--once] [--json] [--data DIR]\n');
    return undefined;
  }
}

const interrupted = (): Promise<'interrupted'> =>
  new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => resolve('interrupted'));
  });

async function run({ once, json, directory }: Options): Promise<number> {
  // With --json stdout carries the result alone.
  const say = (line: string): void => (json ? console.error(line) : console.log(line));
  const stop = interrupted();
  let isStopping = false;
  void stop.then(() => {
    isStopping = true;
    say('Stopping the nodes.');
  });
  const started = await Demonstration.start({ directory, say }).catch((error: unknown) => error);
  if (!(started instanceof Demonstration)) {
    // A cluster that was told to stop while it started has nothing to explain.
    if (isStopping) return 130;
    console.error(`The cluster did not start: ${started instanceof Error ? started.message : String(started)}`);
    return 1;
  }
  await using demonstration = started;
  const result = await Promise.race([demonstration.run(), stop]);
  if (result === 'interrupted') return 130;
  if (!once) {
    demonstration.invite();
    await stop;
  }
  if (json) console.log(JSON.stringify(result));
  return exitCodeOf(result);
}

const options = optionsFrom(process.argv.slice(2));
process.exit(options === undefined ? 2 : await run(options));
