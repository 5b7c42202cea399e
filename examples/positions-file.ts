/** Where the billing service goes on reading: the next offset of each partition. Made by the billing service. */
import { readFile } from 'node:fs/promises';
import { replaceFile } from './durable-file.ts';

interface Stored {
  /** A topic that was deleted and made again has its name, other records, and offsets from 0. */
  readonly topicId: string;
  readonly next: Readonly<Record<string, number>>;
}

export class PositionsFile {
  readonly #name: string;
  readonly #topicId: string;
  readonly #next: Record<string, number>;

  private constructor(name: string, { topicId, next }: Stored) {
    this.#name = name;
    this.#topicId = topicId;
    this.#next = { ...next };
  }

  static async open(name: string, topicId: string): Promise<PositionsFile> {
    const stored = await read(name);
    if (stored !== undefined && stored.topicId !== topicId) {
      throw new Error(`${name} is of another topic of this name (${stored.topicId}, not ${topicId}); move it away`);
    }
    return new PositionsFile(name, stored ?? { topicId, next: {} });
  }

  /** Undefined when nothing of the partition was read. */
  next(partition: number): number | undefined {
    return this.#next[partition];
  }

  /** Durable when it resolves. */
  async save(partition: number, nextOffset: number): Promise<void> {
    this.#next[partition] = nextOffset;
    const stored: Stored = { topicId: this.#topicId, next: this.#next };
    await replaceFile(this.#name, `${JSON.stringify(stored)}\n`);
  }
}

async function read(name: string): Promise<Stored | undefined> {
  try {
    return JSON.parse(await readFile(name, 'utf8')) as Stored;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
