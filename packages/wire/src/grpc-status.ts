/** Adapter: errors as grpc-js statuses with our trailer, and back. */
import { Metadata } from '@grpc/grpc-js';
import type { CallMetadata } from '@sluice/base';
import { SluiceError } from '@sluice/base';
import {
  decodeErrorTrailer,
  encodeErrorTrailer,
  errorTrailer,
  foreignError,
  grpcStatus,
  statusOf,
} from './error-detail.ts';

export interface GrpcStatus {
  readonly code: number;
  readonly details: string;
  readonly metadata: Metadata;
}

const statusTextCharactersMax = 1_024;

export function statusFromError(error: SluiceError): GrpcStatus {
  const metadata = new Metadata();
  for (const chunk of encodeErrorTrailer(error)) metadata.add(errorTrailer, Buffer.from(chunk));
  return { code: statusOf(error), details: error.message.slice(0, statusTextCharactersMax), metadata };
}

/** The error of a call that had a connection; undefined for success. */
export function errorFromStatus(status: GrpcStatus): SluiceError | undefined {
  if (status.code === grpcStatus.OK) return undefined;
  const [trailer] = status.metadata.get(errorTrailer);
  const sent = trailer === undefined || typeof trailer === 'string' ? undefined : decodeErrorTrailer(trailer);
  if (sent !== undefined) return sent;
  // Our servers put a trailer on every failure of their own, and we did not cancel: the connection broke.
  if (status.code === grpcStatus.CANCELLED || status.code === grpcStatus.INTERNAL) {
    return new SluiceError('CONNECTION_LOST', { details: { grpcStatus: status.code, text: status.details } });
  }
  return foreignError(status.code, status.details);
}

export function metadataFrom(entries: CallMetadata | undefined): Metadata {
  const metadata = new Metadata();
  for (const [key, value] of Object.entries(entries ?? {})) metadata.set(key, value);
  return metadata;
}

export function textMetadata(metadata: Metadata): CallMetadata {
  const texts: Record<string, string> = {};
  for (const [key, value] of Object.entries(metadata.getMap())) if (typeof value === 'string') texts[key] = value;
  return texts;
}
