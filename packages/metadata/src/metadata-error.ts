import type { ErrorCode } from '@sluice/base';

/** An expected failure; the shell makes a `SluiceError` of it. */
export interface MetadataError {
  readonly code: ErrorCode;
  readonly message: string;
  readonly details: Readonly<Record<string, unknown>>;
}

export type Failed = { readonly ok: false; readonly error: MetadataError };

/** The `ok: false` arm of a response. */
export const failed = (code: ErrorCode, message: string, details: Readonly<Record<string, unknown>> = {}): Failed => ({
  ok: false,
  error: { code, message, details },
});
