/**
 * Which files are live: the checkpoint, then journal files and sorted sets in log order. A file that it does not name is
 * deleted at start; one that it names and that is missing is damage.
 */
import { isPosition } from '@sluice/base';
import { type CheckedFile, damaged, readChecked, writeChecked } from './checked-file.ts';
import type { DataDirectory } from './data-directory.ts';
import type { UntilFits } from './disk-reserve.ts';

export interface ManifestFile {
  readonly fileId: number;
  /** Where the footer lies; absent on the last file, which is still written to, and where damage left no footer. */
  readonly footerAt?: number;
}

/** Stands for a contiguous range of groups: a journal file, or a sorted set, whose parts stand for the same range. */
export interface ManifestEntry<File extends ManifestFile = ManifestFile> {
  readonly kind: 'journal' | 'sorted';
  /** One of a journal file; of a set one at least, in order. */
  readonly files: readonly File[];
}

export interface Manifest {
  /** Stands for all that was dropped; absent before anything was. */
  readonly checkpoint: { readonly fileId: number; readonly footerAt: number } | undefined;
  /**
   * In log order; the last may be the open journal file. None beside a checkpoint: all that was finished is dropped, and the
   * next file was on its way.
   */
  readonly entries: readonly ManifestEntry[];
}

const manifestFile: CheckedFile = {
  name: 'manifest',
  formatVersion: 4,
  remedy:
    'Keep the directory as evidence and give the node an empty one: it copies its replicas from the others, and votes no more.',
};

export const manifestRemedy = manifestFile.remedy;

/** A directory that was opened once does, unless its log was taken away. */
export const holdsNodeLog = (directory: DataDirectory): Promise<boolean> =>
  directory.disk.exists(directory.file(manifestFile.name));

/** Undefined when the directory holds no node log yet. */
export async function readManifest(directory: DataDirectory): Promise<Manifest | undefined> {
  const value = await readChecked(directory, manifestFile);
  if (value === undefined) return undefined;
  const entries = typeof value === 'object' && value !== null && 'entries' in value ? value.entries : undefined;
  if (!Array.isArray(entries)) throw wrong(directory, 'it names no files');
  const named = entries.map((entry: unknown) => parseEntry(directory, entry));
  const checkpoint = parseCheckpoint(directory, value);
  if (named.length === 0 && checkpoint === undefined) throw wrong(directory, 'it names no files');
  const ids = named.flatMap(({ files }) => files.map(({ fileId }) => fileId));
  if (checkpoint !== undefined) ids.push(checkpoint.fileId);
  if (new Set(ids).size < ids.length) throw wrong(directory, 'it names a file twice');
  return { checkpoint, entries: named };
}

export function writeManifest(directory: DataDirectory, manifest: Manifest, untilFits?: UntilFits): Promise<void> {
  const entries = manifest.entries.map(({ kind, files }) => (kind === 'sorted' ? { parts: files } : files[0]));
  return writeChecked(directory, manifestFile, { checkpoint: manifest.checkpoint, entries }, untilFits);
}

function parseEntry(directory: DataDirectory, value: unknown): ManifestEntry {
  if (typeof value !== 'object' || value === null || !('parts' in value)) {
    return { kind: 'journal', files: [parseFile(directory, value)] };
  }
  if (!Array.isArray(value.parts) || value.parts.length === 0) throw wrong(directory, 'a sorted set has no parts');
  const files = value.parts.map((part: unknown) => parseFile(directory, part));
  if (files.some(({ footerAt }) => footerAt === undefined)) throw wrong(directory, 'a sorted file has no footer');
  return { kind: 'sorted', files };
}

const wrong = (directory: DataDirectory, found: string): Error =>
  damaged(directory.file(manifestFile.name), manifestFile, found);

function parseCheckpoint(directory: DataDirectory, value: unknown): Manifest['checkpoint'] {
  if (typeof value !== 'object' || value === null || !('checkpoint' in value)) return undefined;
  const { fileId, footerAt } = parseFile(directory, value.checkpoint);
  if (footerAt === undefined) throw wrong(directory, 'its checkpoint has no footer');
  return { fileId, footerAt };
}

function parseFile(directory: DataDirectory, value: unknown): ManifestFile {
  if (typeof value !== 'object' || value === null || !('fileId' in value) || !isPosition(value.fileId)) {
    throw wrong(directory, 'a file has no id');
  }
  if (!('footerAt' in value)) return { fileId: value.fileId };
  if (!isPosition(value.footerAt)) throw wrong(directory, 'a footer has no position');
  return { fileId: value.fileId, footerAt: value.footerAt };
}
