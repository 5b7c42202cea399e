/** What happened in a run, as lines that a person reads: faults, what nodes said, roles, terms, epochs and offsets. */
import type { LogLine } from './sim-cluster.ts';

export interface TimelineEntry {
  readonly atMs: number;
  readonly where: string;
  readonly text: string;
}

const entriesMax = 50_000;

export class Timeline {
  #entries: TimelineEntry[] = [];

  add(atMs: number, where: string, text: string): void {
    this.#entries.push({ atMs, where, text });
    if (this.#entries.length > 2 * entriesMax) this.#entries = this.#entries.slice(-entriesMax);
  }

  onLine({ atMs, node, level, phrase, fields }: LogLine): void {
    if (level !== 'debug') this.add(atMs, node, `${level} ${phrase} ${fieldsText(fields)}`);
    else if (phrase === 'raft event') this.add(atMs, node, `raft ${fieldsText(fields)}`);
  }

  /** The last ones up to a moment. */
  around(atMs: number, lines: number): string {
    const until = this.#entries.findLastIndex((entry) => entry.atMs <= atMs);
    return this.#entries
      .slice(Math.max(0, until - lines), until + 10)
      .map(entryText)
      .join('\n');
  }

  all(): string {
    return this.#entries.map(entryText).join('\n');
  }
}

const entryText = ({ atMs, where, text }: TimelineEntry): string =>
  `${atMs.toFixed(3).padStart(12)} ms  ${where.padEnd(10)} ${text}`;

/** Members are `node-directory`; the directory says nothing to a reader. */
const short = (text: string): string => text.replaceAll(/\b(\d+)-[0-9a-f]{32}\b/g, 'node$1').slice(0, 400);

function fieldsText(fields: Readonly<Record<string, unknown>>): string {
  return Object.entries(fields)
    .filter(([name]) => name !== 'component')
    .map(([name, value]) => `${name}=${short(valueText(value))}`)
    .join(' ');
}

function valueText(value: unknown): string {
  if (value instanceof Error) return `${value.name}: ${value.message}`;
  return typeof value === 'string' ? value : (JSON.stringify(value) ?? 'undefined');
}
