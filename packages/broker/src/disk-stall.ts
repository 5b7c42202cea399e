/**
 * Whether the disk of this node hangs: its oldest write has not been durable for longer than `diskStallMs`. Such a node
 * applies no metadata either (a commit waits for its own disk), so what it tells of leaders may be old. Owned by
 * `BrokerNode`, which has its watchers told.
 *
 * It hangs no more once the oldest write is younger than half of that: a disk at the limit does not flap.
 */
import type { Clock, Timer } from '@sluice/base';

export interface DiskStallOptions {
  readonly clock: Clock;
  readonly stallMs: number;
  readonly oldestUnsyncedMs: () => number;
  readonly onChange: () => void;
}

export class DiskStall {
  readonly #options: DiskStallOptions;
  #isStalled = false;
  #timer: Timer | undefined;

  constructor(options: DiskStallOptions) {
    this.#options = options;
  }

  get isStalled(): boolean {
    return this.#isStalled;
  }

  start(): void {
    const { clock, stallMs } = this.#options;
    this.#timer = clock.setTimer(stallMs / 8, () => {
      this.start();
      this.#look();
    });
  }

  stop(): void {
    this.#timer?.cancel();
  }

  #look(): void {
    const { stallMs, oldestUnsyncedMs, onChange } = this.#options;
    const isStalled = oldestUnsyncedMs() > (this.#isStalled ? stallMs / 2 : stallMs);
    if (isStalled === this.#isStalled) return;
    this.#isStalled = isStalled;
    onChange();
  }
}
