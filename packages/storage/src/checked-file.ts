/**
 * Small files that are replaced whole: the manifest and the identity. One line that says what follows, then JSON:
 *
 *   sluice <what> <format version> <CRC-32C of the JSON, 8 hex digits>
 *
 * Written to a temporary name, synced, renamed, directory synced (S4): a crash leaves the old one or the new one.
 */
import { SluiceError, utf8Decode, utf8Encode } from '@sluice/base';
import { crc32c } from '@sluice/record';
import type { DataDirectory } from './data-directory.ts';
import type { UntilFits } from './disk-reserve.ts';

/** Nothing that is stored this way comes near it; a longer file is not ours. */
const checkedFileBytesMax = 16 * 1024 * 1024;

export interface CheckedFile {
  readonly name: string;
  readonly formatVersion: number;
  /** What to do when the file is damaged, for people. */
  readonly remedy: string;
}

/** The JSON value, or undefined when the file is absent. Rejects with `DIRECTORY_DAMAGED` or `UNSUPPORTED_VERSION`. */
export async function readChecked(directory: DataDirectory, what: CheckedFile): Promise<unknown> {
  const path = directory.file(what.name);
  if (!(await directory.disk.exists(path))) return undefined;
  const file = await directory.disk.open(path, 'existing');
  try {
    const size = await file.size();
    if (size > checkedFileBytesMax) throw damaged(path, what, `it has ${size} bytes`);
    const bytes = new Uint8Array(size);
    const read = await file.read(bytes, 0);
    return parse(path, what, bytes.subarray(0, read));
  } finally {
    await file.close();
  }
}

/** Without `untilFits` a full disk is an error like any other. A sync is never done again, whatever it fails with. */
export async function writeChecked(
  directory: DataDirectory,
  what: CheckedFile,
  value: unknown,
  untilFits: UntilFits = (work) => work(),
): Promise<void> {
  const { disk } = directory;
  const temporary = directory.file(`${what.name}.new`);
  if (await disk.exists(temporary)) await disk.remove(temporary);
  const json = utf8Encode(`${JSON.stringify(value, undefined, 2)}\n`);
  const head = utf8Encode(`sluice ${what.name} ${what.formatVersion} ${hex(crc32c(json))}\n`);
  const file = await untilFits(() => disk.open(temporary, 'create'));
  try {
    await untilFits(() => file.write([head, json], 0));
    await file.sync();
  } finally {
    await file.close();
  }
  await untilFits(() => disk.rename(temporary, directory.file(what.name)));
  await disk.syncDirectory(directory.path);
}

/** For what is well-formed but says something impossible, as for bytes that do not match their CRC. */
export const damaged = (path: string, what: CheckedFile, found: string): SluiceError =>
  new SluiceError('DIRECTORY_DAMAGED', {
    message: `${path} is damaged: ${found}. ${what.remedy}`,
    details: { path },
  });

function parse(path: string, what: CheckedFile, bytes: Uint8Array): unknown {
  const lineEnd = bytes.indexOf(0x0a);
  const line = utf8Decode(bytes.subarray(0, Math.max(0, lineEnd)));
  const match = line === undefined ? null : /^sluice ([a-z]+) (\d{1,9}) ([0-9a-f]{8})$/.exec(line);
  if (match === null || match[1] !== what.name) throw damaged(path, what, 'its first line is not what it must be');
  const json = bytes.subarray(lineEnd + 1);
  if (hex(crc32c(json)) !== match[3]) throw damaged(path, what, 'its bytes do not match their checksum');
  const version = Number(match[2]);
  if (version !== what.formatVersion) {
    throw new SluiceError('UNSUPPORTED_VERSION', {
      message: `${path} has format version ${version}, this program knows ${what.formatVersion}; run the version that wrote it.`,
      details: { path, version },
    });
  }
  try {
    return JSON.parse(utf8Decode(json) ?? '') as unknown;
  } catch {
    throw damaged(path, what, 'it is not JSON');
  }
}

const hex = (value: number): string => value.toString(16).padStart(8, '0');
