/**
 * Adapter: messages that a foreign client compressed, inflated one after another and in order with those that are not.
 * Ours never compress (batches are compressed by the producer), so this exists only where the first one arrives.
 */
import { promisify } from 'node:util';
import { gunzip, inflate } from 'node:zlib';
import type { Message } from '@sluice/base';
import { grpcStatus } from './error-detail.ts';

const inflaters = new Map([
  ['gzip', promisify(gunzip)],
  ['deflate', promisify(inflate)],
]);

export interface CompressedMessagesOptions {
  /** What the caller said in `grpc-encoding`. */
  readonly encoding: string;
  readonly messageBytesMax: number;
  readonly onMessage: (message: Message) => void;
  readonly onFailure: (grpcStatus: number, text: string) => void;
  /** More to inflate than is good: read no more until the next call, with false. */
  readonly onBusy: (isBusy: boolean) => void;
}

export class CompressedMessages {
  readonly #options: CompressedMessagesOptions;
  #last: Promise<void> = Promise.resolve();
  #waiting = 0;

  constructor(options: CompressedMessagesOptions) {
    this.#options = options;
  }

  push(message: Message, compressed: boolean): void {
    this.#then(async () => {
      // A flag without an encoding says nothing, and grpc-js too takes the message as it is.
      const plain = compressed ? await this.#inflated(message) : message;
      if (plain !== undefined) this.#options.onMessage(plain);
    });
  }

  /** Runs after what was pushed before. */
  afterwards(run: () => void): void {
    this.#then(async () => run());
  }

  #then(step: () => Promise<void>): void {
    this.#waiting += 1;
    if (this.#waiting === 1) this.#options.onBusy(true);
    this.#last = this.#last.then(step).then(() => {
      this.#waiting -= 1;
      if (this.#waiting === 0) this.#options.onBusy(false);
    });
  }

  async #inflated(message: Message): Promise<Message | undefined> {
    const { encoding, messageBytesMax, onFailure } = this.#options;
    if (encoding === 'identity') return message;
    const run = inflaters.get(encoding);
    if (run === undefined) {
      onFailure(grpcStatus.UNIMPLEMENTED, `Messages compressed with "${encoding}" are not understood here.`);
      return undefined;
    }
    try {
      return [await run(Buffer.concat(message), { maxOutputLength: messageBytesMax })];
    } catch (cause) {
      const isTooLarge = cause instanceof RangeError;
      const code = isTooLarge ? grpcStatus.RESOURCE_EXHAUSTED : grpcStatus.INTERNAL;
      onFailure(
        code,
        isTooLarge ? `A message inflates to more than ${messageBytesMax} bytes.` : 'A message cannot be inflated.',
      );
      return undefined;
    }
  }
}
