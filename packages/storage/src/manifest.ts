/**
 * Which files are live: the journal files, and the checkpoint that stands for those before them. A file that it does not
 * name is deleted at start; one that it names and that is missing is damage.
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

export interface Manifest {
  /** Stands for all that was dropped; absent before anything was. */
  readonly checkpoint: { readonly fileId: number; readonly footerAt: number } | undefined;
  /** In log order; never empty. */
  readonly files: readonly ManifestFile[];
}

const manifestFile: CheckedFile = {
  name: 'manifest',
  formatVersion: 3,
  remedy:
    'Keep the directory as evidence and give the node an empty one: it copies its replicas from the others, and votes no more.',
};

export const manifestRemedy = manifestFile.remedy;

/** Undefined when the directory holds no node log yet. */
export async function readManifest(directory: DataDirectory): Promise<Manifest | undefined> {
  const value = await readChecked(directory, manifestFile);
  if (value === undefined) return undefined;
  const files = typeof value === 'object' && value !== null && 'files' in value ? value.files : undefined;
  if (!Array.isArray(files) || files.length === 0) throw wrong(directory, 'it names no files');
  const named = files.map((file: unknown) => parseFile(directory, file));
  for (const [at, file] of named.entries()) {
    const before = named[at - 1];
    if (before !== undefined && before.fileId >= file.fileId) throw wrong(directory, 'its files are out of order');
  }
  return { checkpoint: parseCheckpoint(directory, value), files: named };
}

export const writeManifest = (directory: DataDirectory, manifest: Manifest, untilFits?: UntilFits): Promise<void> =>
  writeChecked(directory, manifestFile, manifest, untilFits);

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
