import type { ErrorCode } from '@sluice/base';
import { SluiceError } from '@sluice/base';

/**
 * Which rule was broken, for callers that branch on it:
 * `cut-off` (fewer bytes than the length field says), `length` (an impossible length, or bytes left over), `magic`,
 * `crc`, `range` (a number beyond 2^53 or out of its bounds), `count`, `attributes`, `sequence`, `size` (over the
 * limit), `compression`, `record` (the records themselves do not parse).
 */
export type BatchRule =
  | 'cut-off'
  | 'length'
  | 'magic'
  | 'crc'
  | 'range'
  | 'count'
  | 'attributes'
  | 'sequence'
  | 'size'
  | 'compression'
  | 'record';

/** What is wrong with a batch or a record: an expected outcome, returned and never thrown. */
export interface BatchProblem {
  readonly code: Extract<ErrorCode, 'CORRUPT_BATCH' | 'INVALID_BATCH' | 'RECORD_TOO_LARGE'>;
  readonly rule: BatchRule;
  /** A sentence with the values found. */
  readonly message: string;
}

export interface Success<Value> {
  readonly ok: true;
  readonly value: Value;
}

export interface Failure {
  readonly ok: false;
  readonly problem: BatchProblem;
}

export type Result<Value> = Success<Value> | Failure;

export const success = <Value>(value: Value): Success<Value> => ({ ok: true, value });

export const failure = (code: BatchProblem['code'], rule: BatchRule, message: string): Failure => ({
  ok: false,
  problem: { code, rule, message },
});

/** The problem as the error that callers of an API meet. */
export const batchError = (problem: BatchProblem, details: Readonly<Record<string, unknown>> = {}): SluiceError =>
  new SluiceError(problem.code, { message: problem.message, details: { rule: problem.rule, ...details } });
