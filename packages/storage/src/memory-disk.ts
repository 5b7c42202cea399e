/**
 * `Disk` in memory, which keeps what is synced and what is not apart: `crash` drops the difference, or part of it.
 * Embedded brokers and the simulator run on it. What a file is, `MemoryFile` knows; what can fail, `disk-faults.ts` says.
 *
 * M1 A write lives among the unsynced changes until a `sync` that was submitted after it completes; only then is it in the
 *    image. A durable write that completes takes itself there, and with it only what it cannot be read back without: the
 *    size of the file, and what was written before that changed.
 * M2 A name is not durable until `syncDirectory` completes; a rename is one change. Directories themselves are durable at
 *    once, as `NodeDisk.makeDirectory` makes them.
 * M3 After `crash` or `killProcess` nothing that was submitted before ever completes, and no handle or lock from before works: the
 *    process that held them is gone.
 * M4 A fault is of one operation, and is decided when it is submitted.
 */
import type { Clock, Disk, DiskFile, DiskLock, DiskSpace } from '@sluice/base';
import { DiskError, invariant, SluiceError } from '@sluice/base';
import {
  assertFits,
  type DiskFault,
  type DiskOperation,
  type DiskOperationKind,
  type FailedOperation,
  type FaultPlan,
  withFlippedBit,
} from './disk-faults.ts';
import type { FileImage } from './file-image.ts';
import { type CrashOptions, type FileChange, MemoryFile, survives } from './memory-file.ts';
import { MemoryNames, parentOf } from './memory-names.ts';
import { TakenPages } from './taken-pages.ts';

export interface MemoryDiskOptions {
  /** Runs a completion; default: as a microtask. The simulator gives its own, and so owns the order. */
  readonly complete?: (run: () => void) => void;
  /** With `delayMs`: how long each operation takes. */
  readonly clock?: Clock;
  readonly delayMs?: (operation: DiskOperation) => number;
  /** Default: nothing goes wrong. */
  readonly faults?: FaultPlan;
  /** Whether a plan may ask for `stale` reads, which need a copy of what was overwritten; default: with a plan. */
  readonly staleReads?: boolean;
  /** A write that would take more fails with ENOSPC where the room ends; default: there is always room. */
  readonly capacityBytes?: number;
}

interface Operation {
  readonly kind: DiskOperationKind;
  readonly path: string;
  readonly buffers?: readonly Uint8Array[];
}

/** Where a write goes, and what of it. */
interface Landing {
  readonly file: MemoryFile;
  readonly bytes: Uint8Array;
  readonly position: number;
}

export class MemoryDisk implements Disk {
  readonly #options: MemoryDiskOptions;
  readonly #directories = new Set<string>();
  readonly #names = new MemoryNames();
  readonly #locks = new Set<string>();
  /** Counts crashes: what carries an older number belongs to a dead process. */
  #life = 0;
  #operations = 0;
  readonly #counts = new Map<DiskOperationKind, number>();
  #syncsHeld = false;
  #heldSyncs: (() => void)[] = [];
  #syncFailures = 0;
  #writeFailure: string | undefined;
  readonly #taken: TakenPages | undefined;

  constructor(options: MemoryDiskOptions = {}) {
    this.#options = options;
    if (options.capacityBytes !== undefined) this.#taken = new TakenPages(options.capacityBytes);
  }

  // Disk

  open(path: string, mode: 'create' | 'existing'): Promise<DiskFile> {
    return this.#run({ kind: 'open', path }, () => {
      let file = this.#names.get(path);
      if (mode === 'create') {
        if (file !== undefined) throw new DiskError('EEXIST', path, `open ${path}: it exists`);
        if (!this.#directories.has(parentOf(path))) throw absent('open', path);
        file = this.#newFile();
        this.#names.change({ set: { path, file } });
      }
      if (file === undefined) throw absent('open', path);
      return this.#handle(path, file);
    });
  }

  makeDirectory(path: string): Promise<void> {
    return this.#run({ kind: 'makeDirectory', path }, () => {
      for (let made = path; made !== '/'; made = parentOf(made)) this.#directories.add(made);
    });
  }

  list(path: string): Promise<readonly string[]> {
    return this.#run({ kind: 'list', path }, () => {
      const names: string[] = [];
      for (const name of [...this.#names.paths(), ...this.#directories]) {
        if (name !== path && parentOf(name) === path) names.push(name.slice(name.lastIndexOf('/') + 1));
      }
      return names.toSorted();
    });
  }

  exists(path: string): Promise<boolean> {
    return this.#run(
      { kind: 'exists', path },
      () => this.#names.get(path) !== undefined || this.#directories.has(path),
    );
  }

  rename(from: string, to: string): Promise<void> {
    return this.#run({ kind: 'rename', path: from }, () => {
      const file = this.#names.get(from);
      if (file === undefined) throw absent('rename', from);
      this.#names.change({ set: { path: to, file }, unset: from });
      this.#taken?.keep(this.#names.seen());
    });
  }

  remove(path: string): Promise<void> {
    return this.#run({ kind: 'remove', path }, () => {
      if (this.#names.get(path) === undefined) throw absent('remove', path);
      this.#names.change({ unset: path });
      this.#taken?.keep(this.#names.seen());
    });
  }

  syncDirectory(path: string): Promise<void> {
    return this.#run({ kind: 'syncDirectory', path }, () => {
      if (!this.#directories.has(path)) throw absent('syncDirectory', path);
      this.#names.sync(path);
    });
  }

  space(path: string): Promise<DiskSpace> {
    const taken = this.#taken;
    const always = Number.MAX_SAFE_INTEGER;
    return this.#run({ kind: 'space', path }, () => ({
      freeBytes: taken?.freeBytes ?? always,
      totalBytes: taken?.capacityBytes ?? always,
    }));
  }

  lock(path: string): Promise<DiskLock> {
    return this.#run({ kind: 'lock', path }, () => {
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
    this.killProcess();
    const files = this.#names.files();
    this.#names.crash(() => survives(options.keep));
    for (const file of files) file.crash(options);
    this.#taken?.keep(this.#names.seen());
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

  /** Of a disk that was made with one: as if others filled the rest, or gave room. */
  setCapacity(bytes: number): void {
    invariant(this.#taken !== undefined, 'a capacity is set on a disk that was made with one');
    this.#taken.capacityBytes = bytes;
  }

  /** As if others filled the disk up to this much. */
  leaveRoom(bytes: number): void {
    invariant(this.#taken !== undefined, 'room is left on a disk that was made with a capacity');
    this.#taken.capacityBytes += bytes - this.#taken.freeBytes;
  }

  /** Flips one bit of what is on stable media: decay. */
  flipBit(path: string, position: number, bit = 0): void {
    const image = this.#imageOf(path);
    const byte = new Uint8Array(1);
    image.read(byte, position);
    image.write(withFlippedBit(byte, bit), position);
  }

  /** What is on stable media. */
  durableBytes(path: string): Uint8Array {
    const image = this.#imageOf(path);
    const bytes = new Uint8Array(image.size);
    image.read(bytes, 0);
    return bytes;
  }

  /** Of every file on stable media, sorted. */
  durablePaths(): readonly string[] {
    return [...this.#names.durablePaths()].toSorted();
  }

  /** Replaces a file on stable media, or puts one there. */
  plant(path: string, bytes: Uint8Array): void {
    const file = this.#newFile();
    file.image.write(bytes, 0);
    this.#names.plant(path, file);
  }

  /** How many changes of files and names a crash may take. */
  get unsyncedChanges(): number {
    let changes = this.#names.unsyncedChanges;
    for (const file of this.#names.files()) changes += file.unsyncedChanges;
    return changes;
  }

  operations(kind?: DiskOperationKind): number {
    return kind === undefined ? this.#operations : (this.#counts.get(kind) ?? 0);
  }

  // Inside

  #newFile(): MemoryFile {
    return new MemoryFile(this.#options.staleReads ?? this.#options.faults !== undefined);
  }

  #imageOf(path: string): FileImage {
    const file = this.#names.durable(path);
    if (file === undefined) throw absent('read', path);
    return file.image;
  }

  #handle(path: string, file: MemoryFile): DiskFile {
    const life = this.#life;
    let closed = false;
    const assertOpen = (): void => {
      if (closed || life !== this.#life) throw new DiskError('EBADF', path, `${path} is closed`);
    };
    const run = <T>(kind: DiskOperationKind, act: () => T): Promise<T> =>
      this.#run({ kind, path }, () => {
        assertOpen();
        return act();
      });
    return {
      read: (target, position) =>
        this.#operate({ kind: 'read', path }, (fault) => {
          assertOpen();
          const bytes = fault === 'stale' ? file.readStale(target, position) : file.read(target, position);
          if (isFlip(fault)) target.set(withFlippedBit(target.subarray(0, bytes), fault.flipBit));
          return bytes;
        }),
      write: (buffers, position) =>
        this.#operate({ kind: 'write', path, buffers }, (fault) => {
          assertOpen();
          const landing = this.#landing({ file, bytes: joined(buffers), position }, fault);
          if (landing !== undefined) this.#write(path, landing);
        }),
      writeDurable: (buffers, position) => this.#writeDurable({ path, assertOpen, buffers }, { file, position }),
      sync: () => {
        const covered = new Set(file.unsynced);
        return this.#operate(
          { kind: 'sync', path },
          () => undefined,
          (fault) => this.#land(path, file, { covered, fault }),
        );
      },
      truncate: (bytes) =>
        run('truncate', () => {
          file.truncate(bytes);
          this.#taken?.cut(file, bytes);
        }),
      size: () => run('size', () => file.size),
      close: () =>
        this.#run({ kind: 'close', path }, () => {
          closed = true;
        }),
    };
  }

  /** As a write and a sync of it alone (M1). */
  #writeDurable(
    of: { readonly path: string; readonly buffers: readonly Uint8Array[]; readonly assertOpen: () => void },
    place: Omit<Landing, 'bytes'>,
  ): Promise<void> {
    const { path, buffers, assertOpen } = of;
    let covered: ReadonlySet<FileChange> = new Set();
    let { file } = place;
    const submit = (fault: DiskFault): void => {
      assertOpen();
      const landing = this.#landing({ ...place, bytes: joined(buffers) }, fault);
      if (landing === undefined) return;
      file = landing.file;
      if (this.#writeFailure === undefined && isWritten(fault) && this.#fitting(landing) === landing) {
        covered = file.writeAlone(landing.bytes, landing.position);
        return;
      }
      this.#write(path, landing);
    };
    const finish = (fault: DiskFault): void => this.#land(path, file, { covered, fault });
    return this.#operate({ kind: 'writeDurable', path, buffers }, submit, finish);
  }

  #write(path: string, landing: Landing): void {
    const fitting = this.#fitting(landing);
    landing.file.write(fitting.bytes, landing.position);
    if (this.#writeFailure !== undefined) throw failed('write', path, this.#writeFailure);
    if (fitting !== landing) throw failed('write', path, 'ENOSPC');
  }

  /** As much of it as there is room for, which is then taken. */
  #fitting(landing: Landing): Landing {
    const { file, bytes, position } = landing;
    const fits = this.#taken?.take(file, position, bytes.length) ?? bytes.length;
    return fits === bytes.length ? landing : { file, bytes: bytes.subarray(0, fits), position };
  }

  /** What becomes of a write; undefined when nothing does. */
  #landing(wanted: Landing, fault: DiskFault): Landing | undefined {
    const { file, bytes, position } = wanted;
    if (fault === 'lost') return undefined;
    const half = bytes.subarray(0, bytes.length >>> 1);
    if (this.#writeFailure !== undefined) return { file, bytes: half, position };
    if (!isWritten(fault)) return effectOf(fault) === 'part' ? { file, bytes: half, position } : undefined;
    if (isFlip(fault)) return { file, bytes: withFlippedBit(bytes, fault.flipBit), position };
    if (typeof fault === 'string' || !('misdirect' in fault)) return wanted;
    const { path, position: elsewhere } = fault.misdirect;
    const other = path === undefined ? file : this.#names.get(path);
    if (other === undefined) throw absent('write', path ?? '');
    return { file: other, bytes, position: elsewhere };
  }

  /** These changes are durable now, or, when the disk is made to fail, gone or left in the page cache. */
  #land(path: string, file: MemoryFile, what: { covered: ReadonlySet<FileChange>; fault: DiskFault }): void {
    const { covered, fault } = what;
    if (this.#syncFailures > 0) {
      this.#syncFailures -= 1;
      file.drop(covered);
      throw failed('sync', path, 'EIO');
    }
    const effect = effectOf(fault);
    if (effect === 'whole') file.land(covered);
    else if (effect === 'cached') file.leaveCached(covered);
    else {
      if (effect === 'part') file.land(new Set([...covered].slice(0, covered.size >>> 1)));
      file.drop(covered);
    }
  }

  /** What happens at once, and whole or not at all. */
  #run<T>(operation: Operation, act: () => T): Promise<T> {
    return this.#operate(operation, (fault) => {
      if (isFailure(fault) && effectOf(fault) !== 'whole') throw failed(operation.kind, operation.path, fault.fail);
      return act();
    });
  }

  /** `submit` happens now, `finish` when the operation completes; the result is that of `submit`. */
  #operate<T>(
    { kind, path, buffers = [] }: Operation,
    submit: (fault: DiskFault) => T,
    finish?: (fault: DiskFault) => void,
  ): Promise<T> {
    const operation: DiskOperation = { kind, path, number: this.#operations, bytes: bytesOf(buffers), buffers };
    this.#operations += 1;
    this.#counts.set(kind, (this.#counts.get(kind) ?? 0) + 1);
    const fault = this.#options.faults?.(operation) ?? 'run';
    assertFits(fault, operation);
    const life = this.#life;
    return new Promise<T>((resolve, reject) => {
      const outcome = attempt(() => submit(fault));
      if (fault === 'hang') return;
      const settle = (): void => {
        if (life !== this.#life) return;
        const finished = finish === undefined || !outcome.ok ? outcome : attempt(() => finish(fault));
        if (!finished.ok) reject(finished.error as Error);
        else if (isFailure(fault)) reject(failed(kind, path, fault.fail));
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

const isFailure = (fault: DiskFault): fault is FailedOperation => typeof fault === 'object' && 'fail' in fault;

const isFlip = (fault: DiskFault): fault is Extract<DiskFault, { flipBit: number }> =>
  typeof fault === 'object' && 'flipBit' in fault;

const effectOf = (fault: DiskFault): NonNullable<FailedOperation['effect']> =>
  isFailure(fault) ? (fault.effect ?? 'none') : 'whole';

/** Readers see all of it, durable or not. */
const isWritten = (fault: DiskFault): boolean => ['whole', 'cached'].includes(effectOf(fault));

const failed = (what: string, path: string, code: string): DiskError =>
  new DiskError(code, path, `${what} ${path}: ${code}`);

const absent = (what: string, path: string): DiskError =>
  new DiskError('ENOENT', path, `${what} ${path}: no such file or directory`);

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
