/**
 * Writes the pages of `docs/reference/` that are made from tables in the code.
 * `--check` writes nothing and exits 1 when a page is not what its table says; the repository test does the same.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { referencePages } from './reference-pages.ts';
import { root } from './repository-files.ts';

const check = process.argv.includes('--check');

const read = (file: string): string | undefined => {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined; // Not written yet: as different as can be.
  }
};

for (const [name, text] of Object.entries(referencePages)) {
  const file = path.join(root, name);
  if (read(file) === text) continue;
  if (check) {
    console.error(`${name} is not what its table says; run: npm run -s reference`);
    process.exitCode = 1;
  } else {
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(file, text);
    console.error(`wrote ${name}`);
  }
}
