/**
 * Adapter: messages as grpc-js takes them. It asks of a serialized message only its length and to be copied behind the
 * frame's prefix, so a list of chunks is copied once, into the frame, and never joined before.
 */
import type { Message } from '@sluice/base';
import { messageBytes } from './message-bytes.ts';

class GatheredMessage {
  readonly length: number;
  readonly byteLength: number;
  readonly #chunks: Message;

  constructor(chunks: Message) {
    this.#chunks = chunks;
    this.length = messageBytes(chunks);
    this.byteLength = this.length;
  }

  copy(target: Uint8Array, at: number): number {
    let position = at;
    for (const chunk of this.#chunks) {
      target.set(chunk, position);
      position += chunk.byteLength;
    }
    return position - at;
  }
}

export const serializeChunks = (message: Message): Buffer => new GatheredMessage(message) as unknown as Buffer;

export const deserializeChunks = (bytes: Buffer): Message => [bytes];
