/** Values that go to many receivers: their messages are made once. Kept as long as the value is. */
import type { Message } from '@sluice/base';

/** Each with the codec that it went through, and its message. */
const sharedMessages = new WeakMap<object, { codec: object; message: Message } | undefined>();

/** Marks a value that goes to many, and that nobody changes any more: its message is made once. */
export function encodedOnce<T extends object>(value: T): T {
  sharedMessages.set(value, undefined);
  return value;
}

/** `encode`, or what it gave before for a value that is `encodedOnce`. */
export function encodeShared(codec: object, value: object, encode: () => Message): Message {
  if (!sharedMessages.has(value)) return encode();
  const known = sharedMessages.get(value);
  if (known?.codec === codec) return known.message;
  const message = encode();
  sharedMessages.set(value, { codec, message });
  return message;
}
