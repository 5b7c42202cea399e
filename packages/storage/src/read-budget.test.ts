import { expect, test } from 'vitest';
import { ExtentList } from './extents.ts';
import { ReadBudget, type ReadLease } from './read-budget.ts';
import { SectionCache } from './section-cache.ts';

const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

/** Readers by name, who hold what they were given until the test ends them. */
function subject(bytesMax: number) {
  const budget = new ReadBudget(bytesMax);
  const given: string[] = [];
  const ends = new Map<string, (result: 'done' | 'over-budget') => void>();
  const leases = new Map<string, ReadLease>();
  const results = new Map<string, Promise<string>>();
  const ask = async (name: string, bytes: number): Promise<void> => {
    const work = (lease: ReadLease): Promise<'done' | 'over-budget'> => {
      given.push(name);
      leases.set(name, lease);
      return new Promise((resolve) => ends.set(name, resolve));
    };
    results.set(name, budget.within(bytes, work));
    await turn();
  };
  const end = async (name: string, result: 'done' | 'over-budget' = 'done'): Promise<void> => {
    ends.get(name)?.(result);
    await turn();
  };
  return { budget, given, leases, ask, end, results };
}

test('B1, B2: readers wait when it is spent, and none is overtaken', async () => {
  const { budget, given, ask, end } = subject(100);
  await ask('a', 60);
  await ask('large', 90);
  await ask('b', 10);
  await ask('c', 40);
  expect([given, budget.bytes, budget.waiting]).toEqual([['a'], 60, 3]);
  await end('a');
  expect([given, budget.bytes]).toEqual([['a', 'large', 'b'], 100]);
  await end('b');
  expect(given).toHaveLength(3);
  await end('large');
  await end('c');
  expect([given, budget.bytes, budget.waiting]).toEqual([['a', 'large', 'b', 'c'], 0, 0]);
});

test('B1: one that needs more than there is gets it, alone', async () => {
  const { budget, given, ask, end } = subject(100);
  await ask('a', 10);
  await ask('huge', 500);
  await ask('b', 10);
  expect(given).toEqual(['a']);
  await end('a');
  expect([given, budget.bytes]).toEqual([['a', 'huge'], 500]);
  await end('huge');
  expect([given, budget.bytes]).toEqual([['a', 'huge', 'b'], 10]);
});

test('B3: more is given at once or not at all; who needs it starts anew, behind those that wait', async () => {
  const { budget, given, leases, ask, end, results } = subject(100);
  await ask('a', 40);
  const first = leases.get('a');
  expect([first?.use(30), first?.leftBytes, first?.use(30), budget.bytes]).toEqual([true, 10, true, 60]);
  await ask('b', 40);
  expect(first?.use(1)).toBe(false);
  await ask('c', 10);
  await end('a', 'over-budget');
  // 61 and 40 are too much, and `c` asked before.
  expect([given, budget.bytes]).toEqual([['a', 'b', 'c'], 50]);
  await end('b');
  expect([given, budget.bytes]).toEqual([['a', 'b', 'c', 'a'], 71]);
  // Not before those who wait, also when there would be room.
  await ask('d', 50);
  expect(leases.get('a')?.use(62)).toBe(false);
  await end('a');
  await end('c');
  await end('d');
  expect([await results.get('a'), budget.bytes]).toEqual(['done', 0]);
});

test('a reader that fails gives back what it held', async () => {
  const budget = new ReadBudget(100);
  await expect(budget.within(100, () => Promise.reject(new Error('no')))).rejects.toThrow('no');
  expect(budget.bytes).toBe(0);
});

function extents(count: number): ExtentList {
  const list = new ExtentList();
  for (let at = 0; at < count; at += 1) {
    list.push({ base: at, end: at + 1, position: at, bytes: 1, headsCrc: 0, maxTimestampMs: 0 });
  }
  return list;
}

test('Y1: indexes that were read stay as long as there is room, the one not used for longest goes first', () => {
  let bytesMax = 100 * 48;
  const cache = new SectionCache(() => bytesMax);
  for (const [fileId, count] of [
    [1, 40],
    [2, 40],
  ] as const) {
    cache.put(fileId, 0, extents(count));
  }
  expect([cache.bytes, cache.get(1, 0)?.length]).toEqual([80 * 48, 40]);
  cache.put(3, 0, extents(30));
  expect([cache.get(1, 0)?.length, cache.get(2, 0), cache.get(3, 0)?.length]).toEqual([40, undefined, 30]);
  cache.put(3, 0, extents(20));
  expect(cache.bytes).toBe(60 * 48);
  cache.put(4, 0, extents(101));
  expect([cache.get(4, 0), cache.bytes]).toEqual([undefined, 60 * 48]);
  bytesMax = 25 * 48;
  cache.shrink();
  expect([cache.get(1, 0), cache.get(3, 0)?.length]).toEqual([undefined, 20]);
  cache.forget(3);
  expect(cache.bytes).toBe(0);
});
