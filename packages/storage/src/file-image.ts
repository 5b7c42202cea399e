/** Bytes of one file in memory, in blocks, so that growing copies nothing; a block never written reads as zeros. */
const blockBytes = 65_536;

export class FileImage {
  readonly #blocks: (Uint8Array | undefined)[] = [];
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** Fills `target` as far as the file goes; returns the bytes read. */
  read(target: Uint8Array, position: number): number {
    const bytes = Math.max(0, Math.min(target.length, this.#size - position));
    for (let done = 0; done < bytes; ) {
      const at = position + done;
      const within = at % blockBytes;
      const take = Math.min(bytes - done, blockBytes - within);
      const block = this.#blocks[Math.floor(at / blockBytes)];
      if (block === undefined) target.fill(0, done, done + take);
      else target.set(block.subarray(within, within + take), done);
      done += take;
    }
    return bytes;
  }

  write(bytes: Uint8Array, position: number): void {
    for (let done = 0; done < bytes.length; ) {
      const at = position + done;
      const within = at % blockBytes;
      const take = Math.min(bytes.length - done, blockBytes - within);
      const index = Math.floor(at / blockBytes);
      let block = this.#blocks[index];
      if (block === undefined) {
        block = new Uint8Array(blockBytes);
        this.#blocks[index] = block;
      }
      block.set(bytes.subarray(done, done + take), within);
      done += take;
    }
    if (bytes.length > 0) this.#size = Math.max(this.#size, position + bytes.length);
  }

  truncate(bytes: number): void {
    if (bytes < this.#size) {
      const kept = Math.ceil(bytes / blockBytes);
      if (this.#blocks.length > kept) this.#blocks.length = kept;
      this.#blocks[kept - 1]?.fill(0, bytes - (kept - 1) * blockBytes);
    }
    this.#size = bytes;
  }
}
