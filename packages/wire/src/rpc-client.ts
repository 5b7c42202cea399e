/** Calls of typed methods over any transport. */
import type { CallMetadata, Message, StreamHandlers, Transport, TransportStream } from '@sluice/base';
import { SluiceError, toSluiceError } from '@sluice/base';
import type { Codec, Partially } from './codec.ts';
import type { Method } from './method.ts';
import type { StreamReceiver, StreamSender } from './streams.ts';

export interface CallOptions {
  readonly metadata?: CallMetadata;
  /** The call fails with `TIMEOUT` after this time; absent: no limit. */
  readonly timeoutMs?: number;
}

export class RpcClient {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /**
   * Rejects with `SluiceError`: what the server answered, `UNREACHABLE` when nothing was sent (definite),
   * `CONNECTION_LOST` or `TIMEOUT` when the request may have been executed (indefinite).
   */
  unary<Request, Response>(
    method: Method<Request, Response>,
    address: string,
    request: Partially<Request>,
    options: CallOptions & { readonly timeoutMs: number },
  ): Promise<Response> {
    return new Promise((resolve, reject) => {
      const message = method.request.encode(request);
      const handlers = awaitAnswer(method.path, method.response, (answer) => {
        if (answer instanceof SluiceError) reject(answer);
        else resolve(answer.value);
      });
      const stream = this.#transport.open(address, method.path, handlers, options);
      stream.send(message);
      stream.end();
    });
  }

  /** `receiver` hears nothing before this returns. */
  stream<Request, Response>(
    method: Method<Request, Response>,
    address: string,
    receiver: StreamReceiver<Response>,
    options: CallOptions = {},
  ): StreamSender<Request> {
    const stream: TransportStream = this.#transport.open(address, method.path, receive(), options);
    return typedSender(stream, method.request);

    function receive(): StreamHandlers {
      return {
        onMessage: (message) => {
          const decoded = decodeOrError(method.response, message);
          if (decoded instanceof SluiceError) stream.close(decoded);
          else receiver.onMessage(decoded.value);
        },
        onEnd: () => receiver.onEnd?.(),
        onClose: (error) => receiver.onClose(error),
      };
    }
  }
}

/** The handlers of a unary call: exactly one message, then success. */
function awaitAnswer<T>(path: string, codec: Codec<T>, onAnswer: (answer: Decoded<T>) => void): StreamHandlers {
  let count = 0;
  let answer: Message = [];
  return {
    onMessage: (message) => {
      count += 1;
      answer = message;
    },
    onEnd: () => undefined,
    onClose: (error) => {
      if (error !== undefined) onAnswer(error);
      else if (count === 1) onAnswer(decodeOrError(codec, answer));
      else
        onAnswer(new SluiceError('INTERNAL', { message: `${path} answered with ${count} messages instead of one.` }));
    },
  };
}

type Decoded<T> = { readonly value: T } | SluiceError;

/** An answer that cannot be read says nothing about the request: it may have been executed. */
function decodeOrError<T>(codec: Codec<T>, message: Message): Decoded<T> {
  try {
    return { value: codec.decode(message) };
  } catch (thrown) {
    const { message: text } = toSluiceError(thrown);
    return new SluiceError('INTERNAL', { message: `The answer cannot be read. ${text}`, cause: thrown });
  }
}

export function typedSender<T>(stream: TransportStream, codec: Codec<T>): StreamSender<T> {
  return {
    send: (value) => stream.send(codec.encode(value)),
    end: () => stream.end(),
    close: (error) => stream.close(error),
    get bufferedBytes() {
      return stream.bufferedBytes;
    },
    whenDrained: (belowBytes, run) => stream.whenDrained(belowBytes, run),
  };
}
