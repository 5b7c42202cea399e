import type { Result } from '../src/result.ts';

/** The value of a result that must be good. */
export function unwrap<Value>(result: Result<Value>): Value {
  if (!result.ok) throw new Error(`unexpected problem: ${result.problem.message}`);
  return result.value;
}

/** The sentence of a result that must be bad. */
export function sentenceOf(result: Result<unknown>): string {
  if (result.ok) throw new Error('unexpected success');
  return result.problem.message;
}
