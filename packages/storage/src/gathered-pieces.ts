/** Pieces of a log as a transform is given them in a rewrite: not as they were appended, one by one. */
import type { Segment } from './log-index.ts';

/** Given to a transform at a time, or one piece. */
const gatheredBytesMax = 1024 * 1024;

/** What lives of a piece. */
export interface LivePiece {
  readonly segment: Segment;
  readonly live: Uint8Array;
}

/** Neighbours in one segment, put together: a transform can join what it finds in one call. */
export function* gathered(
  pieces: Iterable<LivePiece>,
): Generator<{ readonly segment: Segment; readonly batches: Uint8Array }, void, undefined> {
  let parts: Uint8Array[] = [];
  let bytes = 0;
  let segment: Segment | undefined;
  for (const piece of pieces) {
    if (segment !== undefined && (segment !== piece.segment || bytes + piece.live.length > gatheredBytesMax)) {
      yield { segment, batches: joined(parts, bytes) };
      parts = [];
      bytes = 0;
    }
    segment = piece.segment;
    parts.push(piece.live);
    bytes += piece.live.length;
  }
  if (segment !== undefined) yield { segment, batches: joined(parts, bytes) };
}

function joined(parts: readonly Uint8Array[], bytes: number): Uint8Array {
  const [only] = parts;
  if (only !== undefined && parts.length === 1) return only;
  const whole = new Uint8Array(bytes);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
