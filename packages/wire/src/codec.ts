/** How a value becomes a message and back: by hand for the hot messages, by proto-loader for the rest. */
import type { Message } from '@sluice/base';

/** What `encode` takes: the message with any field left out; an absent field has its zero value on the wire. */
export type Partially<T> = T extends Uint8Array | string | number | boolean | null
  ? T
  : T extends readonly (infer Item)[]
    ? readonly Partially<Item>[]
    : { readonly [Key in keyof T]?: Partially<T[Key]> | undefined };

export interface Codec<T> {
  /** Throws `InvariantError` for a fraction or an integer that its field cannot carry: always a bug of ours. */
  encode(value: Partially<T>): Message;
  /**
   * Every field present, sub-messages `null` when absent. Bytes are views into `message`; those of the hot messages
   * that straddle chunks are gathered.
   * Throws `INVALID_REQUEST` when the bytes are not such a message or hold an integer beyond 2^53.
   */
  decode(message: Message): T;
}
