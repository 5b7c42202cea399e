/** The names of a `MemoryDisk`: those that anybody sees, and those that are durable. A rename is one change. */
import type { MemoryFile } from './memory-file.ts';

interface NameChange {
  readonly set?: { readonly path: string; readonly file: MemoryFile };
  readonly unset?: string;
}

export class MemoryNames {
  #seen = new Map<string, MemoryFile>();
  readonly #durable = new Map<string, MemoryFile>();
  /** In the order of submission. */
  #unsynced: NameChange[] = [];

  get(path: string): MemoryFile | undefined {
    return this.#seen.get(path);
  }

  durable(path: string): MemoryFile | undefined {
    return this.#durable.get(path);
  }

  paths(): Iterable<string> {
    return this.#seen.keys();
  }

  durablePaths(): Iterable<string> {
    return this.#durable.keys();
  }

  files(): Iterable<MemoryFile> {
    return new Set([...this.#seen.values(), ...this.#durable.values()]);
  }

  /** That have a name now, durable or not. */
  seen(): ReadonlySet<MemoryFile> {
    return new Set(this.#seen.values());
  }

  get unsyncedChanges(): number {
    return this.#unsynced.length;
  }

  change(change: NameChange): void {
    apply(this.#seen, change);
    this.#unsynced.push(change);
  }

  /** Durable at once. */
  plant(path: string, file: MemoryFile): void {
    this.#seen.set(path, file);
    this.#durable.set(path, file);
  }

  sync(directory: string): void {
    const touches = (change: NameChange): boolean =>
      [change.set?.path, change.unset].some((name) => name !== undefined && parentOf(name) === directory);
    for (const change of this.#unsynced) if (touches(change)) apply(this.#durable, change);
    this.#unsynced = this.#unsynced.filter((change) => !touches(change));
  }

  crash(survives: () => boolean): void {
    for (const change of this.#unsynced) if (survives()) apply(this.#durable, change);
    this.#unsynced = [];
    this.#seen = new Map(this.#durable);
  }
}

function apply(names: Map<string, MemoryFile>, change: NameChange): void {
  if (change.unset !== undefined) names.delete(change.unset);
  if (change.set !== undefined) names.set(change.set.path, change.set.file);
}

export function parentOf(path: string): string {
  const slash = path.lastIndexOf('/');
  return slash <= 0 ? '/' : path.slice(0, slash);
}
