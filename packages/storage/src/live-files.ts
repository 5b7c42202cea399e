/**
 * Which files the node log stands on: the checkpoint, then finished journal files and sorted sets in log order, the open
 * journal file.
 *
 * Owns the manifest and the file ids. Called by `Journal` when a file is finished or begun, by `Reclaim` when files are
 * dropped, by `Rewriter` when a sorted set takes the place of others.
 *
 * V1 One manifest is written at a time, and says what is true when its turn comes.
 * V2 After a failed write of the manifest none is tried again (S2). One that finds the disk full waits for room (R3).
 */
import { invariant } from '@sluice/base';
import { checkpointName } from './checkpoint-name.ts';
import type { DataDirectory } from './data-directory.ts';
import type { UntilFits } from './disk-reserve.ts';
import { journalName, sortedName } from './journal-file.ts';
import { type ManifestEntry, type ManifestFile, writeManifest } from './manifest.ts';

export interface FinishedFile extends ManifestFile {
  /** Of the whole file. */
  readonly bytes: number;
  /** Of that, what logs held when it was written; in a journal file with all that goes with it but the footer. */
  readonly batchBytes: number;
  /** Recovery found damage in it. */
  readonly damaged: boolean;
}

/** Takes no more writes. */
export type FinishedEntry = ManifestEntry<FinishedFile>;

export const journalEntry = (file: FinishedFile): FinishedEntry => ({ kind: 'journal', files: [file] });

/** Of all its files. */
export const entryBytes = ({ files }: FinishedEntry): number => files.reduce((sum, { bytes }) => sum + bytes, 0);

export const fileName = (kind: ManifestEntry['kind'], fileId: number): string =>
  kind === 'sorted' ? sortedName(fileId) : journalName(fileId);

export interface FinishedCheckpoint extends FinishedFile {
  readonly footerAt: number;
}

export interface FilesFound {
  readonly checkpoint: FinishedCheckpoint | undefined;
  /** In log order. */
  readonly finished: readonly FinishedEntry[];
  readonly nextFileId: number;
}

export interface LiveFilesOptions {
  readonly openFileId: number | undefined;
  readonly untilFits: UntilFits;
}

export class LiveFiles {
  readonly #directory: DataDirectory;
  #checkpoint: FinishedCheckpoint | undefined;
  #finished: readonly FinishedEntry[];
  /** Of all but journal files, as long as anybody may read in them. */
  readonly #names = new Map<number, string>();
  #openFileId: number | undefined;
  #nextFileId: number;
  #lastWrite: Promise<void> = Promise.resolve();
  readonly #untilFits: UntilFits;

  constructor(directory: DataDirectory, found: FilesFound, { openFileId, untilFits }: LiveFilesOptions) {
    this.#directory = directory;
    this.#untilFits = untilFits;
    this.#checkpoint = found.checkpoint;
    this.#finished = found.finished;
    this.#nameCheckpoint(found.checkpoint);
    for (const entry of found.finished) this.#nameParts(entry);
    this.#openFileId = openFileId;
    this.#nextFileId = found.nextFileId;
  }

  get checkpoint(): FinishedCheckpoint | undefined {
    return this.#checkpoint;
  }

  get finished(): readonly FinishedEntry[] {
    return this.#finished;
  }

  /** Of journal files. */
  get journalCount(): number {
    const finished = this.#finished.filter(({ kind }) => kind === 'journal').length;
    return finished + (this.#openFileId === undefined ? 0 : 1);
  }

  get sortedCount(): number {
    return this.#finished.reduce((count, { kind, files }) => count + (kind === 'sorted' ? files.length : 0), 0);
  }

  /** Of all but the open file. */
  get bytes(): number {
    let bytes = this.#checkpoint?.bytes ?? 0;
    for (const entry of this.#finished) bytes += entryBytes(entry);
    return bytes;
  }

  /** In the directory, of any file. */
  nameOf(fileId: number): string {
    return this.#names.get(fileId) ?? journalName(fileId);
  }

  pathOf(fileId: number): string {
    return this.#directory.file(this.nameOf(fileId));
  }

  /** For a file that is made now; no other gets it. */
  takeFileId(): number {
    this.#nextFileId += 1;
    return this.#nextFileId - 1;
  }

  /** The next manifest says so. */
  finish(file: FinishedFile): void {
    this.#finished = [...this.#finished, journalEntry(file)];
    this.#openFileId = undefined;
  }

  /** Resolves when the file is durably named as the open one. */
  begin(fileId: number): Promise<void> {
    return this.#write(() => {
      this.#openFileId = fileId;
    });
  }

  /** Resolves when the checkpoint durably stands for these, the oldest, and for the checkpoint before. */
  drop(entries: readonly FinishedEntry[], checkpoint: FinishedCheckpoint): Promise<void> {
    this.#nameCheckpoint(checkpoint);
    return this.#write(() => {
      this.#finished = this.#finished.slice(entries.length);
      this.#checkpoint = checkpoint;
    });
  }

  /** Resolves when the set durably stands for these, which follow each other. */
  replace(entries: readonly FinishedEntry[], set: FinishedEntry): Promise<void> {
    // Before the manifest names it: a part may be read as soon as that is durable.
    this.#nameParts(set);
    return this.#write(() => {
      const first = entries[0];
      const at = first === undefined ? -1 : this.#finished.indexOf(first);
      const follow = entries.every((entry, n) => this.#finished[at + n] === entry);
      invariant(at >= 0 && follow, 'what a sorted set stands for is there, in log order');
      this.#finished = this.#finished.toSpliced(at, entries.length, set);
    });
  }

  /** Files that a set or a checkpoint took the place of are no longer asked for. */
  forget(fileIds: Iterable<number>): void {
    for (const fileId of fileIds) this.#names.delete(fileId);
  }

  #nameCheckpoint(checkpoint: FinishedCheckpoint | undefined): void {
    if (checkpoint !== undefined) this.#names.set(checkpoint.fileId, checkpointName(checkpoint.fileId));
  }

  #nameParts({ kind, files }: FinishedEntry): void {
    if (kind === 'sorted') for (const { fileId } of files) this.#names.set(fileId, sortedName(fileId));
  }

  #write(change: () => void): Promise<void> {
    const write = this.#lastWrite.then(() => {
      change();
      const entries: ManifestEntry[] = this.#finished.map(({ kind, files }) => ({ kind, files: files.map(named) }));
      if (this.#openFileId !== undefined) entries.push({ kind: 'journal', files: [{ fileId: this.#openFileId }] });
      const checkpoint = this.#checkpoint && { fileId: this.#checkpoint.fileId, footerAt: this.#checkpoint.footerAt };
      return writeManifest(this.#directory, { checkpoint, entries }, this.#untilFits);
    });
    // It stays rejected, so that those after it are not written (V2); who asked for it is told.
    write.catch(() => undefined);
    this.#lastWrite = write;
    return write;
  }
}

const named = ({ fileId, footerAt }: FinishedFile): ManifestFile =>
  footerAt === undefined ? { fileId } : { fileId, footerAt };
