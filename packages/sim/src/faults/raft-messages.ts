/**
 * Loses, repeats and delays Raft messages between two nodes: a stream would keep them whole and in order, and the
 * protocol does not count on it. The hello of a stream is left alone.
 */
import type { Clock, Message, Transport, TransportStream } from '@sluice/base';
import { methods } from '@sluice/wire';
import type { NetworkConditions } from './network-conditions.ts';

export function withRaftFaults(transport: Transport, conditions: NetworkConditions, clock: Clock): Transport {
  return {
    open: (address, method, handlers, options) => {
      const stream = transport.open(address, method, handlers, options);
      return method === methods.raft.exchange.path ? unreliable(stream, conditions, clock) : stream;
    },
    listen: (address, accept, options) => transport.listen(address, accept, options),
    probe: (address, timeoutMs) => transport.probe(address, timeoutMs),
    close: () => transport.close(),
  };
}

function unreliable(stream: TransportStream, conditions: NetworkConditions, clock: Clock): TransportStream {
  let saidHello = false;
  const send = (message: Message): void => {
    const { lossPercent, duplicatePercent, delayPercent, delayMsMax } = conditions.raftMessages;
    const { random, counts } = conditions;
    if (!saidHello || lossPercent + duplicatePercent + delayPercent === 0) {
      saidHello = true;
      stream.send(message);
      return;
    }
    if (random.below(100) < lossPercent) {
      counts.raftLost += 1;
      return;
    }
    const later = (): void => void clock.setTimer(1 + random.below(delayMsMax), () => stream.send(message));
    if (random.below(100) < delayPercent) {
      counts.raftDelayed += 1;
      later();
    } else stream.send(message);
    if (random.below(100) < duplicatePercent) {
      counts.raftDuplicated += 1;
      later();
    }
  };
  return {
    send,
    end: () => stream.end(),
    close: (error) => stream.close(error),
    greeted: () => stream.greeted(),
    get bufferedBytes() {
      return stream.bufferedBytes;
    },
    whenDrained: (belowBytes, run) => stream.whenDrained(belowBytes, run),
  };
}
