/**
 * `node scripts/build.ts OUT`: the command and what it depends on as a tree of JavaScript, for the image. Needs Node 24
 * and nothing installed. OUT must not exist. Three parts, so that each layer of the image depends on as little as it can:
 *
 * - `OUT/manifests`: what the dependencies are installed from: package.json of each package, lockfile, workspace. Not the
 *   root's package.json, which has the tools of the checkout.
 * - `OUT/code`: everything that runs and nothing else, and `bin/sluice`. It goes over the manifests.
 * - `OUT/data`: an empty data directory.
 */
import { cpSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { builtJavaScript, builtManifest, builtName, closureOf, exportOf, reachedFrom } from './built-javascript.ts';
import { root } from './repository-files.ts';

const command = '@sluice/cli';

/** What its `bin` starts. */
const main = `${command}/main`;

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
  const sources = sourcesOfCommand();
  writeCode(path.join(out, 'code'), sources);
  mkdirSync(path.join(out, 'data'));
  return sources.length;
}

function writeManifests(out: string, folders: readonly string[]): void {
  for (const folder of folders)
    write(path.join(out, folder, 'package.json'), builtManifest(read(`${folder}/package.json`)));
  for (const file of ['pnpm-lock.yaml', 'pnpm-workspace.yaml']) write(path.join(out, file), read(file));
}

/** The launchers of the command, which are plain JavaScript, and every source that they come to. */
function sourcesOfCommand(): string[] {
  const folder = `${folderOf(command)}/bin`;
  const launchers = readdirSync(path.join(root, folder)).map((name) => `${folder}/${name}`);
  const entry = exported(main);
  if (entry === undefined) throw new Error(`there is no ${main}`);
  return [...launchers, ...reachedFrom([entry], { read, exported })];
}

function exported(specifier: string): string | undefined {
  const [, name, below = ''] = /^(@sluice\/[a-z]+)(\/.+)?$/.exec(specifier) ?? [];
  if (name === undefined) return undefined;
  const target = exportOf(read(`${folderOf(name)}/package.json`), `.${below}`);
  return target === undefined ? undefined : path.posix.join(folderOf(name), target);
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
