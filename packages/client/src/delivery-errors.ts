/** How the failure of one attempt, or of the last one, is told to the caller. */
import type { ErrorCode } from '@sluice/base';
import { SluiceError } from '@sluice/base';

/** The same error with what is known now about its effect. */
export const withDefinite = (error: SluiceError, definite: boolean): SluiceError =>
  error.definite === definite ? error : restated(error, definite, {});

/** The same error with facts added. */
export const withDetails = (error: SluiceError, details: Readonly<Record<string, unknown>>): SluiceError =>
  restated(error, error.definite, details);

const restated = (error: SluiceError, definite: boolean, details: Readonly<Record<string, unknown>>): SluiceError =>
  new SluiceError(error.code, {
    message: error.message,
    details: { ...error.details, ...details },
    retry: error.retry,
    definite,
    cause: error.cause,
  });

/** Whatever broke a stream: what was sent on it may have arrived. */
export const connectionLost = (error: SluiceError | undefined): SluiceError =>
  error?.code === 'CONNECTION_LOST'
    ? error
    : new SluiceError('CONNECTION_LOST', {
        message: `The stream ended before the answer came: ${error?.message ?? 'the node closed it'}`,
        cause: error,
      });

export function expired(definite: boolean, deliveryTimeoutMs: number, last: SluiceError | undefined): SluiceError {
  const reason = last?.message.replace(/\.$/, '') ?? '';
  const why = last === undefined ? 'it was never sent' : `the last attempt failed with ${last.code}: ${reason}`;
  const code: ErrorCode = definite ? 'EXPIRED' : 'TIMEOUT';
  const end = definite ? 'It had no effect.' : 'It may or may not be in the log.';
  const message = `Not delivered within ${deliveryTimeoutMs} ms; ${why}. ${end}`;
  const details = last === undefined ? {} : { lastCode: last.code };
  return new SluiceError(code, { message, cause: last, details });
}

/** Errors of a stream that no other attempt can change. */
export const isRefusal = (error: SluiceError | undefined): error is SluiceError =>
  error !== undefined && refusals.has(error.code);

const refusals: ReadonlySet<ErrorCode> = new Set(['PERMISSION_DENIED', 'UNKNOWN_METHOD', 'UNSUPPORTED_VERSION']);

/** Sent again by an idempotent producer: the answer, or the server's word for it, is still to come. */
export const isRetriable = (error: SluiceError): boolean => error.retryable || error.code === 'TIMEOUT';
