/**
 * What a data directory holds, for people: as recovery finds it, over a disk that is only looked at. Takes no lock, so
 * that a copy can be looked at too, and one that a node uses; what that node does meanwhile may be missed.
 */
import type { Disk, LogFields, Logger } from '@sluice/base';
import { SluiceError } from '@sluice/base';
import { batchesIn, offsetAfterBatch } from '@sluice/record';
import { checkpointFileId, checkpointName } from './checkpoint-name.ts';
import { DataDirectory } from './data-directory.ts';
import { type Extent, ExtentList } from './extents.ts';
import { journalFileId, journalName } from './journal-file.ts';
import { fileName } from './live-files.ts';
import type { LogIndex } from './log-index.ts';
import { raftSnapshotFileId, raftSnapshotName } from './raft-snapshot-file.ts';
import { type Recovered, recover } from './recovery.ts';
import { readOnly } from './read-only-disk.ts';
import type { ExtentSection } from './section.ts';
import { readSpans, roomFor } from './spans.ts';

export interface InspectedFile {
  readonly name: string;
  readonly kind: 'journal' | 'sorted' | 'checkpoint' | 'raft-snapshot' | 'other';
  readonly bytes: number;
  /** The manifest, or the log, names it. */
  readonly live: boolean;
  /** False of the file that is written to. */
  readonly finished: boolean;
  readonly damaged: boolean;
}

export interface InspectedBatch {
  readonly base: number;
  readonly end: number;
  /** Fewer than its offsets where compaction removed some; 0 in an empty batch. */
  readonly records: number;
  readonly bytes: number;
  readonly epoch: number;
  readonly maxTimestampMs: number;
}

/** Contiguous batches in one file: an extent of its index. */
export interface InspectedRun {
  readonly file: string;
  readonly base: number;
  readonly end: number;
  readonly position: number;
  readonly bytes: number;
  readonly maxTimestampMs: number;
  /** What was asked for; fewer than the run holds where it is damaged. */
  readonly batches?: readonly InspectedBatch[];
  readonly damaged?: true;
}

export interface InspectedLog {
  readonly topicId: string;
  readonly partition: number;
  readonly kind: number;
  readonly start: number;
  readonly end: number;
  readonly bytes: number;
  readonly files: readonly string[];
  readonly lossy: { readonly intactEnd: number; readonly knownEnd: number | undefined; readonly where: string } | null;
  /** Of one log that was asked for. */
  readonly runs?: readonly InspectedRun[];
  readonly epochs?: readonly { readonly epoch: number; readonly start: number }[];
}

export interface Inspection {
  readonly directory: string;
  readonly files: readonly InspectedFile[];
  readonly logs: readonly InspectedLog[];
  readonly raft: {
    readonly term: number;
    readonly votedFor: string | null;
    /** That its log starts with; null without one, also when it is damaged. */
    readonly snapshot: {
      readonly index: number;
      readonly term: number;
      readonly file: string;
      readonly metaBytes: number;
      readonly bytes: number;
    } | null;
    readonly entries: number;
    /** Of the first entry that is kept, and of the last; null without entries. */
    readonly firstIndex: number | null;
    readonly lastIndex: number | null;
    readonly doubtful: boolean;
  } | null;
  /** Whole groups are missing. */
  readonly damaged: boolean;
  /** What recovery says of it, in its words. */
  readonly findings: readonly { readonly phrase: string; readonly fields: LogFields }[];
}

export interface InspectOptions {
  /** `TOPICID/PARTITION`: its runs are listed. */
  readonly log?: string;
  /** With every batch of them. */
  readonly batches?: boolean;
}

/** Rejects with `INVALID_CONFIG` when there is no such directory, and with `DiskError` when the disk fails. */
export async function inspectDirectory(disk: Disk, path: string, options: InspectOptions = {}): Promise<Inspection> {
  if (!(await disk.exists(path))) {
    throw new SluiceError('INVALID_CONFIG', {
      message: `There is no directory ${path}; name the data directory of a node, or a copy of one.`,
      details: { directory: path },
    });
  }
  const directory = await DataDirectory.open(readOnly(disk), path);
  const findings: { phrase: string; fields: LogFields }[] = [];
  const recovered = await recover(directory, noting(findings)).catch((error: unknown) => {
    if (!(error instanceof SluiceError)) throw error;
    findings.push({ phrase: error.message, fields: { code: error.code } });
    return undefined;
  });
  try {
    const files = await filesOf(directory, recovered);
    const logs = recovered === undefined ? [] : await logsOf(directory, recovered, options);
    const raft = recovered && raftOf(recovered);
    return { directory: path, files, logs, raft: raft ?? null, damaged: recovered?.replay.damaged ?? true, findings };
  } finally {
    await recovered?.open?.file.close();
  }
}

function noting(findings: { phrase: string; fields: LogFields }[]): Logger {
  const note = (phrase: string, fields: LogFields = {}): void => void findings.push({ phrase, fields });
  const logger: Logger = { debug: () => undefined, info: () => undefined, warn: note, error: note, with: () => logger };
  return logger;
}

async function filesOf(directory: DataDirectory, recovered: Recovered | undefined): Promise<InspectedFile[]> {
  const live = new Map<string, { readonly finished: boolean; readonly damaged: boolean }>();
  const { checkpoint, finished = [] } = recovered?.files ?? {};
  if (checkpoint !== undefined)
    live.set(checkpointName(checkpoint.fileId), { finished: true, damaged: checkpoint.damaged });
  for (const entry of finished) {
    for (const { fileId, damaged } of entry.files) live.set(fileName(entry.kind, fileId), { finished: true, damaged });
  }
  if (recovered?.open !== undefined) live.set(journalName(recovered.open.fileId), { finished: false, damaged: false });
  const { snapshot, lostSnapshot } = recovered?.replay.raft ?? {};
  if (snapshot !== undefined) live.set(raftSnapshotName(snapshot.fileId), { finished: true, damaged: false });
  if (lostSnapshot !== undefined) live.set(raftSnapshotName(lostSnapshot.fileId), { finished: true, damaged: true });
  const names = new Set([...(await directory.disk.list(directory.path)), ...live.keys()]);
  const files: InspectedFile[] = [];
  for (const name of [...names].toSorted()) {
    const kind = kindOf(name);
    const known = live.get(name);
    const bytes = kind === 'other' && !isOurs(name) ? 0 : await sizeOf(directory, name);
    files.push({
      name,
      kind,
      bytes,
      live: known !== undefined || isOurs(name),
      finished: known?.finished ?? true,
      damaged: known?.damaged ?? false,
    });
  }
  return files;
}

const isOurs = (name: string): boolean => name === 'manifest' || name === 'identity';

function kindOf(name: string): InspectedFile['kind'] {
  if (journalFileId(name) !== undefined) return 'journal';
  if (checkpointFileId(name) !== undefined) return 'checkpoint';
  if (raftSnapshotFileId(name) !== undefined) return 'raft-snapshot';
  return name.startsWith('sorted-') ? 'sorted' : 'other';
}

/** 0 of one that the manifest names and that is missing. */
async function sizeOf(directory: DataDirectory, name: string): Promise<number> {
  const path = directory.file(name);
  if (!(await directory.disk.exists(path))) return 0;
  const file = await directory.disk.open(path, 'existing');
  try {
    return await file.size();
  } finally {
    await file.close();
  }
}

function raftOf({ replay: { raft }, raftSnapshots }: Recovered): NonNullable<Inspection['raft']> {
  const { hardState, snapshot: ref, doubtful } = raft;
  const entries = raft.take();
  const read = raftSnapshots.snapshot;
  const snapshot =
    ref === undefined || read === null
      ? null
      : {
          index: ref.index,
          term: ref.term,
          file: raftSnapshotName(ref.fileId),
          metaBytes: read.meta.length,
          bytes: read.bytes.length,
        };
  const [firstIndex, lastIndex] = [entries[0]?.index ?? null, entries.at(-1)?.index ?? null];
  return { ...hardState, snapshot, entries: entries.length, firstIndex, lastIndex, doubtful };
}

async function logsOf(
  directory: DataDirectory,
  recovered: Recovered,
  options: InspectOptions,
): Promise<InspectedLog[]> {
  recovered.replay.settle();
  const names = new Map<number, string>();
  for (const { kind, files } of recovered.files.finished) {
    for (const { fileId } of files) names.set(fileId, fileName(kind, fileId));
  }
  const openName = journalName(recovered.open?.fileId ?? 0);
  const logs: InspectedLog[] = [];
  for (const index of recovered.replay.logs.values()) {
    if (index.deleted) continue;
    const { id, start, end, bytes, lossy } = index;
    const nameOf = (fileId: number): string => names.get(fileId) ?? journalName(fileId);
    const files = [...index.sealed.map(({ fileId }) => nameOf(fileId)), ...(index.open.length > 0 ? [openName] : [])];
    const wanted = options.log === `${id.topicId}/${id.partition}`;
    const detail = wanted
      ? await runsOf(directory, index, { nameOf, openName, batches: options.batches === true })
      : {};
    const told = lossy && { intactEnd: lossy.intactEnd, knownEnd: lossy.knownEnd, where: lossy.where };
    logs.push({
      topicId: id.topicId,
      partition: id.partition,
      kind: id.kind,
      start,
      end,
      bytes,
      files: [...new Set(files)],
      lossy: told ?? null,
      ...detail,
    });
  }
  return logs;
}

interface Places {
  readonly nameOf: (fileId: number) => string;
  readonly openName: string;
  readonly batches: boolean;
}

async function runsOf(
  directory: DataDirectory,
  index: LogIndex,
  { nameOf, openName, batches: isAsked }: Places,
): Promise<Pick<InspectedLog, 'runs' | 'epochs'>> {
  const runs: InspectedRun[] = [];
  const epochs: { epoch: number; start: number }[] = [];
  const add = async (name: string, extents: ExtentList | undefined): Promise<void> => {
    if (extents === undefined)
      return void runs.push({ file: name, base: 0, end: 0, position: 0, bytes: 0, maxTimestampMs: 0, damaged: true });
    for (let at = 0; at < extents.length; at += 1) {
      const extent = extents.at(at);
      if (extent === undefined) continue;
      const { base, end, position, bytes, maxTimestampMs } = extent;
      const run = { file: name, base, end, position, bytes, maxTimestampMs };
      const { batches, isWhole } = await batchesOf(directory, name, extent);
      for (const batch of batches)
        if (epochs.at(-1)?.epoch !== batch.epoch) epochs.push({ epoch: batch.epoch, start: batch.base });
      runs.push({ ...run, ...(isAsked ? { batches } : {}), ...(isWhole ? {} : { damaged: true as const }) });
    }
  };
  for (const { fileId, extents } of index.sealed) {
    const name = nameOf(fileId);
    await add(name, extents instanceof ExtentList ? extents : await sectionOf(directory, name, extents));
  }
  await add(openName, index.open);
  return { runs, epochs };
}

async function sectionOf(
  directory: DataDirectory,
  name: string,
  place: ExtentSection,
): Promise<ExtentList | undefined> {
  const file = await directory.disk.open(directory.file(name), 'existing');
  try {
    const bytes = await roomFor(file, place);
    const read = await file.read(bytes, place.position);
    return read < place.bytes ? undefined : ExtentList.read(bytes, place.extents);
  } finally {
    await file.close();
  }
}

async function batchesOf(
  directory: DataDirectory,
  name: string,
  extent: Extent,
): Promise<{ batches: InspectedBatch[]; isWhole: boolean }> {
  const file = await directory.disk.open(directory.file(name), 'existing');
  try {
    const [bytes] = await readSpans(file, [extent]);
    const batches: InspectedBatch[] = [];
    for (const found of batchesIn(bytes ?? new Uint8Array(0))) {
      if (!found.ok) return { batches, isWhole: false };
      const { baseOffset, recordCount, batchBytes, leaderEpoch, maxTimestamp } = found.header;
      batches.push({
        base: baseOffset,
        end: offsetAfterBatch(found.header),
        records: recordCount,
        bytes: batchBytes,
        epoch: leaderEpoch,
        maxTimestampMs: Number(maxTimestamp),
      });
    }
    return { batches, isWhole: bytes !== undefined };
  } finally {
    await file.close();
  }
}
