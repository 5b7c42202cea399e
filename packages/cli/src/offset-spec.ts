/** Where to start reading: `start`, `end`, `+n` (n after start), `-n` (the last n), `@ISO-or-ms` (from that time on). */

export type OffsetSpec =
  | { readonly kind: 'start' }
  | { readonly kind: 'end' }
  | { readonly kind: 'afterStart'; readonly count: number }
  | { readonly kind: 'last'; readonly count: number }
  | { readonly kind: 'time'; readonly ms: number };

export const offsetGrammar = 'start, end, +N, -N or @TIME, with TIME an ISO date or milliseconds since 1970';

/** Undefined when the text is none of these. */
export function parseOffsetSpec(text: string): OffsetSpec | undefined {
  if (text === 'start') return { kind: 'start' };
  if (text === 'end') return { kind: 'end' };
  if (/^[+-]\d{1,15}$/.test(text)) {
    return { kind: text.startsWith('+') ? 'afterStart' : 'last', count: Number(text.slice(1)) };
  }
  if (!text.startsWith('@')) return undefined;
  const time = text.slice(1);
  if (/^\d{1,15}$/.test(time)) return { kind: 'time', ms: Number(time) };
  const ms = /^\d{4}-\d\d-\d\d/.test(time) ? Date.parse(time) : Number.NaN;
  return Number.isNaN(ms) ? undefined : { kind: 'time', ms };
}

export interface PartitionBounds {
  readonly logStart: number;
  readonly highWatermark: number;
  /** Of the batch that can hold the first record of the time that was asked for. */
  readonly sinceOffset: number;
}

/** The offset to read from. A time starts at a batch: the reader drops what is older in it. */
export function resolveOffset(spec: OffsetSpec, { logStart, highWatermark, sinceOffset }: PartitionBounds): number {
  switch (spec.kind) {
    case 'start':
      return logStart;
    case 'time':
      return sinceOffset;
    case 'end':
      return highWatermark;
    case 'afterStart':
      return logStart + spec.count;
    case 'last':
      return Math.max(logStart, highWatermark - spec.count);
  }
}
