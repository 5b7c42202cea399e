import type { Face } from './method.ts';

export interface DispatcherLimits {
  /** Largest message that is taken. */
  readonly messageBytesMax: number;
  /** Open calls of one connection. */
  readonly callsPerConnectionMax: number;
  /** Open calls of the listener. */
  readonly callsMax: number;
  /** A call whose answers pile up beyond this is closed: its caller does not read. */
  readonly bufferedBytesMax: number;
  /** A unary call without a deadline gets this one, and a longer one is cut to it. */
  readonly unaryTimeoutMsMax: number;
}

const mebibyte = 1_048_576;

export const defaultLimits: Readonly<Record<Face, DispatcherLimits>> = {
  client: {
    messageBytesMax: 16 * mebibyte,
    callsPerConnectionMax: 256,
    callsMax: 10_000,
    bufferedBytesMax: 32 * mebibyte,
    unaryTimeoutMsMax: 60_000,
  },
  peer: {
    messageBytesMax: 64 * mebibyte,
    callsPerConnectionMax: 256,
    callsMax: 10_000,
    bufferedBytesMax: 128 * mebibyte,
    unaryTimeoutMsMax: 60_000,
  },
};
