/** Waiting that can be given up. */
import type { Clock } from '@sluice/base';
import { SluiceError } from '@sluice/base';

export const cancelled = (signal: AbortSignal): SluiceError =>
  new SluiceError('CANCELLED', { message: 'The caller gave up.', cause: signal.reason, definite: true });

/** Calls `onAbort` once if the signal is or gets aborted; the returned function forgets about it. */
export function onAbort(signal: AbortSignal | undefined, run: (error: SluiceError) => void): () => void {
  if (signal === undefined) return () => undefined;
  const listen = (): void => run(cancelled(signal));
  if (signal.aborted) listen();
  else signal.addEventListener('abort', listen, { once: true });
  return () => signal.removeEventListener('abort', listen);
}

/** The promise, or `CANCELLED` if the signal is aborted first; the promise itself goes on. */
export function orAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise;
  return new Promise((resolve, reject) => {
    const forget = onAbort(signal, reject);
    promise.then(resolve, reject).finally(forget);
  });
}

/** Rejects with `CANCELLED` if the signal is aborted first. */
export function pause(clock: Clock, ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = clock.setTimer(ms, () => {
      forget();
      resolve();
    });
    const forget = onAbort(signal, (error) => {
      timer.cancel();
      reject(error);
    });
  });
}

/** True when the promise settled within the time; its outcome is not looked at. */
export function settlesWithin(clock: Clock, ms: number, promise: Promise<unknown>): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = clock.setTimer(ms, () => resolve(false));
    const settled = (): void => {
      timer.cancel();
      resolve(true);
    };
    promise.then(settled, settled);
  });
}
