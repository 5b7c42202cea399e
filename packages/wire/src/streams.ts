import type { SluiceError } from '@sluice/base';
import type { Partially } from './codec.ts';

/** The sending half of a stream of typed messages. */
export interface StreamSender<T> {
  /** Does nothing after `end`, `close` or the other side's close. */
  send(value: Partially<T>): void;
  /** No more messages follow. On the server this completes the call with success. */
  end(): void;
  /** Ends the stream now in both directions; the other side sees `error`, on the server absent means success. */
  close(error?: SluiceError): void;
  /** Bytes that the transport has not passed on yet. */
  readonly bufferedBytes: number;
  /** As of the `TransportStream`: `run` is called once, later, when fewer bytes wait. */
  whenDrained(belowBytes: number, run: () => void): void;
}

/** The receiving half. Never called from inside a method of the sender. */
export interface StreamReceiver<T> {
  /** What it throws on the server closes the stream, `INTERNAL` unless it is a `SluiceError`. */
  onMessage(value: T): void;
  /** The other side sends no more. */
  onEnd?(): void;
  /** Exactly once, last. */
  onClose(error: SluiceError | undefined): void;
}
