/**
 * Replays `testdata/*.txt`: lines that begin with `> ` are commands of `Interaction`, `#` comments, and what lies
 * between is everything that a command caused. UPDATE_TRANSCRIPTS=1 rewrites the files; keep only what you understand.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { Interaction } from './interaction.ts';

const folder = new URL('../testdata/', import.meta.url);
const isUpdate = process.env['UPDATE_TRANSCRIPTS'] === '1';

function replay(text: string): string {
  const interaction = new Interaction();
  const lines: string[] = [];
  for (const line of text.split('\n')) {
    if (line.startsWith('> ')) lines.push(line, ...interaction.run(line.slice(2).trim()).map((out) => `  ${out}`));
    else if (line === '' || line.startsWith('#')) lines.push(line);
  }
  return lines.join('\n');
}

describe('transcripts', () => {
  const names = readdirSync(folder).filter((name) => name.endsWith('.txt'));

  test('there are some', () => {
    expect(names.length).toBeGreaterThan(10);
  });

  test.each(names)('%s', (name) => {
    const file = new URL(name, folder);
    const expected = readFileSync(file, 'utf8');
    const actual = replay(expected);
    if (isUpdate) writeFileSync(file, actual);
    expect(isUpdate ? readFileSync(file, 'utf8') : expected).toBe(actual);
  });
});
