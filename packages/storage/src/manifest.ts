/**
 * Which journal files are live. A file that it does not name is deleted at start; one that it names and that is missing
 * is damage.
 */
import { isPosition } from '@sluice/base';
import { type CheckedFile, damaged, readChecked, writeChecked } from './checked-file.ts';
import type { DataDirectory } from './data-directory.ts';

export interface ManifestFile {
  readonly fileId: number;
  /** Where the footer lies; absent on the last file, which is still written to, and where damage left no footer. */
  readonly footerAt?: number;
}

/** In log order; never empty. */
export type Manifest = readonly ManifestFile[];

const manifestFile: CheckedFile = {
  name: 'manifest',
  formatVersion: 1,
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
  const manifest = files.map((file: unknown) => parseFile(directory, file));
  for (const [at, file] of manifest.entries()) {
    const before = manifest[at - 1];
    if (before !== undefined && before.fileId >= file.fileId) throw wrong(directory, 'its files are out of order');
  }
  return manifest;
}

export const writeManifest = (directory: DataDirectory, manifest: Manifest): Promise<void> =>
  writeChecked(directory, manifestFile, { files: manifest });

const wrong = (directory: DataDirectory, found: string): Error =>
  damaged(directory.file(manifestFile.name), manifestFile, found);

function parseFile(directory: DataDirectory, value: unknown): ManifestFile {
  if (typeof value !== 'object' || value === null || !('fileId' in value) || !isPosition(value.fileId)) {
    throw wrong(directory, 'a file has no id');
  }
  if (!('footerAt' in value)) return { fileId: value.fileId };
  if (!isPosition(value.footerAt)) throw wrong(directory, 'a footer has no position');
  return { fileId: value.fileId, footerAt: value.footerAt };
}
