import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { TranscriptDriver } from './transcript-driver.ts';

/** `# text` is kept; `> command` is run and answered by the lines below it. UPDATE_TRANSCRIPTS=1 writes the answers. */
const folder = join(import.meta.dirname, '..', 'testdata');

function replay(text: string): string {
  const driver = new TranscriptDriver();
  const lines: string[] = [];
  for (const line of text.split('\n')) {
    if (line.startsWith('#')) lines.push('', line);
    if (line.startsWith('> ')) lines.push('', line, driver.run(line.slice(2)));
  }
  return `${lines.join('\n').trim().replaceAll('\n\n#', '\n#')}\n`;
}

for (const file of readdirSync(folder).filter((name) => name.endsWith('.txt'))) {
  test(file, () => {
    const path = join(folder, file);
    const after = replay(readFileSync(path, 'utf8'));
    if (process.env['UPDATE_TRANSCRIPTS'] === '1') writeFileSync(path, after);
    expect(readFileSync(path, 'utf8')).toBe(after);
  });
}
