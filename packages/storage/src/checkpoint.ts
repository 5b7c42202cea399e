/**
 * What all files that were dropped add up to, in one file: a journal file without groups. Behind the header lie the
 * payloads of the Raft entries, then a footer that says of each log, and of the Raft state, what was true behind the last
 * group of those files. Recovery takes it as the oldest file: what follows is replayed onto it as it ever was.
 */
import type { Clock } from '@sluice/base';
import { crc32c } from '@sluice/record';
import { checkpointName } from './checkpoint-name.ts';
import type { DataDirectory } from './data-directory.ts';
import { encodingFooter, type Footer } from './footer.ts';
import { aligned } from './frame.ts';
import { inTurns } from './in-turns.ts';
import { encodeJournalHeader, journalHeaderBytes } from './journal-file.ts';
import type { FinishedCheckpoint } from './live-files.ts';
import type { StoredEntry } from './raft-index.ts';
import type { RaftEntry } from './raft-store.ts';
import type { Replay } from './replay.ts';
import type { SnapshotsByLog } from './snapshot-reads.ts';
import { writeInPieces } from './write-in-pieces.ts';

/** What a prefix of the log adds up to. */
export interface Folded {
  readonly replay: Replay;
  readonly entries: readonly RaftEntry[];
  readonly lastGroup: number;
  readonly checksum: number;
  /** That it takes over. */
  readonly snapshots: SnapshotsByLog;
}

export interface WrittenCheckpoint {
  readonly file: FinishedCheckpoint;
  readonly footer: Footer;
}

/** Durable, with its name, once this resolves; no manifest names it. */
export async function writeCheckpoint(
  directory: DataDirectory,
  { fileId, folded, clock }: { readonly fileId: number; readonly folded: Folded; readonly clock: Clock },
): Promise<WrittenCheckpoint> {
  const { replay, entries, lastGroup, checksum: previousChecksum, snapshots } = folded;
  const stored: StoredEntry[] = [];
  let position = journalHeaderBytes;
  for (const { index, term, kind, payload } of entries) {
    stored.push({ index, term, kind, position, bytes: payload.length, crc: crc32c(payload) });
    position += payload.length;
  }
  const footerAt = aligned(position);
  const place = { fileId, position: footerAt, previousChecksum, appendedMs: 0 };
  const source = replay.checkpointSource(lastGroup, stored, snapshots);
  const { frame, footer } = await inTurns(clock, encodingFooter(source, place));
  const { hardState } = replay.raft;
  const header = encodeJournalHeader({ fileId, firstGroup: 1, previousChecksum, hardState });
  const file = await directory.disk.open(directory.file(checkpointName(fileId)), 'create');
  try {
    await writeInPieces(file, { buffers: [header, ...entries.map(({ payload }) => payload)], position: 0 });
    await writeInPieces(file, { buffers: [frame], position: footerAt });
    await file.sync();
  } finally {
    await file.close();
  }
  await directory.disk.syncDirectory(directory.path);
  const bytes = footerAt + frame.length;
  return { file: { fileId, footerAt, bytes, batchBytes: 0, damaged: false }, footer };
}
