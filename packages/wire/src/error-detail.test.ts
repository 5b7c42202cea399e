import type { ErrorCode } from '@sluice/base';
import { errorTable, SluiceError } from '@sluice/base';
import { expect, test } from 'vitest';
import {
  decodeError,
  decodeErrorTrailer,
  encodeError,
  encodeErrorTrailer,
  foreignError,
  grpcStatus,
  statusOf,
  statusText,
} from './error-detail.ts';

const codes = Object.keys(errorTable) as ErrorCode[];

test('every code survives the wire with its sentence, class and facts, and has a status', () => {
  for (const code of codes) {
    const error = new SluiceError(code, { details: { topic: 'a', partition: 3 } });
    const bytes = Buffer.concat(encodeErrorTrailer(error));
    const decoded = decodeErrorTrailer(bytes);
    expect(decoded?.toJSON()).toEqual(error.toJSON());
    expect(decoded?.retry).toBe(error.retry);
    expect(statusOf(error)).toBeGreaterThan(0);
  }
});

test('a code of a newer server keeps the retry class and definiteness that the server sent', () => {
  const error = decodeError({
    code: 'QUOTA_EXHAUSTED',
    message: 'Later.',
    retry: 'backoff',
    definite: true,
    detailsJson: '{"waitMs":5}',
  });
  expect(error).toMatchObject({ code: 'INTERNAL', retry: 'backoff', definite: true, message: 'Later.' });
  expect(error.details).toEqual({ code: 'QUOTA_EXHAUSTED', waitMs: 5 });
});

test('overrides of the table by the server win, and a retry class nobody knows is not retried', () => {
  const detail = encodeError(new SluiceError('LIMIT_EXCEEDED', { retry: 'never', definite: false }));
  expect(decodeError(detail)).toMatchObject({ code: 'LIMIT_EXCEEDED', retry: 'never', definite: false });
  expect(decodeError({ ...detail, retry: 'tomorrow' }).retry).toBe('never');
});

test('facts that do not parse, and texts that are too long, cost nothing but themselves', () => {
  const detail = encodeError(new SluiceError('NOT_LEADER'));
  for (const detailsJson of ['{', '[]', '7', 'null'])
    expect(decodeError({ ...detail, detailsJson }).details).toEqual({});
  const long = encodeError(
    new SluiceError('INTERNAL', { message: 'x'.repeat(1e6), details: { text: 'y'.repeat(1e6) } }),
  );
  expect(Buffer.concat(encodeErrorTrailer(decodeError(long))).length).toBeLessThan(4_000);
});

test('a trailer that is not ours says nothing', () => {
  expect(decodeErrorTrailer(new Uint8Array([255, 255]))).toBeUndefined();
  expect(decodeErrorTrailer(new Uint8Array())).toBeUndefined();
});

test('a status without our trailer maps to what it means when nobody of ours sent it', () => {
  const code = (status: number): string => foreignError(status, 'text').code;
  expect(code(grpcStatus.UNAVAILABLE)).toBe('CONNECTION_LOST');
  expect(code(grpcStatus.DEADLINE_EXCEEDED)).toBe('TIMEOUT');
  expect(code(grpcStatus.UNIMPLEMENTED)).toBe('UNKNOWN_METHOD');
  expect(code(grpcStatus.UNAUTHENTICATED)).toBe('PERMISSION_DENIED');
  expect(code(grpcStatus.UNKNOWN)).toBe('INTERNAL');
  expect(code(99)).toBe('INTERNAL');
  expect(foreignError(grpcStatus.RESOURCE_EXHAUSTED, '').retryable).toBe(false);
  for (const status of Object.values(grpcStatus)) expect(foreignError(status, '').retry).not.toBe('same');
});

test('a sentence is cut for its header without leaving half of a character', () => {
  const text = statusText(new SluiceError('INTERNAL', { message: `${'a'.repeat(1_023)}\u{1f600}` }));
  expect([text.length, encodeURI(text).slice(1_023)]).toEqual([1_024, '%EF%BF%BD']);
});
