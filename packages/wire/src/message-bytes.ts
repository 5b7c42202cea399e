import type { Message } from '@sluice/base';

/** Bytes of all chunks of a message. */
export function messageBytes(message: Message): number {
  let bytes = 0;
  for (const chunk of message) bytes += chunk.byteLength;
  return bytes;
}
