/**
 * A file that holds one Raft snapshot: a header, the meta bytes, the bytes. It says by itself which snapshot it is, and
 * whether it is whole; the record in the log that names it repeats the checksum of its header, and through that of all of it.
 */
import type { DiskFile, LogIndex, Term } from '@sluice/base';
import { ByteReader, ByteWriter, DiskError, logIndex, SluiceError, term } from '@sluice/base';
import { crc32c } from '@sluice/record';
import type { DataDirectory } from './data-directory.ts';
import type { RaftSnapshot } from './raft-store.ts';

/** What a record says of the snapshot that it names. */
export interface RaftSnapshotRef {
  readonly index: LogIndex;
  readonly term: Term;
  readonly fileId: number;
  /** Of the whole file. */
  readonly bytes: number;
  /** Of the file's header, which holds those of the rest. */
  readonly crc: number;
}

const magic = 0x534c5253;
const version = 1;
export const raftSnapshotHeaderBytes = 52;
const checkedBytes = raftSnapshotHeaderBytes - 4;

export const raftSnapshotName = (fileId: number): string => `raft-snapshot-${String(fileId).padStart(20, '0')}`;

/** Undefined when the name is not that of a Raft snapshot. */
export function raftSnapshotFileId(name: string): number | undefined {
  const match = /^raft-snapshot-(\d{20})$/.exec(name);
  return match === null ? undefined : Number(match[1]);
}

export interface EncodedRaftSnapshot {
  readonly ref: RaftSnapshotRef;
  readonly buffers: readonly Uint8Array[];
}

export function encodeRaftSnapshot(
  { index, term: of, meta, bytes }: RaftSnapshot,
  fileId: number,
): EncodedRaftSnapshot {
  const writer = new ByteWriter(raftSnapshotHeaderBytes);
  writer.u32(magic);
  writer.u16(version);
  writer.u16(0);
  writer.u64(fileId);
  writer.u64(index);
  writer.u64(of);
  writer.u32(meta.length);
  writer.u64(bytes.length);
  writer.u32(crc32c(bytes, crc32c(meta)));
  const crc = crc32c(writer.written());
  writer.u32(crc);
  const header = writer.written();
  const size = header.length + meta.length + bytes.length;
  return { ref: { index, term: of, fileId, bytes: size, crc }, buffers: [header, meta, bytes] };
}

/** The snapshot in these bytes of a file, or what is wrong with them. Throws `UNSUPPORTED_VERSION`. */
export function decodeRaftSnapshot(file: Uint8Array, ref: RaftSnapshotRef): RaftSnapshot | { readonly wrong: string } {
  if (file.length !== ref.bytes) return { wrong: `it has ${file.length} bytes, not ${ref.bytes}` };
  const reader = new ByteReader(file);
  const found = reader.u32();
  const foundVersion = reader.u16();
  const isHeaderWhole =
    found === magic && crc32c(file.subarray(0, checkedBytes)) === new ByteReader(file.subarray(checkedBytes)).u32();
  if (isHeaderWhole && foundVersion !== version) {
    throw new SluiceError('UNSUPPORTED_VERSION', {
      message: `${raftSnapshotName(ref.fileId)} has format version ${foundVersion}, this program knows ${version}; run the version that wrote it.`,
      details: { file: raftSnapshotName(ref.fileId), version: foundVersion },
    });
  }
  reader.u16();
  const fileId = reader.u64();
  const index = logIndex(reader.u64());
  const of = term(reader.u64());
  const metaBytes = reader.u32();
  const bodyBytes = reader.u64();
  const bodyCrc = reader.u32();
  const crc = reader.u32();
  if (reader.failed || !isHeaderWhole) return { wrong: 'its header does not match its checksum' };
  if (fileId !== ref.fileId || index !== ref.index || of !== ref.term || crc !== ref.crc)
    return { wrong: 'it is another one than the log names' };
  const meta = reader.bytes(metaBytes);
  const bytes = reader.bytes(bodyBytes);
  if (reader.failed || reader.left > 0) return { wrong: 'its parts do not have the lengths that it says' };
  if (crc32c(bytes, crc32c(meta)) !== bodyCrc) return { wrong: 'its bytes do not match their checksum' };
  return { index, term: of, meta, bytes };
}

/** Rejects with `DiskError` when the disk cannot say, and with `UNSUPPORTED_VERSION`. */
export async function readRaftSnapshot(
  directory: DataDirectory,
  ref: RaftSnapshotRef,
): Promise<RaftSnapshot | { readonly wrong: string }> {
  let file: DiskFile;
  try {
    file = await directory.disk.open(directory.file(raftSnapshotName(ref.fileId)), 'existing');
  } catch (error) {
    if (error instanceof DiskError && error.code === 'ENOENT') return { wrong: 'it is missing' };
    throw error;
  }
  try {
    const size = await file.size();
    // Room is made for what is there, whatever a record says.
    if (size !== ref.bytes) return { wrong: `it has ${size} bytes, not ${ref.bytes}` };
    const bytes = new Uint8Array(size);
    const read = await file.read(bytes, 0);
    return decodeRaftSnapshot(bytes.subarray(0, read), ref);
  } finally {
    await file.close();
  }
}

export function writeRaftSnapshotRef(writer: ByteWriter, ref: RaftSnapshotRef): void {
  writer.integer(ref.index);
  writer.integer(ref.term);
  writer.integer(ref.fileId);
  writer.integer(ref.bytes);
  writer.u32(ref.crc);
}

export const readRaftSnapshotRef = (reader: ByteReader): RaftSnapshotRef => ({
  index: logIndex(reader.count()),
  term: term(reader.count()),
  fileId: reader.count(),
  bytes: reader.count(),
  crc: reader.u32(),
});
