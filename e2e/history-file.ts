/** A history on disk: one line of JSON an event, written as it happens and read back line by line. */
import { closeSync, createWriteStream, openSync, readSync } from 'node:fs';
import type { WriteStream } from 'node:fs';
import { once } from 'node:events';
import { StringDecoder } from 'node:string_decoder';
import { type HistoryLine, parseHistory } from '@sluice/sim/history';

export class HistoryFile {
  readonly path: string;
  readonly #stream: WriteStream;
  #failure: Error | undefined;

  constructor(path: string) {
    this.path = path;
    this.#stream = createWriteStream(path, { highWaterMark: 1024 * 1024 });
    this.#stream.once('error', (error) => {
      this.#failure = error;
    });
  }

  write(line: HistoryLine): void {
    this.#stream.write(`${JSON.stringify(line)}\n`);
  }

  /** Resolves when everything is in the file. */
  async close(): Promise<void> {
    if (this.#failure === undefined && !this.#stream.closed) {
      this.#stream.end();
      await once(this.#stream, 'close');
    }
    if (this.#failure !== undefined) throw this.#failure;
  }
}

const chunkBytes = 1024 * 1024;

/** Throws on a line that is not one of a history. */
export function* historyLines(path: string): Generator<HistoryLine> {
  const descriptor = openSync(path, 'r');
  try {
    const decoder = new StringDecoder('utf8');
    const chunk = Buffer.alloc(chunkBytes);
    let rest = '';
    for (;;) {
      const read = readSync(descriptor, chunk);
      const text = rest + (read === 0 ? decoder.end() : decoder.write(chunk.subarray(0, read)));
      const end = read === 0 ? text.length : text.lastIndexOf('\n') + 1;
      yield* parseHistory(text.slice(0, end));
      rest = text.slice(end);
      if (read === 0) return;
    }
  } finally {
    closeSync(descriptor);
  }
}
