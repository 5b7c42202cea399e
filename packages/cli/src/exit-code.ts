import { isSluiceError } from '@sluice/base';

/** What the process ends with. */
export const exitCodes = { done: 0, failed: 1, usage: 2, unreachable: 3, indefinite: 4 } as const;
export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

export function exitCodeOf(thrown: unknown): ExitCode {
  // A fault of the command itself, not an answer about the cluster.
  if (!isSluiceError(thrown)) return exitCodes.failed;
  if (thrown.code === 'UNREACHABLE') return exitCodes.unreachable;
  return thrown.definite ? exitCodes.failed : exitCodes.indefinite;
}

/** The worst of many records: indefinite before failed. */
export const worseExit = (left: ExitCode, right: ExitCode): ExitCode => (left > right ? left : right);
