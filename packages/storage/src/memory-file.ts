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

/** What survives a crash on its own: a page of the page cache. */
const pageBytes = 4096;

export class MemoryFile {
  readonly image = new FileImage();
  /** In the order of submission. */
  #unsynced: FileChange[] = [];
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

  get unsynced(): readonly FileChange[] {
    return this.#unsynced;
  }

  write(bytes: Uint8Array, position: number): void {
    if (bytes.length > 0) this.#unsynced.push({ kind: 'write', position, bytes });
  }

  truncate(bytes: number): void {
    this.#unsynced.push({ kind: 'truncate', bytes });
  }

  /** What must land with this write for it to be read back: the size of the file, by what changed it before, and itself. */
  writeAlone(bytes: Uint8Array, position: number): ReadonlySet<FileChange> {
    const own: FileChange[] = bytes.length > 0 ? [{ kind: 'write', position, bytes }] : [];
    const left = withoutBytesUnder(this.#unsynced, own);
    this.#unsynced = [...left, ...own];
    return new Set([...left.slice(0, left.findLastIndex(({ kind }) => kind === 'truncate') + 1), ...own]);
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
    const changes = tearLastWrite === undefined ? this.#unsynced : torn(this.#unsynced, tearLastWrite);
    this.#unsynced = [];
    for (const change of changes) applySurviving(this.image, change, keep);
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

function overlay(window: Uint8Array, position: number, change: FileChange): void {
  if (change.kind === 'truncate') {
    if (change.bytes < position + window.length) window.fill(0, Math.max(0, change.bytes - position));
    return;
  }
  const from = Math.max(position, change.position);
  const to = Math.min(position + window.length, change.position + change.bytes.length);
  if (from < to) window.set(change.bytes.subarray(from - change.position, to - change.position), from - position);
}
