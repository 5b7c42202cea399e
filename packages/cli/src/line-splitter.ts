/**
 * Bytes → lines, split on `\n` alone: `\r` is kept, an empty line is empty, a last line without newline is a line, no
 * bytes are no line. Memory is one chunk and one line, and a line is never longer than `lineBytesMax`.
 */

/** A line over the limit; its bytes were skipped. */
export interface OverlongLine {
  readonly overlongBytes: number;
}

export type Line = Uint8Array | OverlongLine;

export const isOverlong = (line: Line): line is OverlongLine => 'overlongBytes' in line;

const newline = 0x0a;

/** Lines come gathered by the chunk that ended them, as views into it where they lie inside one. */
export async function* linesOf(chunks: AsyncIterable<Uint8Array>, lineBytesMax: number): AsyncGenerator<Line[]> {
  const open = new OpenLine(lineBytesMax);
  for await (const chunk of chunks) {
    const lines: Line[] = [];
    let start = 0;
    for (let end = chunk.indexOf(newline); end !== -1; end = chunk.indexOf(newline, start)) {
      lines.push(open.finish(chunk.subarray(start, end)));
      start = end + 1;
    }
    open.add(chunk.subarray(start));
    if (lines.length > 0) yield lines;
  }
  if (open.bytes > 0) yield [open.finish(new Uint8Array(0))];
}

/** The line whose end has not come yet. Parts are joined once, so that a long line costs its length and no more. */
class OpenLine {
  readonly #bytesMax: number;
  #parts: Uint8Array[] = [];
  #bytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get bytes(): number {
    return this.#bytes;
  }

  add(part: Uint8Array): void {
    if (part.length === 0) return;
    this.#bytes += part.length;
    if (this.#bytes > this.#bytesMax) this.#parts = [];
    else this.#parts.push(part);
  }

  finish(last: Uint8Array): Line {
    if (this.#bytes === 0 && last.length <= this.#bytesMax) return last;
    this.add(last);
    const line = this.#bytes > this.#bytesMax ? { overlongBytes: this.#bytes } : Buffer.concat(this.#parts);
    this.#parts = [];
    this.#bytes = 0;
    return line;
  }
}
