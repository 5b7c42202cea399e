/**
 * Loses, repeats and delays Raft messages between two nodes: a stream would keep them whole and in order, and the
 * protocol does not count on it. The hello of a stream is left alone.
 */
import type { Clock, Message, Transport, TransportStream } from '@sluice/base';
import { withRaftStreams } from '../raft-streams.ts';
import type { NetworkConditions } from './network-conditions.ts';

const lateOneIn = 3;

export const withRaftFaults = (transport: Transport, conditions: NetworkConditions, clock: Clock): Transport =>
  withRaftStreams(transport, (stream) => unreliable(stream, conditions, clock));

function unreliable(stream: TransportStream, conditions: NetworkConditions, clock: Clock): (message: Message) => void {
  let saidHello = false;
  return (message) => {
    const { lossPercent, duplicatePercent, delayPercent, delayMsMax, lateMsMax } = conditions.raftMessages;
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
    const later = (): void => {
      const mostMs = random.below(lateOneIn) === 0 ? lateMsMax : delayMsMax;
      clock.setTimer(1 + random.below(mostMs), () => stream.send(message));
    };
    if (random.below(100) < delayPercent) {
      counts.raftDelayed += 1;
      later();
    } else stream.send(message);
    if (random.below(100) < duplicatePercent) {
      counts.raftDuplicated += 1;
      later();
    }
  };
}
