/** A file that is made beside the groups is written in pieces, each durable by itself: no sync of the log waits for megabytes. */
import type { DiskFile } from '@sluice/base';

/** One write, and what the groups that are committed meanwhile may have to wait for. */
const pieceBytesMax = 256 * 1024;

/** Each piece is durable before the next is asked for, so that the sync of all of it is short. */
export async function writeInPieces(
  file: DiskFile,
  { buffers, position }: { readonly buffers: readonly Uint8Array[]; readonly position: number },
): Promise<void> {
  let at = position;
  let piece: Uint8Array[] = [];
  let bytes = 0;
  const flush = async (): Promise<void> => {
    if (bytes === 0) return;
    await file.writeDurable(piece, at);
    at += bytes;
    piece = [];
    bytes = 0;
  };
  for (const buffer of buffers) {
    for (let from = 0; from < buffer.length; from += pieceBytesMax) {
      const part = buffer.subarray(from, from + pieceBytesMax);
      piece.push(part);
      bytes += part.length;
      if (bytes >= pieceBytesMax) await flush();
    }
  }
  await flush();
}
