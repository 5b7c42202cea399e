import { expect, test } from 'vitest';
import { paced } from './paced.ts';

test('a record is never sent before it is due, and a late one keeps its due time', async () => {
  const due: number[] = [];
  const early: number[] = [];
  await paced({
    ratePerSecond: 2000,
    isOver: (sent) => sent === 40,
    send: (index, dueMs) => {
      const nowMs = performance.now();
      if (nowMs < dueMs) early.push(index);
      due.push(dueMs);
      // Holds up the records after it.
      if (index === 20) while (performance.now() < nowMs + 10);
      return undefined;
    },
  });
  expect(early).toEqual([]);
  expect(due).toHaveLength(40);
  for (const [at, dueMs] of due.entries()) expect(dueMs - due[0]!).toBeCloseTo(at / 2, 6);
});

test('a send that has no room holds the next one', async () => {
  let inside = 0;
  let most = 0;
  await paced({
    ratePerSecond: 5000,
    isOver: (sent) => sent === 20,
    send: async () => {
      inside += 1;
      most = Math.max(most, inside);
      await new Promise((resolve) => setImmediate(resolve));
      inside -= 1;
    },
  });
  expect(most).toBe(1);
});
