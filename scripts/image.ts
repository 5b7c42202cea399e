/**
 * `npm run -s image -- [--tag sluice:latest] [--json]`: builds the image of `deploy/Dockerfile` and prints its size. Where
 * the base image cannot be pulled, a stand-in for it is made first. Progress goes to stderr.
 */
import { parseArgs } from 'node:util';
import { type Image, ensureBaseImage, inspectImage } from './base-image.ts';
import { boundedRun } from './bounded-run.ts';
import { dockerfile } from './dockerfile.ts';
import { root } from './repository-files.ts';

const buildMsMax = 600_000;

interface Options {
  readonly tag: string;
  readonly json: boolean;
}

function optionsFrom(argv: readonly string[]): Options | undefined {
  try {
    const { values } = parseArgs({
      args: [...argv],
      options: { tag: { type: 'string', default: 'sluice:latest' }, json: { type: 'boolean', default: false } },
    });
    return values;
  } catch (error) {
    console.error(`image: ${error instanceof Error ? error.message : String(error)}`);
    console.error('usage: npm run -s image -- [--tag sluice:latest] [--json]');
    return undefined;
  }
}

const say = (line: string): void => console.error(`image: ${line}`);

const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(0)} MB`;

/** Aborts when we are told to stop, so that what was begun is cleaned up. */
function stopSignal(): AbortSignal {
  const controller = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => controller.abort());
  return controller.signal;
}

async function buildImage(tag: string, base: Image, stop: AbortSignal): Promise<Image> {
  // Nothing is fetched on a stand-in: what is missing fails at once and does not wait for a network.
  const network = base.standIn === undefined ? [] : ['--network', 'none'];
  const command = ['docker', 'build', '--force-rm', '--file', dockerfile, '--tag', tag, ...network, '.'];
  say(command.join(' '));
  const { outcome } = await boundedRun({
    command,
    cwd: root,
    env: process.env,
    budgetMs: buildMsMax,
    output: 'stderr',
    stop,
  });
  if (outcome !== 'passed') throw new Error(`the build of ${tag} ${outcome}; what Docker said is above`);
  const built = inspectImage(tag);
  if (built === undefined) throw new Error(`${tag} is not there, although it was built`);
  return built;
}

async function main({ tag, json }: Options): Promise<number> {
  const startMs = performance.now();
  const stop = stopSignal();
  try {
    const base = await ensureBaseImage({ say, stop });
    const image = await buildImage(tag, base, stop);
    const seconds = Math.round((performance.now() - startMs) / 100) / 10;
    const standIn = base.standIn !== undefined;
    if (json) {
      const { id, bytes } = image;
      console.log(JSON.stringify({ tag, id, bytes, base: { tag: base.tag, bytes: base.bytes, standIn }, seconds }));
    } else {
      console.log(`${tag} ${image.id.replace('sha256:', '').slice(0, 12)} ${megabytes(image.bytes)}`);
      console.log(
        `  of that ${megabytes(base.bytes)} are ${base.tag}${standIn ? ', here a STAND-IN' : ''}; ${seconds} s`,
      );
    }
    return 0;
  } catch (error) {
    if (stop.aborted) return 130;
    say(error instanceof Error ? error.message : String(error));
    return 1;
  }
}

const options = optionsFrom(process.argv.slice(2));
process.exit(options === undefined ? 2 : await main(options));
