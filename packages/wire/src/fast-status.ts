/** Adapter: the end of a call on the fast lane, as the headers that gRPC asks for, and what they mean. */
import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http2';
import { constants } from 'node:http2';
import type { SluiceError } from '@sluice/base';
import { encodeErrorTrailer, errorTrailer, grpcStatus, statusError, statusOf, statusText } from './error-detail.ts';

export interface FastStatus {
  readonly code: number;
  readonly text: string;
  readonly trailer?: Uint8Array;
}

export const okStatus: FastStatus = { code: grpcStatus.OK, text: 'OK' };

export const statusOfError = (error: SluiceError): FastStatus => ({
  code: statusOf(error),
  text: statusText(error),
  trailer: Buffer.concat(encodeErrorTrailer(error)),
});

export function statusHeaders({ code, text, trailer }: FastStatus): OutgoingHttpHeaders {
  const headers: OutgoingHttpHeaders = { 'grpc-status': code, 'grpc-message': encodeURI(text) };
  if (trailer !== undefined) headers[errorTrailer] = Buffer.from(trailer).toString('base64');
  return headers;
}

/** The status in trailers, or in headers that are all there is. */
export function statusOfHeaders(headers: IncomingHttpHeaders): FastStatus {
  const code = headers['grpc-status'];
  if (code === undefined) return statusOfHttp(Number(headers[':status'] ?? 200));
  const text = headers['grpc-message'];
  const sent = headers[errorTrailer];
  return {
    code: Number(code),
    text: typeof text === 'string' ? decoded(text) : '',
    ...(typeof sent === 'string' ? { trailer: Buffer.from(sent, 'base64') } : {}),
  };
}

/** A call that ended without a status: what the reason of the reset, and the HTTP status before it, mean. */
export function statusOfReset(resetCode: number | undefined, httpStatus: number | undefined): FastStatus {
  const text = `The call was reset with code ${resetCode}.`;
  switch (resetCode) {
    case constants.NGHTTP2_NO_ERROR:
      return httpStatus === undefined || httpStatus === 200
        ? { code: grpcStatus.INTERNAL, text }
        : statusOfHttp(httpStatus);
    case constants.NGHTTP2_ENHANCE_YOUR_CALM:
      return { code: grpcStatus.RESOURCE_EXHAUSTED, text };
    case constants.NGHTTP2_INADEQUATE_SECURITY:
      return { code: grpcStatus.PERMISSION_DENIED, text };
    case constants.NGHTTP2_REFUSED_STREAM:
      return { code: grpcStatus.UNAVAILABLE, text };
    default:
      // Node says this too when the connection broke, so it is never a word of the server.
      return { code: grpcStatus.INTERNAL, text };
  }
}

export const errorOfStatus = ({ code, text, trailer }: FastStatus): SluiceError | undefined =>
  statusError(code, text, trailer);

const httpCodes: ReadonlyMap<number, number> = new Map([
  [400, grpcStatus.INTERNAL],
  [401, grpcStatus.UNAUTHENTICATED],
  [403, grpcStatus.PERMISSION_DENIED],
  [404, grpcStatus.UNIMPLEMENTED],
  [429, grpcStatus.UNAVAILABLE],
  [502, grpcStatus.UNAVAILABLE],
  [503, grpcStatus.UNAVAILABLE],
  [504, grpcStatus.UNAVAILABLE],
]);

export const statusOfHttp = (httpStatus: number): FastStatus => ({
  code: httpCodes.get(httpStatus) ?? grpcStatus.UNKNOWN,
  text: `The call ended without a gRPC status (HTTP ${httpStatus}).`,
});

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    // Somebody else's sentence in somebody else's encoding: better as it is than none.
    return text;
  }
}
