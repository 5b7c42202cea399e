/** Reads state snapshots out of files that go, for the file that stands for them. */
import type { DiskFile } from '@sluice/base';
import { offset } from '@sluice/base';
import { crc32c } from '@sluice/record';
import type { DataDirectory } from './data-directory.ts';
import type { LogIndex } from './log-index.ts';
import type { StateSnapshot } from './log-store.ts';
import type { SnapshotPlace } from './snapshot-places.ts';
import { readSpans } from './spans.ts';

export type SnapshotsByLog = ReadonlyMap<LogIndex, readonly StateSnapshot[]>;

/** Damaged ones are left out: the log is then read from further back. */
export async function readSnapshots(
  directory: DataDirectory,
  nameOf: (fileId: number) => string,
  places: ReadonlyMap<LogIndex, readonly SnapshotPlace[]>,
): Promise<SnapshotsByLog> {
  const byFile = new Map<number, [LogIndex, SnapshotPlace][]>();
  for (const [index, each] of places) {
    for (const place of each) {
      const list = byFile.get(place.fileId) ?? [];
      list.push([index, place]);
      byFile.set(place.fileId, list);
    }
  }
  const found = new Map<LogIndex, StateSnapshot[]>();
  for (const [fileId, wanted] of byFile) {
    const file = await directory.disk.open(directory.file(nameOf(fileId)), 'existing');
    try {
      await readFile(file, wanted, found);
    } finally {
      await file.close();
    }
  }
  for (const snapshots of found.values()) snapshots.sort((one, other) => one.offset - other.offset);
  return found;
}

async function readFile(
  file: DiskFile,
  wanted: readonly [LogIndex, SnapshotPlace][],
  found: Map<LogIndex, StateSnapshot[]>,
): Promise<void> {
  const inOrder = wanted.toSorted(([, one], [, other]) => one.section.position - other.section.position);
  const sections = await readSpans(
    file,
    inOrder.map(([, { section }]) => section),
  );
  for (const [at, [index, place]] of inOrder.entries()) {
    const bytes = sections[at];
    if (bytes === undefined || crc32c(bytes) !== place.section.crc) continue;
    const list = found.get(index) ?? [];
    list.push({ offset: offset(place.offset), bytes });
    found.set(index, list);
  }
}
