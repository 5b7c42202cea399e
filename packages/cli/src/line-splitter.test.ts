import fc from 'fast-check';
import { expect, test } from 'vitest';
import { isOverlong, linesOf } from './line-splitter.ts';

async function* cut(bytes: Uint8Array, sizes: readonly number[]): AsyncGenerator<Uint8Array> {
  let at = 0;
  for (let turn = 0; at < bytes.length; turn += 1) {
    const size = Math.max(1, sizes[turn % sizes.length] ?? 1);
    yield bytes.subarray(at, at + size);
    at += size;
    await Promise.resolve();
  }
}

async function lines(
  input: string | Uint8Array,
  sizes: readonly number[] = [1 << 16],
  bytesMax = 1 << 20,
): Promise<string[]> {
  const found: string[] = [];
  for await (const gathered of linesOf(cut(Buffer.from(input), sizes), bytesMax)) {
    for (const line of gathered) {
      found.push(isOverlong(line) ? `over ${line.overlongBytes}` : Buffer.from(line).toString('latin1'));
    }
  }
  return found;
}

test.each([
  ['', []],
  ['\n', ['']],
  ['a', ['a']],
  ['a\n', ['a']],
  ['a\r\nb', ['a\r', 'b']],
  ['\n\na\n\n', ['', '', 'a', '']],
])('%j', async (input, expected) => {
  expect(await lines(input)).toEqual(expected);
  expect(await lines(input, [1])).toEqual(expected);
});

test('whatever the chunks, joining the lines gives the input back', async () => {
  const text = fc
    .array(fc.constantFrom('a', '\n', '\r', '\xe9'), { maxLength: 200 })
    .map((letters) => letters.join(''));
  await fc.assert(
    fc.asyncProperty(text, fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1 }), async (input, sizes) => {
      const bytes = Buffer.from(input, 'latin1');
      const found = await lines(bytes, sizes);
      const whole = input === '' || input.endsWith('\n') ? input : `${input}\n`;
      expect(found.map((line) => `${line}\n`).join('')).toBe(whole);
    }),
  );
});

test('a line over the limit is reported in its place and costs no memory', async () => {
  const input = `short\n${'x'.repeat(5000)}\nnext\n${'y'.repeat(11)}`;
  for (const sizes of [[1], [7], [100], [1 << 16]]) {
    expect(await lines(input, sizes, 10)).toEqual(['short', 'over 5000', 'next', 'over 11']);
  }
  expect(await lines('exactly 10\n', [3], 10)).toEqual(['exactly 10']);
});

test('a line of 64 MiB in small chunks takes linear time', async () => {
  async function* chunks(): AsyncGenerator<Uint8Array> {
    const chunk = new Uint8Array(1 << 16).fill(0x61);
    for (let count = 0; count < 1024; count += 1) yield await Promise.resolve(chunk);
  }
  let bytes = 0;
  for await (const gathered of linesOf(chunks(), 1 << 27))
    for (const line of gathered) if (!isOverlong(line)) bytes += line.length;
  expect(bytes).toBe(64 * 1024 * 1024);
});
