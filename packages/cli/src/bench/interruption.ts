import { SluiceError } from '@sluice/base';

/** Rejects with `CANCELLED` as soon as `signal` aborts: what cleans up then begins at once, whatever still runs. */
export function orInterrupted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(new SluiceError('CANCELLED', { message: 'Interrupted.', definite: true }));
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort);
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}
