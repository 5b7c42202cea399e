/**
 * Which files the node log stands on: the checkpoint, the finished journal files in log order, the open one.
 *
 * Owns the manifest and the file ids. Called by `Journal` when a file is finished or begun, by `Reclaim` when files are
 * dropped.
 *
 * V1 One manifest is written at a time, and says what is true when its turn comes.
 * V2 After a failed write of the manifest none is tried again (S2). One that finds the disk full waits for room (R3).
 */
import { checkpointName } from './checkpoint-name.ts';
import type { DataDirectory } from './data-directory.ts';
import type { UntilFits } from './disk-reserve.ts';
import { journalName } from './journal-file.ts';
import { type ManifestFile, writeManifest } from './manifest.ts';

export interface FinishedFile extends ManifestFile {
  /** Of the whole file. */
  readonly bytes: number;
  /** Recovery found damage in it. */
  readonly damaged: boolean;
}

export interface FinishedCheckpoint extends FinishedFile {
  readonly footerAt: number;
}

export interface FilesFound {
  readonly checkpoint: FinishedCheckpoint | undefined;
  /** Journal files that take no more writes, in log order. */
  readonly finished: readonly FinishedFile[];
  readonly nextFileId: number;
}

export interface LiveFilesOptions {
  readonly openFileId: number | undefined;
  readonly untilFits: UntilFits;
}

export class LiveFiles {
  readonly #directory: DataDirectory;
  #checkpoint: FinishedCheckpoint | undefined;
  #finished: readonly FinishedFile[];
  #openFileId: number | undefined;
  #nextFileId: number;
  #lastWrite: Promise<void> = Promise.resolve();
  readonly #untilFits: UntilFits;

  constructor(directory: DataDirectory, found: FilesFound, { openFileId, untilFits }: LiveFilesOptions) {
    this.#directory = directory;
    this.#untilFits = untilFits;
    this.#checkpoint = found.checkpoint;
    this.#finished = found.finished;
    this.#openFileId = openFileId;
    this.#nextFileId = found.nextFileId;
  }

  get checkpoint(): FinishedCheckpoint | undefined {
    return this.#checkpoint;
  }

  get finished(): readonly FinishedFile[] {
    return this.#finished;
  }

  /** In the directory. */
  nameOf(fileId: number): string {
    return fileId === this.#checkpoint?.fileId ? checkpointName(fileId) : journalName(fileId);
  }

  /** Of journal files. */
  get count(): number {
    return this.#finished.length + (this.#openFileId === undefined ? 0 : 1);
  }

  /** Of all but the open file. */
  get bytes(): number {
    let bytes = this.#checkpoint?.bytes ?? 0;
    for (const file of this.#finished) bytes += file.bytes;
    return bytes;
  }

  /** For a file that is made now; no other gets it. */
  takeFileId(): number {
    this.#nextFileId += 1;
    return this.#nextFileId - 1;
  }

  /** The next manifest says so. */
  finish(file: FinishedFile): void {
    this.#finished = [...this.#finished, file];
    this.#openFileId = undefined;
  }

  /** Resolves when the file is durably named as the open one. */
  begin(fileId: number): Promise<void> {
    return this.#write(() => {
      this.#openFileId = fileId;
    });
  }

  /** Resolves when the checkpoint durably stands for these, the oldest, and for the checkpoint before. */
  drop(files: readonly FinishedFile[], checkpoint: FinishedCheckpoint): Promise<void> {
    return this.#write(() => {
      this.#finished = this.#finished.slice(files.length);
      this.#checkpoint = checkpoint;
    });
  }

  #write(change: () => void): Promise<void> {
    const write = this.#lastWrite.then(() => {
      change();
      const files: ManifestFile[] = this.#finished.map(named);
      if (this.#openFileId !== undefined) files.push({ fileId: this.#openFileId });
      const checkpoint = this.#checkpoint && { fileId: this.#checkpoint.fileId, footerAt: this.#checkpoint.footerAt };
      return writeManifest(this.#directory, { checkpoint, files }, this.#untilFits);
    });
    // It stays rejected, so that those after it are not written (V2); who asked for it is told.
    write.catch(() => undefined);
    this.#lastWrite = write;
    return write;
  }
}

const named = ({ fileId, footerAt }: FinishedFile): ManifestFile =>
  footerAt === undefined ? { fileId } : { fileId, footerAt };
