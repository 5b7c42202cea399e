/** The search against a naive one that tries every order, and the sizes that it is meant for. */
import { SeededRandom } from '@sluice/base';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { checkLinearizable } from './linearizability.ts';
import type { Model, Operation } from './linearizability.ts';

/** A register: `write n` and `read`. */
const register: Model<number, number | 'read', number> = {
  initial: 0,
  step: (state, request, answer) => {
    if (request !== 'read') return request;
    return answer === undefined || answer === state ? state : undefined;
  },
  text: String,
};

type RegisterOperation = Operation<number | 'read', number>;

/** Every order, and every choice of those in doubt that took effect. */
function naive(operations: readonly RegisterOperation[], state = 0): boolean {
  if (operations.every(({ returnedAt }) => returnedAt === Number.POSITIVE_INFINITY)) return true;
  return operations.some((operation, at) => {
    if (operations.some((other) => other !== operation && other.returnedAt < operation.calledAt)) return false;
    const after = register.step(state, operation.request, operation.answer);
    return after !== undefined && naive(operations.toSpliced(at, 1), after);
  });
}

const operation: fc.Arbitrary<RegisterOperation> = fc
  .record({
    isRead: fc.boolean(),
    value: fc.nat(2),
    calledAt: fc.nat(12),
    lasts: fc.nat(6),
    isInDoubt: fc.boolean(),
  })
  .map(({ isRead, value, calledAt, lasts, isInDoubt }) => ({
    request: isRead ? 'read' : value,
    answer: isInDoubt || !isRead ? undefined : value,
    calledAt,
    returnedAt: isInDoubt ? Number.POSITIVE_INFINITY : calledAt + lasts,
  }));

test('agrees with the naive search', () => {
  const outcomes = new Set<string>();
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 7 }), (operations) => {
      const expected = naive(operations) ? 'linearizable' : 'not-linearizable';
      outcomes.add(expected);
      expect(checkLinearizable(register, operations).outcome).toBe(expected);
    }),
    { numRuns: 5000 },
  );
  expect(outcomes.size).toBe(2);
});

/** Operations of `clients` clients on a real register, each taking effect somewhere between call and return. */
function recorded(seed: number, count: number, clients: number): RegisterOperation[] {
  const random = new SeededRandom(seed);
  let value = 0;
  return Array.from({ length: count }, (_, at): RegisterOperation => {
    const isRead = random.below(2) === 0;
    if (!isRead) value = at;
    const [calledAt, returnedAt] = [at - random.below(clients), at + random.below(clients)];
    return { request: isRead ? 'read' : at, answer: isRead ? value : undefined, calledAt, returnedAt };
  });
}

test('a thousand operations of five clients are decided, and one stale read among them is found', () => {
  const operations = recorded(1, 1000, 5);
  expect(checkLinearizable(register, operations)).toEqual({ outcome: 'linearizable' });
  const stale: RegisterOperation = { request: 'read', answer: 10, calledAt: 500, returnedAt: 501 };
  const found = checkLinearizable(register, [...operations, stale]);
  expect(found).toEqual({
    outcome: 'not-linearizable',
    stuck: expect.arrayContaining([operations.length]) as number[],
  });
});

test('a search that takes too long says so', () => {
  expect(checkLinearizable(register, recorded(1, 100, 10), 10)).toEqual({ outcome: 'unknown' });
});
