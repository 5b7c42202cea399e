import { expect, test } from 'vitest';
import { splitKey } from './key-separator.ts';

test.each([
  ['k:v', ':', 'k', 'v'],
  ['k:v:w', ':', 'k', 'v:w'],
  [':v', ':', '', 'v'],
  ['k:', ':', 'k', ''],
  ['', ':', null, ''],
  ['no separator', ':', null, 'no separator'],
  ['k=>v', '=>', 'k', 'v'],
  ['schlüsselüwert', 'ü', 'schl', 'sselüwert'],
  ['k:v', undefined, null, 'k:v'],
])('%j split at %j', (line, separator, key, value) => {
  const split = splitKey(Buffer.from(line), separator === undefined ? undefined : Buffer.from(separator));
  expect(split.key === null ? null : Buffer.from(split.key).toString()).toBe(key);
  expect(Buffer.from(split.value).toString()).toBe(value);
});
