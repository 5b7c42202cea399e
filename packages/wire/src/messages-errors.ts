/** Messages of `proto/sluice/v1/errors.proto`, which documents every field. */

export interface ErrorDetail {
  readonly code: string;
  readonly message: string;
  readonly retry: string;
  readonly definite: boolean;
  readonly detailsJson: string;
}
