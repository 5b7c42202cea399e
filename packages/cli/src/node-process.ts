/** Starts one node as a process of its own: no shell, no wrapper, so that its pid is the broker's. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const main = fileURLToPath(import.meta.resolve('@sluice/server/main'));

/**
 * File operations run on libuv's threads, of which four are too few beside a sync. The allocator keeps and reuses memory
 * of large messages instead of returning it to the system after each.
 */
export const nodeEnvironment: Readonly<Record<string, string>> = {
  UV_THREADPOOL_SIZE: '8',
  MALLOC_TRIM_THRESHOLD_: String(256 * 1024 * 1024),
  MALLOC_MMAP_THRESHOLD_: String(32 * 1024 * 1024),
  MALLOC_TOP_PAD_: String(16 * 1024 * 1024),
};

/**
 * What the file of the node says and the environment must not override: here it is about another node, such as the one
 * that an image is made for.
 */
const ofOneNode = /^SLUICE_(?:NODE_ID|DATA_DIRECTORY|CLUSTER_VOTERS|LISTENERS_\w+)$/;

type Environment = Readonly<Record<string, string | undefined>>;

export function environmentForNode(environment: Environment): Environment {
  const kept = Object.entries(environment).filter(([name]) => !ofOneNode.test(name));
  return { ...Object.fromEntries(kept), ...nodeEnvironment };
}

export interface NodeProcessOptions {
  readonly config: string;
  /** Gets what the node writes, appended. */
  readonly log: string;
  readonly environment: Environment;
}

/** The node stops in order when the channel to this process closes: it never outlives whoever started it. */
export function startNodeProcess({ config, log, environment }: NodeProcessOptions): ChildProcess {
  const written = openSync(log, 'a');
  try {
    return spawn(process.execPath, [main, '--config', config], {
      stdio: ['ignore', written, written, 'ipc'],
      env: environmentForNode(environment),
    });
  } finally {
    closeSync(written);
  }
}
