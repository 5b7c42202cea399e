/** Errors on the wire: as `ErrorDetail`, and as a gRPC status with the detail in a trailer. Pure. */
import type { ErrorCode, Message, RetryClass, StatusName } from '@sluice/base';
import { errorTable, isErrorCode, SluiceError } from '@sluice/base';
import type { ErrorDetail } from './messages-errors.ts';
import { messageCodec } from './proto-codec.ts';

/** Trailer with the encoded `ErrorDetail`. */
export const errorTrailer = 'sluice-error-bin';

/** Trailers travel in one header block, which peers cap: longer texts are cut, larger facts left out. */
const messageCharactersMax = 1_024;
const detailsCharactersMax = 2_048;

const retryClasses: ReadonlySet<string> = new Set<RetryClass>(['never', 'same', 'refresh-metadata', 'backoff']);
const isRetryClass = (value: string): value is RetryClass => retryClasses.has(value);

const codec = messageCodec<ErrorDetail>('sluice.v1.ErrorDetail');

export function encodeError(error: SluiceError): ErrorDetail {
  const details = Object.keys(error.details).length === 0 ? '' : JSON.stringify(error.details);
  return {
    code: error.code,
    message: error.message.slice(0, messageCharactersMax),
    retry: error.retry,
    definite: error.definite,
    detailsJson: details.length > detailsCharactersMax ? '' : details,
  };
}

/** A code this side does not know becomes `INTERNAL` with the sender's retry class, and the code in `details.code`. */
export function decodeError(detail: ErrorDetail): SluiceError {
  const details = parseDetails(detail.detailsJson);
  const known = isErrorCode(detail.code);
  return new SluiceError(known ? detail.code : 'INTERNAL', {
    ...(detail.message === '' ? {} : { message: detail.message }),
    details: known ? details : { ...details, code: detail.code },
    // A retry class that is not known is not retried (design §6).
    retry: isRetryClass(detail.retry) ? detail.retry : 'never',
    definite: detail.definite,
  });
}

function parseDetails(json: string): Readonly<Record<string, unknown>> {
  if (json === '') return {};
  try {
    const parsed: unknown = JSON.parse(json);
    return typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed) ? { ...parsed } : {};
  } catch {
    // Facts for programs that do not parse are no facts; code and sentence still hold.
    return {};
  }
}

export const encodeErrorTrailer = (error: SluiceError): Message => codec.encode(encodeError(error));

/** The error in a trailer, or undefined when the bytes are none. */
export function decodeErrorTrailer(bytes: Uint8Array): SluiceError | undefined {
  try {
    const detail = codec.decode([bytes]);
    return detail.code === '' ? undefined : decodeError(detail);
  } catch {
    // Whoever sends this is not one of ours: the status alone decides.
    return undefined;
  }
}

/** Numbers of the gRPC protocol. */
export const grpcStatus: Readonly<Record<StatusName | 'OK' | 'UNKNOWN' | 'UNAUTHENTICATED', number>> = {
  OK: 0,
  CANCELLED: 1,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  ABORTED: 10,
  OUT_OF_RANGE: 11,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  DATA_LOSS: 15,
  UNAUTHENTICATED: 16,
};

const statusTextCharactersMax = 1_024;

/** The sentence as a status carries it. A cut must not leave half of a character, which no header can hold. */
export const statusText = (error: SluiceError): string =>
  error.message.slice(0, statusTextCharactersMax).toWellFormed();

/** The error of a call that had a connection; undefined for success. */
export function statusError(code: number, text: string, trailer: Uint8Array | undefined): SluiceError | undefined {
  if (code === grpcStatus.OK) return undefined;
  const sent = trailer === undefined ? undefined : decodeErrorTrailer(trailer);
  if (sent !== undefined) return sent;
  // Our servers put a trailer on every failure of their own, and we did not cancel: the connection broke.
  if (code === grpcStatus.CANCELLED || code === grpcStatus.INTERNAL) {
    return new SluiceError('CONNECTION_LOST', { details: { grpcStatus: code, text } });
  }
  return foreignError(code, text);
}

export const statusOf = (error: SluiceError): number => grpcStatus[errorTable[error.code].status];

/** What a status without our trailer means: it comes from a library or a proxy in between, not from a handler. */
const foreignCodes: ReadonlyMap<number, ErrorCode> = new Map([
  [grpcStatus.CANCELLED, 'CANCELLED'],
  [grpcStatus.INVALID_ARGUMENT, 'INVALID_REQUEST'],
  [grpcStatus.DEADLINE_EXCEEDED, 'TIMEOUT'],
  [grpcStatus.PERMISSION_DENIED, 'PERMISSION_DENIED'],
  [grpcStatus.UNAUTHENTICATED, 'PERMISSION_DENIED'],
  [grpcStatus.RESOURCE_EXHAUSTED, 'LIMIT_EXCEEDED'],
  [grpcStatus.FAILED_PRECONDITION, 'INVALID_REQUEST'],
  [grpcStatus.OUT_OF_RANGE, 'INVALID_REQUEST'],
  [grpcStatus.UNIMPLEMENTED, 'UNKNOWN_METHOD'],
  [grpcStatus.UNAVAILABLE, 'CONNECTION_LOST'],
] satisfies [number, ErrorCode][]);

export function foreignError(status: number, text: string): SluiceError {
  const code = foreignCodes.get(status) ?? 'INTERNAL';
  const details = { grpcStatus: status };
  // Sizes are the usual cause, and a request does not shrink by waiting.
  const retry = code === 'LIMIT_EXCEEDED' ? { retry: 'never' as const } : {};
  return new SluiceError(code, { ...(text === '' ? {} : { message: text }), details, ...retry });
}
