/**
 * Makes sure that the base image of `deploy/Dockerfile` is in the Docker engine: it is there, or it is pulled, or, where
 * no image can be pulled, `stand-in.ts` makes one of that name, and stderr says so.
 */
import { spawnSync } from 'node:child_process';
import { boundedRun } from './bounded-run.ts';
import { baseImageOf, readDockerfile } from './dockerfile.ts';
import { root } from './repository-files.ts';
import { makeStandIn, standInLabel, standInStamp } from './stand-in.ts';

const pullMsMax = 120_000;
const inspectMsMax = 20_000;

export interface Image {
  readonly tag: string;
  readonly id: string;
  readonly bytes: number;
  /** What a stand-in was made of; undefined for any other image. */
  readonly standIn: string | undefined;
}

interface Inspected {
  readonly Id: string;
  readonly Size: number;
  readonly Config: { readonly Labels?: Readonly<Record<string, string>> | null };
}

/** The image of this tag, or undefined. Throws when no engine answers. */
export function inspectImage(tag: string): Image | undefined {
  const { status, stdout, stderr, error } = spawnSync('docker', ['image', 'inspect', tag], {
    encoding: 'utf8',
    timeout: inspectMsMax,
  });
  if (error !== undefined) throw new Error(`docker cannot be used: ${error.message}`);
  if (status !== 0) {
    if (/no such image/i.test(stderr)) return undefined;
    throw new Error(`docker cannot be used: ${stderr.trim()}`);
  }
  const [found] = JSON.parse(stdout) as Inspected[];
  if (found === undefined) return undefined;
  return { tag, id: found.Id, bytes: found.Size, standIn: found.Config.Labels?.[standInLabel] };
}

export interface BaseImageOptions {
  readonly say: (line: string) => void;
  readonly stop: AbortSignal;
}

/** Throws when there is none and none can be made, or when it was told to stop. */
export async function ensureBaseImage({ say, stop }: BaseImageOptions): Promise<Image> {
  const tag = baseImageOf(readDockerfile());
  const present = inspectImage(tag);
  if (present !== undefined && (present.standIn === undefined || present.standIn === standInStamp())) return present;
  say(present === undefined ? `pulling ${tag}` : `the stand-in for ${tag} is out of date; pulling the image itself`);
  const command = ['docker', 'pull', tag];
  const { outcome } = await boundedRun({
    command,
    cwd: root,
    env: process.env,
    budgetMs: pullMsMax,
    output: 'stderr',
    stop,
  });
  if (stop.aborted) throw new Error('stopped');
  if (outcome !== 'passed') {
    say(`${tag} cannot be pulled${outcome === 'over-budget' ? ` within ${pullMsMax / 1000} s` : ''}`);
    await makeStandIn({ tag, say, stop });
  }
  const made = inspectImage(tag);
  if (made === undefined) throw new Error(`${tag} is not there, although it was made`);
  return made;
}
