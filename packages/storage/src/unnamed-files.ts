/**
 * Files of the log that no manifest names: what a crash left of files on their way in or out. Called by recovery, before it
 * reads any file.
 */
import type { Disk } from '@sluice/base';
import { SluiceError } from '@sluice/base';
import { checkpointFileId, checkpointName } from './checkpoint-name.ts';
import type { DataDirectory } from './data-directory.ts';
import { journalFileId, journalHeaderBytes, sortedFileId } from './journal-file.ts';
import { fileName } from './live-files.ts';
import { type Manifest, manifestRemedy } from './manifest.ts';
import { raftSnapshotFileId } from './raft-snapshot-file.ts';
import { removalStepBytes } from './removal.ts';

/**
 * Journal files get their first group, and checkpoints and Raft snapshots are made, only after a manifest names a file: what holds data
 * without one is damage.
 */
export async function refuseLostManifest(directory: DataDirectory): Promise<void> {
  for (const name of await directory.disk.list(directory.path)) {
    const isSnapshot = raftSnapshotFileId(name) !== undefined;
    if (!isSnapshot && fileIdOf(name) === undefined) continue;
    const file = await directory.disk.open(directory.file(name), 'existing');
    try {
      if (!isSnapshot && (await file.size()) <= journalHeaderBytes) continue;
    } finally {
      await file.close();
    }
    throw new SluiceError('DIRECTORY_DAMAGED', {
      message: `${directory.file('manifest')} is missing, but ${name} holds data. ${manifestRemedy}`,
      details: { path: directory.file('manifest') },
    });
  }
}

/** No file got a higher id and lives. */
export function newestOf({ checkpoint, entries }: Manifest): number {
  let newest = checkpoint?.fileId ?? 0;
  for (const { files } of entries) for (const { fileId } of files) newest = Math.max(newest, fileId);
  return newest;
}

/** Undefined when the name is not that of a file of the log. */
const fileIdOf = (name: string): number | undefined =>
  journalFileId(name) ?? sortedFileId(name) ?? checkpointFileId(name);

/** Returns the names of those that are left: large, and older than what is named, so that no file gets their name. */
export async function removeUnnamed(
  directory: DataDirectory,
  { checkpoint, entries }: Manifest,
): Promise<readonly string[]> {
  const { disk } = directory;
  const named = new Set(entries.flatMap(({ kind, files }) => files.map(({ fileId }) => fileName(kind, fileId))));
  if (checkpoint !== undefined) named.add(checkpointName(checkpoint.fileId));
  const newest = newestOf({ checkpoint, entries });
  const left: string[] = [];
  let removed = false;
  for (const name of await disk.list(directory.path)) {
    const fileId = fileIdOf(name);
    if (fileId === undefined || named.has(name)) continue;
    if (fileId < newest && (await sizeOf(disk, directory.file(name))) > removalStepBytes) {
      left.push(name);
      continue;
    }
    await disk.remove(directory.file(name));
    removed = true;
  }
  if (removed) await disk.syncDirectory(directory.path);
  return left;
}

async function sizeOf(disk: Disk, path: string): Promise<number> {
  const file = await disk.open(path, 'existing');
  try {
    return await file.size();
  } finally {
    await file.close();
  }
}
