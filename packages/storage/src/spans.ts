/** Reads many small places of a file in few reads: neighbours are read together with the gap between them. */
import type { DiskFile } from '@sluice/base';

export interface Place {
  readonly position: number;
  readonly bytes: number;
}

/** Reading through a gap of this size costs less than another call. */
const gapBytesMax = 32 * 1024;
const spanBytesMax = 1024 * 1024;

/** The bytes of each place, in their order; undefined where the file ends before. */
export async function readSpans(file: DiskFile, places: readonly Place[]): Promise<(Uint8Array | undefined)[]> {
  const found: (Uint8Array | undefined)[] = [];
  for await (const span of spansOf(file, places)) found.push(...span);
  return found;
}

/** The same one read at a time: what it gives holds on to the gaps too. */
export async function* spansOf(
  file: DiskFile,
  places: readonly Place[],
): AsyncGenerator<readonly (Uint8Array | undefined)[], void, undefined> {
  for (let first = 0; first < places.length; ) {
    const span = spanFrom(places, first);
    const bytes = await roomFor(file, span);
    const read = await file.read(bytes, span.position);
    yield places.slice(first, span.next).map((place) => {
      const at = place.position - span.position;
      return at + place.bytes <= read ? bytes.subarray(at, at + place.bytes) : undefined;
    });
    first = span.next;
  }
}

/** What `readSpans` takes for them. */
export function spanBytes(places: readonly Place[]): number {
  let bytes = 0;
  for (let first = 0; first < places.length; ) {
    const span = spanFrom(places, first);
    bytes += span.bytes;
    first = span.next;
  }
  return bytes;
}

/** For the bytes of this place; where a damaged index says more than a span has, for what is in the file, at most. */
export async function roomFor(file: DiskFile, { position, bytes }: Place): Promise<Uint8Array> {
  if (bytes <= spanBytesMax) return new Uint8Array(bytes);
  return new Uint8Array(Math.max(0, Math.min(bytes, (await file.size()) - position)));
}

function spanFrom(places: readonly Place[], first: number): Place & { readonly next: number } {
  const position = places[first]?.position ?? 0;
  let end = position + (places[first]?.bytes ?? 0);
  let next = first + 1;
  for (let place = places[next]; place !== undefined; place = places[next]) {
    const gap = place.position - end;
    const reach = place.position + place.bytes;
    if (gap < 0 || gap > gapBytesMax || reach - position > spanBytesMax) break;
    end = reach;
    next += 1;
  }
  return { position, bytes: end - position, next };
}
