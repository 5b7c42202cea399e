/** What happened in a run, as lines that a person reads: faults, what nodes said, roles, terms, epochs and offsets. */
import type { LogLine } from './sim-cluster.ts';

interface TimelineEntry {
  readonly atMs: number;
  readonly where: string;
  /** Made when it is read: most never are. */
  readonly text: () => string;
}

const entriesMax = 50_000;

export class Timeline {
  #entries: TimelineEntry[] = [];

  add(atMs: number, where: string, text: string): void {
    this.#push({ atMs, where, text: () => text });
  }

  onLine({ atMs, node, level, phrase, fields }: LogLine): void {
    const what = phrase === 'raft event' ? 'raft' : `${level} ${phrase}`;
    this.#push({ atMs, where: node, text: () => `${what} ${fieldsText(fields)}` });
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

  #push(entry: TimelineEntry): void {
    this.#entries.push(entry);
    if (this.#entries.length > 2 * entriesMax) this.#entries = this.#entries.slice(-entriesMax);
  }
}

const entryText = ({ atMs, where, text }: TimelineEntry): string =>
  `${atMs.toFixed(3).padStart(12)} ms  ${where.padEnd(10)} ${text()}`;

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
