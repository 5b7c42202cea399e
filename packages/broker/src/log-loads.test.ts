import { expect, test } from 'vitest';
import { loadsMax, LogLoads } from './log-loads.ts';

test('so many logs are read at a time, all of them in the end, in order', async () => {
  const loads = new LogLoads();
  const begun: number[] = [];
  const running: (() => void)[] = [];
  const add = (from: number, count: number): void => {
    for (let number = from; number < from + count; number += 1) {
      loads.add({
        load: () => {
          begun.push(number);
          return new Promise((resolve) => running.push(resolve));
        },
      });
    }
  };
  const finishAll = async (): Promise<void> => {
    while (running.length > 0) {
      expect(running.length).toBeLessThanOrEqual(loadsMax);
      running.shift()?.();
      await Promise.resolve();
      await Promise.resolve();
    }
  };
  add(0, 50);
  expect(begun).toHaveLength(loadsMax);
  await finishAll();
  add(50, 3);
  await finishAll();
  expect(begun).toEqual(Array.from({ length: 53 }, (_, number) => number));
});
