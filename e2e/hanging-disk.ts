/**
 * A directory on a disk that hangs for as long as a test wants: `hanging-disk.sh` says how. Owns the process that holds the
 * disk; whatever becomes of the test, that process makes the disk answer and removes it.
 */
import { spawn } from 'node:child_process';
import type { ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';

const script = fileURLToPath(new URL('hanging-disk.sh', import.meta.url));

export class HangingDisk implements AsyncDisposable {
  readonly #holder: ChildProcessByStdio<Writable, Readable, Readable>;
  readonly #answers: AsyncIterator<string>;
  readonly #ended: Promise<unknown>;
  #complaint = '';

  private constructor(directory: string) {
    // In a group of its own, which outlives a signal to ours.
    this.#holder = spawn(script, [directory], { stdio: ['pipe', 'pipe', 'pipe'], detached: true });
    this.#holder.stderr.on('data', (text) => (this.#complaint += String(text)));
    // A holder that is gone is found out by its missing answer.
    this.#holder.stdin.on('error', () => undefined);
    this.#answers = createInterface({ input: this.#holder.stdout })[Symbol.asyncIterator]();
    this.#ended = once(this.#holder, 'close');
  }

  /** At `directory`, which must be there; what is in it is not seen. */
  static async mount(directory: string): Promise<HangingDisk> {
    await using open = new AsyncDisposableStack();
    const disk = open.use(new HangingDisk(directory));
    await disk.#done('mount');
    open.move();
    return disk;
  }

  /** From now on nothing gets durable; of `writes`, nothing is taken either. */
  async hang(what: 'syncs' | 'writes'): Promise<void> {
    await this.#tell(`hang-${what}`);
  }

  async answer(): Promise<void> {
    await this.#tell('answer');
  }

  /** The processes that use it must be about to end. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#holder.stdin.end();
    await this.#ended;
  }

  async #tell(word: string): Promise<void> {
    this.#holder.stdin.write(`${word}\n`);
    await this.#done(word);
  }

  async #done(word: string): Promise<void> {
    const { done } = await this.#answers.next();
    if (done !== true) return;
    await this.#ended;
    throw new Error(`${word}: ${this.#complaint.trim()}`);
  }
}

/** Why there can be no such disks here; undefined when there can. */
export async function hangingDiskProblem(): Promise<string | undefined> {
  const directory = mkdtempSync(path.join(tmpdir(), 'sluice-probe-'));
  try {
    await using disk = await HangingDisk.mount(directory);
    await disk.hang('syncs');
    await disk.answer();
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  } finally {
    rmSync(directory, { recursive: true });
  }
}
