/** Adapter: asks the other kernel, with nothing but a TCP connect. */
import { connect } from 'node:net';
import type { Clock, ProbeResult } from '@sluice/base';
import { parseAddress } from '@sluice/base';

/**
 * A process that dies closes its connections one by one, and its listener not before them: until then the kernel goes on
 * taking connections for it, and resets them with the listener. So one that was taken must stand for this long.
 */
const standsMs = 100;

export function probeTcp(address: string, timeoutMs: number, clock: Clock): Promise<ProbeResult> {
  const parsed = parseAddress(address);
  if (parsed === undefined) return Promise.resolve('unanswered');
  return new Promise((resolve) => {
    const socket = connect({ host: parsed.host, port: parsed.port });
    const settle = (result: ProbeResult): void => {
      timer.cancel();
      socket.destroy();
      resolve(result);
    };
    let timer = clock.setTimer(timeoutMs, () => settle('unanswered'));
    socket.once('connect', () => {
      timer.cancel();
      timer = clock.setTimer(standsMs, () => settle('open'));
    });
    // A live process that is full closes the connection: that is no reset.
    socket.once('end', () => settle('open'));
    // Only a refusal is the other kernel's word; a name that is gone or a route that is missing is silence.
    socket.on('error', ({ code }: NodeJS.ErrnoException) =>
      settle(code === 'ECONNREFUSED' || code === 'ECONNRESET' ? 'refused' : 'unanswered'),
    );
    // Reads, or it would hear of neither.
    socket.resume();
  });
}
