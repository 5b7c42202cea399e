/**
 * `Disk` in memory, which keeps what is synced and what is not apart: `crash` drops the difference, or part of it.
 * Embedded brokers and the simulator run on it.
 *
 * M1 A write lives in `unsynced` until a `sync` that was submitted after it completes; only then is it in the image. A
 *    durable write that completes takes itself there, and with it only what it cannot be read back without: the size of
 *    the file, and what was written before that changed.
 * M2 A name lives in `unsyncedNames` until `syncDirectory` completes; a rename is one change. Directories themselves
 *    are durable at once, as `NodeDisk.makeDirectory` makes them.
 * M3 After `crash` or `killProcess` nothing that was submitted before ever completes, and no handle or lock from before works: the
 *    process that held them is gone.
 */
import type { Clock, Disk, DiskFile, DiskLock, Random } from '@sluice/base';
import { DiskError, SluiceError } from '@sluice/base';
import { FileImage } from './file-image.ts';

export type DiskOperationKind =
  | 'open'
  | 'makeDirectory'
  | 'list'
  | 'exists'
  | 'rename'
  | 'remove'
  | 'syncDirectory'
  | 'lock'
  | 'read'
  | 'write'
  | 'writeDurable'
  | 'sync'
  | 'truncate'
  | 'size'
  | 'close';

export interface DiskOperation {
  readonly kind: DiskOperationKind;
  readonly path: string;
  /** Counted from 0 over the life of the disk. */
  readonly number: number;
  /** Of a write; 0 of all else. */
  readonly bytes: number;
}

export interface MemoryDiskOptions {
  /** Runs a completion; default: as a microtask. The simulator gives its own, and so owns the order. */
  readonly complete?: (run: () => void) => void;
  /** With `delayMs`: how long each operation takes. */
  readonly clock?: Clock;
  readonly delayMs?: (operation: DiskOperation) => number;
  /** Asked once for each operation: `hang` takes effect but never completes, as on a disk that stopped answering. */
  readonly onOperation?: (operation: DiskOperation) => 'run' | 'hang';
}

export interface CrashOptions {
  /** Which unsynced changes survive: none, all, or a random part, page by page. */
  readonly keep: 'nothing' | 'everything' | Random;
  /** The last unsynced write survives up to a random byte only. */
  readonly tearLastWrite?: Random;
}

interface Inode {
  image: FileImage;
  /** In the order of submission. */
  unsynced: FileChange[];
}

type FileChange =
  | { readonly kind: 'write'; readonly position: number; readonly bytes: Uint8Array }
  | { readonly kind: 'truncate'; readonly bytes: number };

interface NameChange {
  readonly set?: { readonly path: string; readonly inode: Inode };
  readonly unset?: string;
}

/** What survives a crash on its own: a page of the page cache. */
const pageBytes = 4096;

export class MemoryDisk implements Disk {
  readonly #options: MemoryDiskOptions;
  readonly #directories = new Set<string>();
  #names = new Map<string, Inode>();
  #durableNames = new Map<string, Inode>();
  #unsyncedNames: NameChange[] = [];
  readonly #locks = new Set<string>();
  /** Counts crashes: what carries an older number belongs to a dead process. */
  #life = 0;
  #operations = 0;
  readonly #counts = new Map<DiskOperationKind, number>();
  #syncsHeld = false;
  #heldSyncs: (() => void)[] = [];
  #syncFailures = 0;
  #writeFailure: string | undefined;

  constructor(options: MemoryDiskOptions = {}) {
    this.#options = options;
  }

  // Disk

  open(path: string, mode: 'create' | 'existing'): Promise<DiskFile> {
    return this.#run('open', path, () => {
      let inode = this.#names.get(path);
      if (mode === 'create') {
        if (inode !== undefined) throw new DiskError('EEXIST', path, `open ${path}: it exists`);
        if (!this.#directories.has(parentOf(path))) throw absent('open', path);
        inode = { image: new FileImage(), unsynced: [] };
        this.#changeNames({ set: { path, inode } });
      }
      if (inode === undefined) throw absent('open', path);
      return this.#fileOf(path, inode);
    });
  }

  makeDirectory(path: string): Promise<void> {
    return this.#run('makeDirectory', path, () => {
      for (let made = path; made !== '/'; made = parentOf(made)) this.#directories.add(made);
    });
  }

  list(path: string): Promise<readonly string[]> {
    return this.#run('list', path, () => {
      const names: string[] = [];
      for (const name of [...this.#names.keys(), ...this.#directories]) {
        if (name !== path && parentOf(name) === path) names.push(name.slice(name.lastIndexOf('/') + 1));
      }
      return names.toSorted();
    });
  }

  exists(path: string): Promise<boolean> {
    return this.#run('exists', path, () => this.#names.has(path) || this.#directories.has(path));
  }

  rename(from: string, to: string): Promise<void> {
    return this.#run('rename', from, () => {
      const inode = this.#names.get(from);
      if (inode === undefined) throw absent('rename', from);
      this.#changeNames({ set: { path: to, inode }, unset: from });
    });
  }

  remove(path: string): Promise<void> {
    return this.#run('remove', path, () => {
      if (!this.#names.has(path)) throw absent('remove', path);
      this.#changeNames({ unset: path });
    });
  }

  syncDirectory(path: string): Promise<void> {
    return this.#run('syncDirectory', path, () => {
      if (!this.#directories.has(path)) throw absent('syncDirectory', path);
      const touches = (change: NameChange): boolean =>
        [change.set?.path, change.unset].some((name) => name !== undefined && parentOf(name) === path);
      for (const change of this.#unsyncedNames) if (touches(change)) applyName(this.#durableNames, change);
      this.#unsyncedNames = this.#unsyncedNames.filter((change) => !touches(change));
    });
  }

  lock(path: string): Promise<DiskLock> {
    return this.#run('lock', path, () => {
      if (this.#locks.has(path)) {
        throw new SluiceError('DIRECTORY_LOCKED', {
          message: `${parentOf(path)} is in use by another node of this process; stop it or choose another directory.`,
          details: { directory: parentOf(path) },
        });
      }
      this.#locks.add(path);
      const life = this.#life;
      return {
        release: async () => {
          if (life === this.#life) this.#locks.delete(path);
        },
      };
    });
  }

  // What a test or the simulator does to the disk

  /** The power goes: see M1 to M3. The disk can be used again at once, by the next process. */
  crash(options: CrashOptions): void {
    this.#life += 1;
    this.#locks.clear();
    this.#heldSyncs = [];
    const inodes = new Set([...this.#names.values(), ...this.#durableNames.values()]);
    for (const change of this.#unsyncedNames) {
      if (survives(options.keep)) applyName(this.#durableNames, change);
    }
    this.#unsyncedNames = [];
    this.#names = new Map(this.#durableNames);
    for (const inode of inodes) {
      const changes =
        options.tearLastWrite === undefined ? inode.unsynced : torn(inode.unsynced, options.tearLastWrite);
      inode.unsynced = [];
      for (const change of changes) applySurviving(inode.image, change, options.keep);
    }
  }

  /** The process is killed, the machine goes on: what it wrote is there, and still not durable. */
  killProcess(): void {
    this.#life += 1;
    this.#locks.clear();
    this.#heldSyncs = [];
  }

  /** Of files and of durable writes. */
  holdSyncs(): void {
    this.#syncsHeld = true;
  }

  releaseSyncs(): void {
    this.#syncsHeld = false;
    const held = this.#heldSyncs;
    this.#heldSyncs = [];
    for (const run of held) run();
  }

  /** The next `count` syncs of files, or durable writes, fail with EIO, and what they should have made durable is gone (S2). */
  failSyncs(count = Number.POSITIVE_INFINITY): void {
    this.#syncFailures = count;
  }

  /** Every write fails with this code, after half of it was written; undefined: no more. */
  failWrites(code: string | undefined): void {
    this.#writeFailure = code;
  }

  /** Flips one bit of what is on stable media: decay. */
  flipBit(path: string, position: number, bit = 0): void {
    const image = this.#imageOf(path);
    const byte = new Uint8Array(1);
    image.read(byte, position);
    image.write(Uint8Array.of((byte[0] ?? 0) ^ (1 << bit)), position);
  }

  /** What is on stable media. */
  durableBytes(path: string): Uint8Array {
    const image = this.#imageOf(path);
    const bytes = new Uint8Array(image.size);
    image.read(bytes, 0);
    return bytes;
  }

  /** Replaces a file on stable media, or puts one there. */
  plant(path: string, bytes: Uint8Array): void {
    const inode: Inode = { image: new FileImage(), unsynced: [] };
    inode.image.write(bytes, 0);
    this.#names.set(path, inode);
    this.#durableNames.set(path, inode);
  }

  operations(kind?: DiskOperationKind): number {
    return kind === undefined ? this.#operations : (this.#counts.get(kind) ?? 0);
  }

  // Inside

  #imageOf(path: string): FileImage {
    const inode = this.#durableNames.get(path);
    if (inode === undefined) throw absent('read', path);
    return inode.image;
  }

  #fileOf(path: string, inode: Inode): DiskFile {
    const life = this.#life;
    let closed = false;
    const alive =
      <T>(run: () => T) =>
      (): T => {
        if (closed || life !== this.#life) throw new DiskError('EBADF', path, `${path} is closed`);
        return run();
      };
    return {
      read: (target, position) =>
        this.#run(
          'read',
          path,
          alive(() => readThrough(inode, target, position)),
        ),
      write: (buffers, position) =>
        this.#run(
          'write',
          path,
          alive(() => this.#write(path, inode, { buffers, position })),
          { bytes: bytesOf(buffers) },
        ),
      writeDurable: (buffers, position) => this.#writeDurable(path, inode, { buffers, position, alive }),
      sync: () => this.#sync(path, inode),
      truncate: (bytes) =>
        this.#run(
          'truncate',
          path,
          alive(() => void inode.unsynced.push({ kind: 'truncate', bytes })),
        ),
      size: () =>
        this.#run(
          'size',
          path,
          alive(() => sizeOf(inode)),
        ),
      close: () =>
        this.#run('close', path, () => {
          closed = true;
        }),
    };
  }

  #write(path: string, inode: Inode, what: { buffers: readonly Uint8Array[]; position: number }): void {
    const bytes = joined(what.buffers);
    const failure = this.#writeFailure;
    const kept = failure === undefined ? bytes : bytes.subarray(0, bytes.length >>> 1);
    if (kept.length > 0) inode.unsynced.push({ kind: 'write', position: what.position, bytes: kept });
    if (failure !== undefined) throw new DiskError(failure, path, `write ${path}: ${failure}`);
  }

  /** Covers the writes before its submission (M1); takes effect when it completes. */
  #sync(path: string, inode: Inode): Promise<void> {
    const covered = new Set(inode.unsynced);
    return this.#run('sync', path, () => undefined, { finish: () => this.#land(path, inode, covered) });
  }

  /** As a write and a sync of it alone (M1). */
  #writeDurable(
    path: string,
    inode: Inode,
    what: { buffers: readonly Uint8Array[]; position: number; alive: <T>(run: () => T) => () => T },
  ): Promise<void> {
    let covered: ReadonlySet<FileChange> = new Set();
    return this.#run(
      'writeDurable',
      path,
      what.alive(() => {
        const older = inode.unsynced;
        inode.unsynced = [];
        try {
          this.#write(path, inode, what);
        } finally {
          const own = inode.unsynced;
          const left = withoutBytesUnder(older, own);
          covered = new Set([...left.slice(0, left.findLastIndex(({ kind }) => kind === 'truncate') + 1), ...own]);
          inode.unsynced = [...left, ...own];
        }
      }),
      { finish: () => this.#land(path, inode, covered), bytes: bytesOf(what.buffers) },
    );
  }

  /** These changes are durable now, or, when the disk is made to fail, gone. */
  #land(path: string, inode: Inode, covered: ReadonlySet<FileChange>): void {
    const done = inode.unsynced.filter((change) => covered.has(change));
    inode.unsynced = inode.unsynced.filter((change) => !covered.has(change));
    if (this.#syncFailures > 0) {
      this.#syncFailures -= 1;
      throw new DiskError('EIO', path, `sync ${path}: EIO`);
    }
    for (const change of done) apply(inode.image, change);
  }

  #changeNames(change: NameChange): void {
    applyName(this.#names, change);
    this.#unsyncedNames.push(change);
  }

  /** `submit` happens now, `finish` when the operation completes; the result is that of `submit`. */
  #run<T>(
    kind: DiskOperationKind,
    path: string,
    submit: () => T,
    { finish, bytes = 0 }: { finish?: () => void; bytes?: number } = {},
  ): Promise<T> {
    const operation = { kind, path, number: this.#operations, bytes };
    this.#operations += 1;
    this.#counts.set(kind, (this.#counts.get(kind) ?? 0) + 1);
    const hangs = this.#options.onOperation?.(operation) === 'hang';
    const life = this.#life;
    return new Promise<T>((resolve, reject) => {
      const outcome = attempt(submit);
      if (hangs) return;
      const settle = (): void => {
        if (life !== this.#life) return;
        const finished = finish === undefined || !outcome.ok ? outcome : attempt(finish);
        if (!finished.ok) reject(finished.error as Error);
        else if (outcome.ok) resolve(outcome.value);
      };
      const land = (): void => {
        if ((kind === 'sync' || kind === 'writeDurable') && this.#syncsHeld) this.#heldSyncs.push(settle);
        else settle();
      };
      this.#later(operation, land);
    });
  }

  #later(operation: DiskOperation, run: () => void): void {
    const { clock, delayMs, complete = queueMicrotask } = this.#options;
    const wait = delayMs?.(operation) ?? 0;
    if (clock === undefined || wait === 0) complete(run);
    else clock.setTimer(wait, () => complete(run));
  }
}

type Attempt<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly error: unknown };

function attempt<T>(run: () => T): Attempt<T> {
  try {
    return { ok: true, value: run() };
  } catch (error) {
    return { ok: false, error };
  }
}

const absent = (what: string, path: string): DiskError =>
  new DiskError('ENOENT', path, `${what} ${path}: no such file or directory`);

const survives = (keep: CrashOptions['keep']): boolean =>
  keep === 'everything' || (keep !== 'nothing' && keep.below(2) === 1);

function applyName(names: Map<string, Inode>, change: NameChange): void {
  if (change.unset !== undefined) names.delete(change.unset);
  if (change.set !== undefined) names.set(change.set.path, change.set.inode);
}

function apply(image: FileImage, change: FileChange): void {
  if (change.kind === 'write') image.write(change.bytes, change.position);
  else image.truncate(change.bytes);
}

function applySurviving(image: FileImage, change: FileChange, keep: CrashOptions['keep']): void {
  if (change.kind === 'truncate') {
    if (survives(keep)) image.truncate(change.bytes);
    return;
  }
  for (let from = 0; from < change.bytes.length; ) {
    const to = Math.min(change.bytes.length, from + pageBytes - ((change.position + from) % pageBytes));
    if (survives(keep)) image.write(change.bytes.subarray(from, to), change.position + from);
    from = to;
  }
}

function torn(changes: readonly FileChange[], random: Random): readonly FileChange[] {
  const last = changes.findLastIndex((change) => change.kind === 'write');
  return changes.map((change, at) =>
    at === last && change.kind === 'write'
      ? { ...change, bytes: change.bytes.subarray(0, random.below(change.bytes.length)) }
      : change,
  );
}

/** What lies under a newer write must not come back over it later. */
function withoutBytesUnder(older: readonly FileChange[], [newer]: readonly FileChange[]): FileChange[] {
  if (newer?.kind !== 'write') return [...older];
  const end = newer.position + newer.bytes.length;
  return older.flatMap((change): FileChange[] => {
    if (change.kind === 'truncate') return [change];
    const changeEnd = change.position + change.bytes.length;
    if (changeEnd <= newer.position || change.position >= end) return [change];
    const before = change.bytes.subarray(0, Math.max(0, newer.position - change.position));
    const behind = change.bytes.subarray(Math.min(change.bytes.length, Math.max(0, end - change.position)));
    return [
      ...(before.length > 0 ? [{ ...change, bytes: before }] : []),
      ...(behind.length > 0 ? [{ ...change, position: changeEnd - behind.length, bytes: behind }] : []),
    ];
  });
}

/** What a reader sees: the image with the unsynced changes over it. */
function readThrough(inode: Inode, target: Uint8Array, position: number): number {
  if (inode.unsynced.length === 0) return inode.image.read(target, position);
  const size = sizeOf(inode);
  const window = new Uint8Array(target.length);
  inode.image.read(window, position);
  for (const change of inode.unsynced) overlay(window, position, change);
  const bytes = Math.max(0, Math.min(target.length, size - position));
  target.set(window.subarray(0, bytes));
  return bytes;
}

function overlay(window: Uint8Array, position: number, change: FileChange): void {
  if (change.kind === 'truncate') {
    if (change.bytes < position + window.length) window.fill(0, Math.max(0, change.bytes - position));
    return;
  }
  const from = Math.max(position, change.position);
  const to = Math.min(position + window.length, change.position + change.bytes.length);
  if (from < to) window.set(change.bytes.subarray(from - change.position, to - change.position), from - position);
}

function sizeOf(inode: Inode): number {
  let size = inode.image.size;
  for (const change of inode.unsynced) {
    size = change.kind === 'truncate' ? change.bytes : Math.max(size, change.position + change.bytes.length);
  }
  return size;
}

function bytesOf(buffers: readonly Uint8Array[]): number {
  let bytes = 0;
  for (const buffer of buffers) bytes += buffer.length;
  return bytes;
}

function joined(buffers: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(bytesOf(buffers));
  let at = 0;
  for (const buffer of buffers) {
    whole.set(buffer, at);
    at += buffer.length;
  }
  return whole;
}

function parentOf(path: string): string {
  const slash = path.lastIndexOf('/');
  return slash <= 0 ? '/' : path.slice(0, slash);
}
