/**
 * The memory that reads from the disk share. A reader takes what it is likely to need before it knows where its bytes
 * lie, and gives it back when its batches are handed over.
 *
 * B1 What all readers hold is at most `bytesMax`. Only one that needs more than that is given it, and is alone then.
 * B2 Readers are served in the order in which they asked: a large one is not overtaken for ever by small ones.
 * B3 Who holds something waits for nothing more: it is given at once or not at all, and then starts anew asking for more.
 */
import { invariant } from '@sluice/base';

interface Waiting {
  readonly bytes: number;
  readonly resolve: (lease: ReadLease) => void;
}

export class ReadBudget {
  readonly #bytesMax: number;
  #bytes = 0;
  #waiting: Waiting[] = [];

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  /**
   * Runs `work` with a lease of `bytes`, and again with a larger one each time that it answers `over-budget`: it has then
   * kept nothing of what it read.
   */
  async within<T>(bytes: number, work: (lease: ReadLease) => Promise<T | 'over-budget'>): Promise<T> {
    let wanted = bytes;
    for (;;) {
      const lease = await this.#take(wanted);
      try {
        const result = await work(lease);
        if (result !== 'over-budget') return result;
        invariant(lease.wantedBytes > wanted, 'B3: a reader that starts anew asks for more', { wanted });
        wanted = lease.wantedBytes;
      } finally {
        this.#bytes -= lease.bytes;
        this.#serve();
      }
    }
  }

  #take(bytes: number): Promise<ReadLease> {
    const { promise, resolve } = Promise.withResolvers<ReadLease>();
    this.#waiting.push({ bytes, resolve });
    this.#serve();
    return promise;
  }

  #serve(): void {
    for (let first = this.#waiting[0]; first !== undefined && this.#fits(first.bytes); first = this.#waiting[0]) {
      this.#waiting.shift();
      this.#bytes += first.bytes;
      first.resolve(new ReadLease(first.bytes, (more) => this.#grow(more)));
    }
  }

  #fits(bytes: number): boolean {
    return this.#bytes === 0 || this.#bytes + bytes <= this.#bytesMax;
  }

  #grow(bytes: number): boolean {
    if (this.#waiting.length > 0 || this.#bytes + bytes > this.#bytesMax) return false;
    this.#bytes += bytes;
    return true;
  }
}

export class ReadLease {
  readonly #grow: (bytes: number) => boolean;
  #bytes: number;
  #usedBytes = 0;
  #wantedBytes = 0;

  constructor(bytes: number, grow: (bytes: number) => boolean) {
    this.#bytes = bytes;
    this.#grow = grow;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get leftBytes(): number {
    return this.#bytes - this.#usedBytes;
  }

  /** Of what was refused last: enough to start anew with. */
  get wantedBytes(): number {
    return this.#wantedBytes;
  }

  /** Before the memory is made; false when there is none (B3). */
  use(bytes: number): boolean {
    const lacking = bytes - this.leftBytes;
    if (lacking > 0) {
      if (!this.#grow(lacking)) {
        this.#wantedBytes = this.#usedBytes + bytes;
        return false;
      }
      this.#bytes += lacking;
    }
    this.#usedBytes += bytes;
    return true;
  }
}
