/**
 * Adapter: asks the other end of an HTTP/2 connection now and then whether it is there, and ends the connection when it
 * does not answer in time.
 */
import type { Http2Session } from 'node:http2';
import type { Clock } from '@sluice/base';
import { keepaliveTimeMs, keepaliveTimeoutMs } from './grpc-options.ts';

export function keepAlive(session: Http2Session, clock: Clock): void {
  const pause = (): void => {
    timer = clock.setTimer(keepaliveTimeMs, ping);
  };
  const ping = (): void => {
    if (session.destroyed) return;
    let isAnswered = false;
    // A process that was paused finds the answer behind its own timers: it is read before anybody is judged.
    const judge = (): void => {
      if (!isAnswered) session.destroy();
    };
    timer = clock.setTimer(keepaliveTimeoutMs, () => clock.defer(judge));
    session.ping((error) => {
      isAnswered = true;
      timer.cancel();
      if (error === null && !session.destroyed) pause();
    });
  };
  let timer = clock.setTimer(keepaliveTimeMs, ping);
  session.once('close', () => timer.cancel());
}
