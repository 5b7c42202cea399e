/** Says how far a recovery is, when it takes so long that somebody may wonder. Owned by one recovery. */
import type { Clock, Logger } from '@sluice/base';

const intervalMs = 1000;

export class RecoveryProgress {
  readonly #clock: Clock;
  readonly #logger: Logger;
  #saidMs: number;
  #files = 0;
  #filesDone = 0;

  constructor(clock: Clock, logger: Logger) {
    this.#clock = clock;
    this.#logger = logger;
    this.#saidMs = clock.monotonicMs();
  }

  begin(files: number): void {
    this.#files = files;
  }

  filesDone(count: number): void {
    this.#filesDone += count;
    this.#say();
  }

  /** Of a file without a footer: it is read from its start to its end. */
  scannedTo(position: number): void {
    this.#say(position);
  }

  #say(scannedBytes?: number): void {
    const nowMs = this.#clock.monotonicMs();
    if (nowMs - this.#saidMs < intervalMs) return;
    this.#saidMs = nowMs;
    const { filesDone, files } = { filesDone: this.#filesDone, files: this.#files };
    this.#logger.info('recovering', { filesDone, files, ...(scannedBytes === undefined ? {} : { scannedBytes }) });
  }
}
