/** `ErrorDetail` inside the hot messages. Its fields and their numbers are in `proto/sluice/v1/errors.proto`. */
import type { Partially } from './codec.ts';
import type { ErrorDetail } from './messages-errors.ts';
import type { ProtobufReader } from './protobuf-reader.ts';
import type { ProtobufWriter } from './protobuf-writer.ts';
import { boolBytes, textBytes } from './protobuf-writer.ts';

export const errorDetailBytes = (error: Partially<ErrorDetail>): number =>
  textBytes(error.code) +
  textBytes(error.message) +
  textBytes(error.retry) +
  boolBytes(error.definite) +
  textBytes(error.detailsJson);

export function writeErrorDetail(
  writer: ProtobufWriter,
  tag: number,
  error: Partially<ErrorDetail> | null | undefined,
): void {
  if (error === null || error === undefined) return;
  writer.begin(tag, errorDetailBytes(error));
  writer.text(0o12, error.code);
  writer.text(0o22, error.message);
  writer.text(0o32, error.retry);
  writer.bool(0o40, error.definite);
  writer.text(0o52, error.detailsJson);
}

const absent: ErrorDetail = { code: '', message: '', retry: '', definite: false, detailsJson: '' };

export function readErrorDetail(reader: ProtobufReader, before: ErrorDetail | null): ErrorDetail {
  let { code, message, retry, definite, detailsJson } = before ?? absent;
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 0o12) code = reader.text();
    else if (tag === 0o22) message = reader.text();
    else if (tag === 0o32) retry = reader.text();
    else if (tag === 0o40) definite = reader.bool();
    else if (tag === 0o52) detailsJson = reader.text();
    else reader.skip(tag, 5);
  }
  return { code, message, retry, definite, detailsJson };
}
