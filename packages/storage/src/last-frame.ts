/** Where the last frame of a journal begins, in what a disk holds of it. */
import { frameAlignment, readFrameHeader } from './frame.ts';
import { journalFileId } from './journal-file.ts';

/**
 * Damage from there on looks as if the write had been torn (ADR 0039); before it, it is told from that. Undefined when the
 * file is no journal, or holds no frame.
 */
export function lastFrameAt(name: string, bytes: Uint8Array): number | undefined {
  const fileId = journalFileId(name);
  if (fileId === undefined) return undefined;
  const pages = Math.floor(bytes.length / frameAlignment);
  for (let position = (pages - 1) * frameAlignment; position > 0; position -= frameAlignment) {
    if (readFrameHeader(bytes.subarray(position), { fileId, position }) !== undefined) return position;
  }
  return undefined;
}
