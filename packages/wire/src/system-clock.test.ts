import { expect, test } from 'vitest';
import { SystemClock } from './system-clock.ts';
import { systemRandom } from './system-random.ts';

const clock = new SystemClock();

test('a timer never fires early, not even by a fraction of a millisecond', async () => {
  const early: number[] = [];
  await Promise.all(
    Array.from({ length: 40 }, (_, index) => {
      const delayMs = 1 + index / 7;
      const startedMs = clock.monotonicMs();
      return new Promise<void>((resolve) => {
        clock.setTimer(delayMs, () => {
          if (clock.monotonicMs() - startedMs < delayMs) early.push(delayMs);
          resolve();
        });
      });
    }),
  );
  expect(early).toEqual([]);
});

test('a timer of a month does not fire at once, and a cancelled one never', async () => {
  const fired: string[] = [];
  const month = clock.setTimer(30 * 86_400_000, () => fired.push('month'));
  const cancelled = clock.setTimer(1, () => fired.push('cancelled'));
  cancelled.cancel();
  cancelled.cancel();
  await new Promise<void>((resolve) => clock.setTimer(20, resolve));
  month.cancel();
  expect(fired).toEqual([]);
});

test('deferred work comes after what is ready now', async () => {
  const order: string[] = [];
  await new Promise<void>((resolve) => {
    clock.defer(() => {
      order.push('deferred');
      resolve();
    });
    queueMicrotask(() => order.push('microtask'));
    order.push('now');
  });
  expect(order).toEqual(['now', 'microtask', 'deferred']);
});

test('identities and numbers of two generators differ', () => {
  const [one, other] = [systemRandom(), systemRandom()];
  expect(one.identity()).toMatch(/^[0-9a-f]{32}$/);
  expect(one.identity()).not.toBe(other.identity());
  const draws = (random: typeof one): number[] => Array.from({ length: 4 }, () => random.nextUint32());
  expect(draws(one)).not.toEqual(draws(other));
  expect(draws(one.fork('a'))).not.toEqual(draws(one.fork('a')));
  expect(one.below(5)).toBeLessThan(5);
});
