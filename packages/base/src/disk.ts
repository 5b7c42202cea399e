/**
 * Port: one node's file system. Real: `NodeDisk`; memory: `MemoryDisk`, which can drop everything unsynced (both in
 * `storage`, both held by one conformance suite).
 *
 * - Paths are absolute within the disk, parts joined by `/`.
 * - Every method rejects with `DiskError` when the disk fails; a short write is finished by the implementation.
 * - Nothing survives a power cut before it was made durable: bytes by `DiskFile.sync` or `writeDurable`, names by
 *   `syncDirectory`.
 * - After a rejected `sync` the state of the file is unknown: never sync again (S2), stop.
 */
export interface Disk {
  /** Opens a file for reading and positioned writing. `create` fails when it exists, `existing` when it does not. */
  open(path: string, mode: 'create' | 'existing'): Promise<DiskFile>;
  makeDirectory(path: string): Promise<void>;
  /** Names in a directory, sorted; an absent directory is empty. */
  list(path: string): Promise<readonly string[]>;
  exists(path: string): Promise<boolean>;
  rename(from: string, to: string): Promise<void>;
  remove(path: string): Promise<void>;
  /** Makes creations, renames and removals in the directory durable. */
  syncDirectory(path: string): Promise<void>;
  /** Of the file system that the path lies on. Takes no part in what is durable: nothing waits for it, nothing fails by it. */
  space(path: string): Promise<DiskSpace>;
  /** Exclusive until released or the process dies; rejects with `DIRECTORY_LOCKED` when another process holds it. */
  lock(path: string): Promise<DiskLock>;
}

export interface DiskSpace {
  /** What this process may still take. */
  readonly freeBytes: number;
  /** Of the whole file system. */
  readonly totalBytes: number;
}

export interface DiskFile {
  /** Fills `target` from `position`; resolves to the bytes read, less than asked only at the end of the file. */
  read(target: Uint8Array, position: number): Promise<number>;
  /** Writes all buffers one after another from `position`. */
  write(buffers: readonly Uint8Array[], position: number): Promise<void>;
  /**
   * Writes as `write` does, and resolves when these bytes, and whatever it takes to read them back, are on stable media.
   * Says nothing of earlier writes. To be rejected means what a rejected `sync` means.
   */
  writeDurable(buffers: readonly Uint8Array[], position: number): Promise<void>;
  /** Resolves when all bytes written before the call are on stable media. */
  sync(): Promise<void>;
  /** Cuts the file there, or makes it longer: what is added reads as zeros. */
  truncate(bytes: number): Promise<void>;
  size(): Promise<number>;
  close(): Promise<void>;
}

export interface DiskLock {
  release(): Promise<void>;
}

/** An operating error of the disk, with the system's code (`ENOSPC`, `EIO`, `ENOENT`, …). */
export class DiskError extends Error {
  override readonly name = 'DiskError';
  readonly code: string;
  readonly path: string;

  constructor(code: string, path: string, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.path = path;
  }
}
