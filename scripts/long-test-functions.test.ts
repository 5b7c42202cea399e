import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, test } from 'vitest';
import { longTestFunctions } from './long-test-functions.ts';

test('a test of 71 lines is found, a describe of any length is not', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'sluice-long-'));
  try {
    const body = 'f();\n'.repeat(70);
    writeFileSync(
      path.join(folder, 'a.test.ts'),
      `describe('x', () => {\n${body}\n  test('y', () => {\n${body}});\n});\n`,
    );
    writeFileSync(path.join(folder, 'b.test.ts'), `test('y', () => {\n${'f();\n'.repeat(60)}});\n`);
    writeFileSync(path.join(folder, 'c.ts'), `export function c() {\n${body}}\n`);
    expect(longTestFunctions(folder)).toEqual(['a.test.ts:73']);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
