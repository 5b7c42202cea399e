/**
 * Functions of more than 70 lines in test code. Lint cannot tell a `describe` callback, which only groups, from a test that
 * is too long; this runs the one rule over the tests and leaves out what begins with `describe`, and the functions of
 * a port's suite, which are a `describe` with parameters.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { isTestCode } from './repository-files.ts';

const config = {
  plugins: [],
  categories: { correctness: 'off' },
  rules: { 'eslint/max-lines-per-function': ['error', { max: 70, skipBlankLines: true, skipComments: true }] },
};

interface Diagnostic {
  readonly filename: string;
  readonly labels: readonly { readonly span: { readonly line: number } }[];
}

/** `file:line` of each, for the tests below `folder`. */
export function longTestFunctions(folder: string): string[] {
  const temporary = mkdtempSync(path.join(tmpdir(), 'sluice-lint-'));
  try {
    const configFile = path.join(temporary, 'oxlint.json');
    writeFileSync(configFile, JSON.stringify(config));
    const run = spawnSync('oxlint', ['--config', configFile, '--disable-nested-config', '--format', 'json', '.'], {
      cwd: folder,
      encoding: 'utf8',
      maxBuffer: 64 << 20,
    });
    const { diagnostics } = JSON.parse(run.stdout) as { diagnostics: Diagnostic[] };
    return diagnostics.flatMap(({ filename, labels }) => {
      const line = labels[0]?.span.line ?? 0;
      if (!isTestCode(filename)) return [];
      const text = readFileSync(path.join(folder, filename), 'utf8').split('\n')[line - 1] ?? '';
      const grouping = filename.endsWith('-conformance.ts') ? /\bdescribe\b|^(?:export )?function / : /\bdescribe\b/;
      return grouping.test(text) ? [] : [`${filename}:${line}`];
    });
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
}
