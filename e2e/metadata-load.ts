/**
 * Changes of metadata, one after the other, and the book of which were answered. What was answered must
 * be there in the end, and what failed definitely must not.
 */
import { toSluiceError } from '@sluice/base';
import { Sluice } from '@sluice/client';
import { until } from './until.ts';

const requestTimeoutMs = 20_000;
const waitMs = 30_000;

export class MetadataLoad implements AsyncDisposable {
  readonly made: string[] = [];
  readonly refused: string[] = [];
  readonly failures: string[] = [];
  readonly #sluice: Sluice;
  readonly #running: Promise<void>;
  #stopped = false;

  constructor(bootstrap: readonly string[]) {
    this.#sluice = new Sluice({ bootstrap, clientId: 'metadata-load', requestTimeoutMs });
    this.#running = this.#run();
  }

  /** Resolves when so many more were answered. */
  async changes(count: number): Promise<void> {
    const wanted = this.made.length + count;
    const look = (): true | undefined => (this.made.length >= wanted ? true : undefined);
    const standing = (): string => `(${this.failures.slice(-3).join('; ')})`;
    await until(look, { what: `${count} more changes`, timeoutMs: waitMs, everyMs: 5, standing });
  }

  /** What was answered and is not there, and what was refused and is. */
  async finish(): Promise<{ readonly lost: readonly string[]; readonly risen: readonly string[] }> {
    this.#stopped = true;
    await this.#running;
    const names = new Set((await this.#sluice.admin.listTopics()).map(({ name }) => name));
    return {
      lost: this.made.filter((name) => !names.has(name)),
      risen: this.refused.filter((name) => names.has(name)),
    };
  }

  async #run(): Promise<void> {
    for (let at = 0; !this.#stopped; at += 1) {
      const name = `change-${at}`;
      try {
        await this.#sluice.admin.createTopic({ name, partitions: 1, replication: 1 });
        this.made.push(name);
      } catch (thrown) {
        const { code, message, definite } = toSluiceError(thrown);
        this.failures.push(`${name}: ${code} ${message}`);
        if (definite) this.refused.push(name);
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped = true;
    await this.#sluice.close({ timeoutMs: 0 }).catch(() => undefined);
    await this.#running;
  }
}
