/**
 * `node scripts/build.ts OUT`: the command and what it depends on as a tree of JavaScript, for the image. Needs Node 24
 * and nothing installed. OUT must not exist. Three parts, so that each layer of the image depends on as little as it can:
 *
 * - `OUT/manifests`: what the dependencies are installed from: package.json of each package, lockfile, workspace. Not the
 *   root's package.json, which has the tools of the checkout.
 * - `OUT/code`: everything that runs, and `bin/sluice`. It goes over the manifests.
 * - `OUT/data`: an empty data directory.
 */
import { cpSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { builtJavaScript, builtManifest, builtName, closureOf } from './built-javascript.ts';
import { isTestCode, root } from './repository-files.ts';

const command = '@sluice/cli';

/** Beside the packages, at the same place in the tree. */
const copied = ['proto', 'deploy/health-check.mjs', 'LICENSE'];

const folderOf = (name: string): string => name.replace('@sluice/', 'packages/');

const read = (file: string): string => readFileSync(path.join(root, file), 'utf8');

/** Returns the number of files of code. Throws when a source cannot be built. */
export function build(out: string): number {
  mkdirSync(path.dirname(path.resolve(out)), { recursive: true });
  mkdirSync(out);
  const folders = closureOf(command, (name) => read(`${folderOf(name)}/package.json`)).map(folderOf);
  writeManifests(path.join(out, 'manifests'), folders);
  const sources = folders.flatMap(sourcesOf);
  writeCode(path.join(out, 'code'), sources);
  mkdirSync(path.join(out, 'data'));
  return sources.length;
}

function writeManifests(out: string, folders: readonly string[]): void {
  for (const folder of folders)
    write(path.join(out, folder, 'package.json'), builtManifest(read(`${folder}/package.json`)));
  for (const file of ['pnpm-lock.yaml', 'pnpm-workspace.yaml']) write(path.join(out, file), read(file));
}

/** Sources and plain JavaScript of a package, from the root. */
function sourcesOf(folder: string): string[] {
  return ['src', 'bin'].flatMap((part) => {
    const names = readdirSync(path.join(root, folder), { withFileTypes: true }).some(({ name }) => name === part)
      ? readdirSync(path.join(root, folder, part), { recursive: true, encoding: 'utf8' })
      : [];
    const files = names.map((name) => `${folder}/${part}/${name.replaceAll(path.sep, '/')}`);
    return files.filter((file) => /\.(?:ts|mjs)$/.test(file) && !isTestCode(file) && !file.includes('/testdata/'));
  });
}

function writeCode(out: string, files: readonly string[]): void {
  const known = new Set(files);
  for (const file of files) {
    if (file.endsWith('.ts')) {
      write(
        path.join(out, builtName(file)),
        builtJavaScript(file, read(file), (each) => known.has(each)),
      );
    } else {
      copy(file, out);
    }
  }
  for (const file of copied) copy(file, out);
  mkdirSync(path.join(out, 'bin'));
  symlinkSync('../packages/cli/bin/sluice.mjs', path.join(out, 'bin', 'sluice'));
}

/** With its mode: the command can be executed. */
function copy(file: string, out: string): void {
  const target = path.join(out, file);
  mkdirSync(path.dirname(target), { recursive: true });
  cpSync(path.join(root, file), target, { recursive: true });
}

function write(file: string, text: string): void {
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(file, text);
}

if (import.meta.main) {
  const [out, ...rest] = process.argv.slice(2);
  if (out === undefined || rest.length > 0) {
    console.error('usage: node scripts/build.ts OUT');
    process.exitCode = 2;
  } else {
    console.error(`build: ${build(out)} files of code in ${out}`);
  }
}
