/**
 * Nodes whose data directory is a small file system of its own: a tmpfs that only the process sees, in a user and mount
 * namespace of its own, so that nobody needs to be root. Not every machine lets its users have one.
 *
 * Owns the processes that it starts; the file systems go with them.
 */
import { spawn, spawnSync } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { closeSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { end, nodeCommand } from './node-processes.ts';
import type { NodeFacts } from './node-processes.ts';

const namespaces = ['--user', '--map-root-user', '--mount'];
/** `$1` bytes at `$2`, which becomes the working directory; the rest is the command. */
const mount = 'mount -t tmpfs -o size="$1" sluice "$2" && cd "$2" && shift 2 && exec "$@"';

/** Why there can be no small disks here; undefined when there can. */
export function smallDiskProblem(directory: string): string | undefined {
  const words = [...namespaces, 'sh', '-c', mount, 'sh', '4096', directory, 'true'];
  const { status, stderr, error } = spawnSync('unshare', words, { encoding: 'utf8' });
  return status === 0 ? undefined : `unshare: ${error?.message ?? stderr.trim()}`;
}

export interface SmallDiskOptions {
  readonly directory: string;
  readonly diskBytes: number;
  readonly environment: Readonly<Record<string, string>>;
}

export class SmallDiskNode implements AsyncDisposable {
  readonly #child: ChildProcess;

  /** The data directory of the node must be there; what is in it is not seen. */
  constructor(node: NodeFacts, { directory, diskBytes, environment }: SmallDiskOptions) {
    const [program, ...words] = nodeCommand(node);
    const command = [...namespaces, 'sh', '-c', mount, 'sh', `${diskBytes}`, node.data, program, ...words];
    const log = openSync(`${directory}/node-${node.id}.log`, 'a');
    try {
      this.#child = spawn('unshare', command, {
        stdio: ['ignore', log, log, 'ipc'],
        env: { ...process.env, ...environment },
      });
    } finally {
      closeSync(log);
    }
  }

  get runs(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Somebody else takes all that is free, to the last byte. */
  fill(): void {
    const zeros = new Uint8Array(1024 * 1024);
    for (let bytes = zeros.length; bytes >= 1; bytes = Math.floor(bytes / 2)) {
      while (this.#append(zeros.subarray(0, bytes)));
    }
  }

  /** What `fill` took is free again. */
  empty(): void {
    rmSync(this.#filler);
  }

  /** At once: nothing of it outlives it. */
  async [Symbol.asyncDispose](): Promise<void> {
    await end(this.#child, 0);
  }

  /** Seen from here through the process, whose working directory it lies in. */
  get #filler(): string {
    return `/proc/${this.#child.pid}/cwd/filler`;
  }

  #append(bytes: Uint8Array): boolean {
    try {
      writeFileSync(this.#filler, bytes, { flag: 'a' });
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOSPC') return false;
      throw error;
    }
  }
}
