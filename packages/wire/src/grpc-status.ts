/** Adapter: errors as grpc-js statuses with our trailer, and back. */
import { Metadata } from '@grpc/grpc-js';
import type { CallMetadata, SluiceError } from '@sluice/base';

import { encodeErrorTrailer, errorTrailer, statusError, statusOf, statusText } from './error-detail.ts';

export interface GrpcStatus {
  readonly code: number;
  readonly details: string;
  readonly metadata: Metadata;
}

export function statusFromError(error: SluiceError): GrpcStatus {
  const metadata = new Metadata();
  for (const chunk of encodeErrorTrailer(error)) metadata.add(errorTrailer, Buffer.from(chunk));
  return { code: statusOf(error), details: statusText(error), metadata };
}

/** The error of a call that had a connection; undefined for success. */
export function errorFromStatus(status: GrpcStatus): SluiceError | undefined {
  const [trailer] = status.metadata.get(errorTrailer);
  return statusError(status.code, status.details, typeof trailer === 'string' ? undefined : trailer);
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
