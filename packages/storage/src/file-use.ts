/**
 * Which finished files hold live bytes of logs. Owned by `Replay`, told by each `LogIndex` of its segments, asked by
 * `Reclaim`.
 *
 * A segment counts as a whole until nothing of it lives.
 */
export class FileUse {
  readonly #files = new Map<number, { segments: number; bytes: number }>();
  #liveBytes = 0;
  /** Counts what may have made a file free to go, so that nobody asks for each group. */
  changes = 0;

  /** Over all finished files. */
  get liveBytes(): number {
    return this.#liveBytes;
  }

  /** Of one finished file. */
  liveBytesOf(fileId: number): number {
    return this.#files.get(fileId)?.bytes ?? 0;
  }

  lives(fileId: number): boolean {
    return this.#files.has(fileId);
  }

  add(fileId: number, bytes: number): void {
    const file = this.#files.get(fileId) ?? { segments: 0, bytes: 0 };
    file.segments += 1;
    file.bytes += bytes;
    this.#files.set(fileId, file);
    this.#liveBytes += bytes;
  }

  remove(fileId: number, bytes: number): void {
    const file = this.#files.get(fileId);
    if (file === undefined) return;
    file.segments -= 1;
    file.bytes -= bytes;
    this.#liveBytes -= bytes;
    if (file.segments > 0) return;
    this.#files.delete(fileId);
    this.changes += 1;
  }
}
