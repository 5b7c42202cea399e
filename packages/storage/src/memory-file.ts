/**
 * One file of a `MemoryDisk`: what is on stable media, and the changes that are not.
 *
 * Owned by the disk's names and by open handles. A change is unsynced until it lands; `crash` lets some of them land, the
 * rest is gone.
 */
import type { Random } from '@sluice/base';
import { FileImage } from './file-image.ts';

export interface CrashOptions {
  /** Which unsynced changes survive: none, all, or a random part, page by page. */
  readonly keep: 'nothing' | 'everything' | Random;
  /** The last unsynced write survives up to a random byte only. */
  readonly tearLastWrite?: Random;
}

export type FileChange =
  | { readonly kind: 'write'; readonly position: number; readonly bytes: Uint8Array }
  | { readonly kind: 'truncate'; readonly bytes: number };

/** Clean pages of a write that never reached the disk: no sync covers them, and no crash leaves them. */
interface CachedWrite extends Extract<FileChange, { kind: 'write' }> {
  readonly isCached: true;
}

/** What survives a crash on its own: a page of the page cache. */
const pageBytes = 4096;

export class MemoryFile {
  readonly image = new FileImage();
  /** In the order of submission, cached writes among them. */
  #unsynced: (FileChange | CachedWrite)[] = [];
  /** What the last write that landed took the place of; kept for stale reads alone. */
  #replaced: { readonly position: number; readonly bytes: Uint8Array } | undefined;
  readonly #keepsReplaced: boolean;

  constructor(keepsReplaced: boolean) {
    this.#keepsReplaced = keepsReplaced;
  }

  /** As readers see it. */
  get size(): number {
    let { size } = this.image;
    for (const change of this.#unsynced) {
      size = change.kind === 'truncate' ? change.bytes : Math.max(size, change.position + change.bytes.length);
    }
    return size;
  }

  /** What a sync makes durable. */
  get unsynced(): readonly FileChange[] {
    return this.#unsynced.filter((change) => !isCached(change));
  }

  /** What a crash may take. */
  get unsyncedChanges(): number {
    return this.#unsynced.length;
  }

  write(bytes: Uint8Array, position: number): void {
    if (bytes.length > 0) this.#change({ kind: 'write', position, bytes });
  }

  truncate(bytes: number): void {
    this.#change({ kind: 'truncate', bytes });
  }

  /** What must land with this write for it to be read back: the size of the file, by what changed it before, and itself. */
  writeAlone(bytes: Uint8Array, position: number): ReadonlySet<FileChange> {
    const own: FileChange[] = bytes.length > 0 ? [{ kind: 'write', position, bytes }] : [];
    const left = own.reduce<readonly FileChange[]>(withoutBytesUnder, this.#unsynced);
    this.#unsynced = [...left, ...own];
    const before = left.slice(0, left.findLastIndex(({ kind }) => kind === 'truncate') + 1);
    return new Set([...before.filter((change) => !isCached(change)), ...own]);
  }

  /** These changes are durable now; those that a crash took meanwhile stay gone. */
  land(covered: ReadonlySet<FileChange>): void {
    for (const change of this.#take(covered)) {
      if (change.kind === 'write') this.#keepReplaced(change.position, change.bytes.length);
      apply(this.image, change);
    }
  }

  /** These changes are gone: a sync of them failed. */
  drop(covered: ReadonlySet<FileChange>): void {
    this.#take(covered);
  }

  /**
   * A sync of them failed, and readers see them all the same until the power goes: their pages are clean. What is written
   * over them is a change like any other. How long the file is lies in no page, and can still be synced.
   */
  leaveCached(covered: ReadonlySet<FileChange>): void {
    const changes = this.#unsynced;
    this.#unsynced = [];
    for (const change of changes) {
      this.#change(covered.has(change) && change.kind === 'write' ? { ...change, isCached: true } : change);
    }
  }

  /** Fills `target` with the image and the unsynced changes over it; returns the bytes read. */
  read(target: Uint8Array, position: number): number {
    if (this.#unsynced.length === 0) return this.image.read(target, position);
    const window = new Uint8Array(target.length);
    this.image.read(window, position);
    for (const change of this.#unsynced) overlay(window, position, change);
    const bytes = Math.max(0, Math.min(target.length, this.size - position));
    target.set(window.subarray(0, bytes));
    return bytes;
  }

  /** As `read`, as though the last write that landed never had. */
  readStale(target: Uint8Array, position: number): number {
    const bytes = this.read(target, position);
    if (this.#replaced !== undefined)
      overlay(target.subarray(0, bytes), position, { kind: 'write', ...this.#replaced });
    return bytes;
  }

  crash({ keep, tearLastWrite }: CrashOptions): void {
    const { unsynced } = this;
    const changes = tearLastWrite === undefined ? unsynced : torn(unsynced, tearLastWrite);
    this.#unsynced = [];
    for (const change of changes) applySurviving(this.image, change, keep);
  }

  #change(newer: FileChange | CachedWrite): void {
    if (this.#unsynced.some(isCached)) {
      this.#unsynced = this.#unsynced.flatMap((older) =>
        isCached(older) ? withoutBytesUnder([older], newer) : [older],
      );
    }
    this.#unsynced.push(newer);
  }

  #take(covered: ReadonlySet<FileChange>): FileChange[] {
    const taken = this.#unsynced.filter((change) => covered.has(change));
    this.#unsynced = this.#unsynced.filter((change) => !covered.has(change));
    return taken;
  }

  #keepReplaced(position: number, length: number): void {
    if (!this.#keepsReplaced) return;
    const bytes = new Uint8Array(length);
    this.image.read(bytes, position);
    this.#replaced = { position, bytes };
  }
}

const isCached = (change: FileChange | CachedWrite): change is CachedWrite => 'isCached' in change;

export const survives = (keep: CrashOptions['keep']): boolean =>
  keep === 'everything' || (keep !== 'nothing' && keep.below(2) === 1);

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

/** What lies under a newer write, or behind a newer end, must not come back over it later. */
function withoutBytesUnder<Change extends FileChange>(older: readonly Change[], newer: FileChange): Change[] {
  const [from, end] =
    newer.kind === 'write'
      ? [newer.position, newer.position + newer.bytes.length]
      : [newer.bytes, Number.POSITIVE_INFINITY];
  return older.flatMap((change): Change[] => {
    if (change.kind === 'truncate') return [change];
    const changeEnd = change.position + change.bytes.length;
    if (changeEnd <= from || change.position >= end) return [change];
    const before = change.bytes.subarray(0, Math.max(0, from - change.position));
    const behind = change.bytes.subarray(Math.min(change.bytes.length, Math.max(0, end - change.position)));
    return [
      ...(before.length > 0 ? [{ ...change, bytes: before }] : []),
      ...(behind.length > 0 ? [{ ...change, position: changeEnd - behind.length, bytes: behind }] : []),
    ];
  });
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
