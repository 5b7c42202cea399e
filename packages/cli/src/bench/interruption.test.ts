import { expect, test } from 'vitest';
import { orInterrupted } from './interruption.ts';

test('an interruption ends the wait at once, also for work that never ends', async () => {
  const stop = new AbortController();
  const wait = orInterrupted(new Promise<void>(() => undefined), stop.signal);
  stop.abort();
  await expect(wait).rejects.toMatchObject({ code: 'CANCELLED' });
  await expect(orInterrupted(Promise.resolve(1), stop.signal)).rejects.toMatchObject({ code: 'CANCELLED' });
});

test('work that fails or ends first decides', async () => {
  const { signal } = new AbortController();
  await expect(orInterrupted(Promise.resolve(1), signal)).resolves.toBe(1);
  await expect(orInterrupted(Promise.reject(new Error('why')), signal)).rejects.toThrow('why');
});
