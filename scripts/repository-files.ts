/** The repository's own files, as the rules see them. */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export interface RepositoryFile {
  /** From the root, with forward slashes. */
  readonly path: string;
  readonly text: string;
}

export const root = fileURLToPath(new URL('..', import.meta.url));

const skippedFolders = new Set(['node_modules', '.git', '.tmp', 'coverage']);
const textFile = /(?:\.(?:ts|mjs|js|json|md|yaml|yml|proto|sh|txt|svg|toml)|\/(?:run|Dockerfile|LICENSE|\.gitignore))$/;

/** Every text file below the root but the lockfile, in a stable order. */
export function readRepository(): RepositoryFile[] {
  const entries = readdirSync(root, { withFileTypes: true }).flatMap((entry) =>
    walk(root, entry.name, entry.isDirectory()),
  );
  return entries
    .filter((file) => textFile.test(`/${file}`) && file !== 'pnpm-lock.yaml')
    .sort()
    .map((file) => ({ path: file, text: readFileSync(path.join(root, file), 'utf8') }));
}

function walk(folder: string, name: string, isFolder: boolean): string[] {
  const full = path.join(folder, name);
  if (!isFolder) return [path.relative(root, full).replaceAll(path.sep, '/')];
  if (skippedFolders.has(name)) return [];
  return readdirSync(full, { withFileTypes: true }).flatMap((entry) => walk(full, entry.name, entry.isDirectory()));
}

/** `packages/raft/src/log.ts` is `{ name: 'raft', file: 'log.ts' }`; a file outside any package's `src` is undefined. */
export function packageOf(file: string): { readonly name: string; readonly file: string } | undefined {
  const match = /^packages\/([^/]+)\/src\/(.+)$/.exec(file);
  return match?.[1] === undefined || match[2] === undefined ? undefined : { name: match[1], file: match[2] };
}

export const isSource = (file: string): boolean => /\.(?:ts|mjs)$/.test(file) && !file.includes('/testdata/');

export const isTest = (file: string): boolean => file.endsWith('.test.ts');

/** Suites that a port's implementations run (`-conformance.ts`) and what tests share (`.testing.ts`) are test code too. */
export const isTestCode = (file: string): boolean => isTest(file) || /(?:-conformance|\.testing)\.ts$/.test(file);
