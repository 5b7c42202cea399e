/**
 * Which finished files hold live bytes of logs. Owned by `Replay`, told by each `LogIndex` of its segments, asked by
 * `Reclaim` and `Rewriter`.
 *
 * Of a segment that is cut, or in which its log begins, as many bytes count as offsets are left.
 */
export interface SegmentUse {
  /** About what lives of it in the file. */
  readonly bytes: number;
  readonly extents: number;
  /** Held beside the segment. */
  readonly memoryBytes: number;
}

export class FileUse {
  readonly #files = new Map<number, { segments: number; bytes: number; extents: number }>();
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

  /** Pieces that its live bytes lie in. */
  extentsOf(fileId: number): number {
    return this.#files.get(fileId)?.extents ?? 0;
  }

  add(fileId: number, { bytes, extents, memoryBytes }: SegmentUse): void {
    const file = this.#files.get(fileId) ?? { segments: 0, bytes: 0, extents: 0 };
    file.segments += 1;
    this.#segments += 1;
    this.#extentBytes += memoryBytes;
    file.bytes += bytes;
    file.extents += extents;
    this.#files.set(fileId, file);
    this.#liveBytes += bytes;
  }

  remove(fileId: number, { bytes, extents, memoryBytes }: SegmentUse): void {
    const file = this.#files.get(fileId);
    if (file === undefined) return;
    file.segments -= 1;
    this.#segments -= 1;
    this.#extentBytes -= memoryBytes;
    file.bytes -= bytes;
    file.extents -= extents;
    this.#liveBytes -= bytes;
    if (file.segments > 0) return;
    this.#files.delete(fileId);
    this.changes += 1;
  }
}
