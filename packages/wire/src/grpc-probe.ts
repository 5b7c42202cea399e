/** Adapter: asks the other kernel, with nothing but a TCP connect. */
import { connect } from 'node:net';
import type { Clock, ProbeResult } from '@sluice/base';
import { parseAddress } from '@sluice/base';

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
    const timer = clock.setTimer(timeoutMs, () => settle('unanswered'));
    socket.once('connect', () => settle('open'));
    // Only a refusal is the other kernel's word; a name that is gone or a route that is missing is silence.
    socket.on('error', (error: NodeJS.ErrnoException) =>
      settle(error.code === 'ECONNREFUSED' ? 'refused' : 'unanswered'),
    );
  });
}
