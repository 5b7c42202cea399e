/** What the two processes of `wire.ts` agree on. */

export const messageBytesHeader = 'message-bytes';

/** As large as a node takes. */
export const transportMessageBytesMax = 16 * 1024 * 1024;

/** Of the raw HTTP/2 lane: nothing but TCP holds it back. */
export const http2Settings = { initialWindowSize: 16 * 1024 * 1024, maxFrameSize: 1024 * 1024 } as const;

/** Tells the other side how many messages have come since it was last told: four bytes, at most once a turn. */
export class Acks {
  readonly #tell: (ack: Uint8Array) => void;
  #messages = 0;

  constructor(tell: (ack: Uint8Array) => void) {
    this.#tell = tell;
  }

  count(messages: number): void {
    if (this.#messages === 0 && messages > 0) setImmediate(() => this.#send());
    this.#messages += messages;
  }

  #send(): void {
    const ack = Buffer.alloc(4);
    ack.writeUInt32BE(this.#messages);
    this.#messages = 0;
    this.#tell(ack);
  }
}

/** The sum of acks, however the bytes of a stream are cut. */
export class AckReader {
  #rest: Buffer = Buffer.alloc(0);

  read(chunk: Uint8Array): number {
    const bytes = Buffer.concat([this.#rest, chunk]);
    let messages = 0;
    let at = 0;
    for (; at + 4 <= bytes.length; at += 4) messages += bytes.readUInt32BE(at);
    this.#rest = bytes.subarray(at);
    return messages;
  }
}
