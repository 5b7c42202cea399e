/** A transport like another, but for what becomes of the messages on the Raft streams that it opens. */
import type { Message, Transport, TransportStream } from '@sluice/base';
import { methods } from '@sluice/wire';

/** `sendOf` gives, for each such stream and the address it leads to, what stands in for its `send`. */
export function withRaftStreams(
  transport: Transport,
  sendOf: (stream: TransportStream, address: string) => (message: Message) => void,
): Transport {
  return {
    open: (address, method, handlers, options) => {
      const stream = transport.open(address, method, handlers, options);
      return method === methods.raft.exchange.path ? sendingBy(stream, sendOf(stream, address)) : stream;
    },
    listen: (address, accept, options) => transport.listen(address, accept, options),
    probe: (address, timeoutMs) => transport.probe(address, timeoutMs),
    close: () => transport.close(),
  };
}

const sendingBy = (stream: TransportStream, send: (message: Message) => void): TransportStream => ({
  send,
  end: () => stream.end(),
  close: (error) => stream.close(error),
  greeted: () => stream.greeted(),
  get bufferedBytes() {
    return stream.bufferedBytes;
  },
  whenDrained: (belowBytes, run) => stream.whenDrained(belowBytes, run),
});
