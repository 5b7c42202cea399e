/** Data goes to stdout, everything else to stderr. With `--json` stdout carries JSON alone. */
import { toSluiceError } from '@sluice/base';
import Table from 'cli-table3';
import type { Terminal } from './terminal.ts';

export class Output {
  readonly json: boolean;
  readonly quiet: boolean;
  readonly #terminal: Terminal;

  constructor(terminal: Terminal, { json, quiet }: { readonly json: boolean; readonly quiet: boolean }) {
    this.#terminal = terminal;
    this.json = json;
    this.quiet = quiet;
  }

  /** One line: `value` as JSON, or `text` for people. */
  async result(value: unknown, text: () => string): Promise<void> {
    await this.#terminal.writeOut(this.json ? `${JSON.stringify(value)}\n` : `${text()}\n`);
  }

  raw(bytes: string | Uint8Array): Promise<void> {
    return this.#terminal.writeOut(bytes);
  }

  /** Progress and summaries, silent with `--quiet`. */
  note(text: string): void {
    if (!this.quiet) this.#terminal.writeErr(`${text}\n`);
  }

  async failure(thrown: unknown): Promise<void> {
    const line = errorJson(thrown);
    if (this.json) return this.#terminal.writeOut(`${JSON.stringify(line)}\n`);
    this.#terminal.writeErr(`sluice: ${line.error.message} (${line.error.code})\n`);
  }
}

export interface ErrorLine {
  readonly error: {
    readonly code: string;
    readonly message: string;
    readonly retryable: boolean;
    readonly definite: boolean;
  };
}

export function errorJson(thrown: unknown): ErrorLine {
  const { code, message, retryable, definite } = toSluiceError(thrown);
  return { error: { code, message, retryable, definite } };
}

const plain = { top: '', 'top-mid': '', 'top-left': '', 'top-right': '', bottom: '', 'bottom-mid': '' };
const noLines = { 'bottom-left': '', 'bottom-right': '', left: '', 'left-mid': '', mid: '', 'mid-mid': '', right: '' };

/** Columns under bold headings, without borders, so that `awk` and `cut` work too. */
export function table(head: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const drawn = new Table({
    head: [...head],
    chars: { ...plain, ...noLines, 'right-mid': '', middle: '  ' },
    style: { 'padding-left': 0, 'padding-right': 0, head: [], border: [] },
  });
  for (const row of rows) drawn.push([...row]);
  return drawn.toString();
}
