/**
 * Which finished files hold live bytes of logs. Owned by `Replay`, told by each `LogIndex` of its segments, asked by
 * `Reclaim`.
 *
 * A segment counts as a whole until nothing of it lives.
 */
export class FileUse {
  readonly #files = new Map<number, { segments: number; bytes: number }>();
  #liveBytes = 0;
  #segments = 0;
  #extentBytes = 0;
  /** Counts what may have made a file free to go, so that nobody asks for each group. */
  changes = 0;

  /** Over all finished files. */
  get liveBytes(): number {
    return this.#liveBytes;
  }

  /** Of all logs, over all finished files. */
  get segments(): number {
    return this.#segments;
  }

  /** In memory, of the segments whose extents lie there. */
  get extentBytes(): number {
    return this.#extentBytes;
  }

  /** Of one finished file. */
  liveBytesOf(fileId: number): number {
    return this.#files.get(fileId)?.bytes ?? 0;
  }

  lives(fileId: number): boolean {
    return this.#files.has(fileId);
  }

  /** `extentBytes`: what is held in memory beside the segment. */
  add(fileId: number, bytes: number, extentBytes: number): void {
    const file = this.#files.get(fileId) ?? { segments: 0, bytes: 0 };
    file.segments += 1;
    this.#segments += 1;
    this.#extentBytes += extentBytes;
    file.bytes += bytes;
    this.#files.set(fileId, file);
    this.#liveBytes += bytes;
  }

  remove(fileId: number, bytes: number, extentBytes: number): void {
    const file = this.#files.get(fileId);
    if (file === undefined) return;
    file.segments -= 1;
    this.#segments -= 1;
    this.#extentBytes -= extentBytes;
    file.bytes -= bytes;
    this.#liveBytes -= bytes;
    if (file.segments > 0) return;
    this.#files.delete(fileId);
    this.changes += 1;
  }
}
