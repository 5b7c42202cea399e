/** One source file or manifest as the image has it: JavaScript that is the source without its types, and names it so. */
import { stripTypeScriptTypes } from 'node:module';
import path from 'node:path';
import { blankOut } from './source-text.ts';

/** In a text whose strings are blanked: any of them, with its quotes. */
const blankedString = /(['"]) *\1/g;

const relativeSource = /^\.{1,2}\/.*\.ts$/;

/** What a rename of all files leaves behind when a specifier is not a plain string. */
const leftBehind = /\.ts['"`]/;

export const builtName = (file: string): string => file.replace(/\.ts$/, '.js');

/** A string in the code of a source that has lost its types, without its quotes. */
interface CodeString {
  readonly from: number;
  readonly to: number;
  readonly value: string;
}

function stringsOf(text: string): CodeString[] {
  const { code, withStrings } = blankOut(text);
  return [...code.matchAll(blankedString)].map((match) => {
    const from = match.index + 1;
    const to = match.index + match[0].length - 1;
    return { from, to, value: withStrings.slice(from, to) };
  });
}

const besides = (file: string, specifier: string): string => path.posix.join(path.posix.dirname(file), specifier);

/**
 * The types become spaces, so that every line and column is where the source has it: a stack trace of an image fits the
 * sources, and what runs is what was tested. A string that is a relative path of a source names the built file instead,
 * wherever it stands: in an import, an export, or the URL of a worker. Throws when it names a file that is not built.
 */
export function builtJavaScript(file: string, source: string, isBuilt: (file: string) => boolean): string {
  const text = stripTypeScriptTypes(source, { mode: 'strip' });
  let built = '';
  let end = 0;
  for (const { from, to, value } of stringsOf(text)) {
    if (!relativeSource.test(value)) continue;
    const target = besides(file, value);
    if (!isBuilt(target)) throw new Error(`${file} names ${value}, and ${target} is no part of the image`);
    built += text.slice(end, from) + builtName(value);
    end = to;
  }
  built += text.slice(end);
  if (leftBehind.test(blankOut(built).withStrings)) {
    throw new Error(`${file} names a source in another way than by a relative path in quotes, which cannot be built`);
  }
  return built;
}

export interface SourceTree {
  readonly read: (file: string) => string;
  /** The source that a specifier such as `@sluice/base` stands for; undefined for anything else. */
  readonly exported: (specifier: string) => string | undefined;
}

/** The sources that `entries` need to run, themselves among them: no models, no test disks, no types alone. */
export function reachedFrom(entries: readonly string[], { read, exported }: SourceTree): readonly string[] {
  const found = new Set(entries);
  // A set is walked through to what is added on the way.
  for (const file of found) {
    for (const { value } of stringsOf(stripTypeScriptTypes(read(file), { mode: 'strip' }))) {
      const target = relativeSource.test(value) ? besides(file, value) : exported(value);
      if (target !== undefined) found.add(target);
    }
  }
  return [...found].sort();
}

interface Manifest {
  readonly name: string;
  readonly exports?: Readonly<Record<string, string>>;
  readonly dependencies?: Readonly<Record<string, string>>;
}

/** Exports name the built files. The dependencies of development stay: the lockfile has to fit. */
export function builtManifest(text: string): string {
  const { exports = {}, ...rest } = JSON.parse(text) as Manifest;
  const built: Record<string, string> = {};
  for (const [name, target] of Object.entries(exports)) built[name] = builtName(target);
  return `${JSON.stringify({ ...rest, exports: built }, undefined, 2)}\n`;
}

/** The source that a package exports under `name`, such as `.` or `./main`, from the package's folder. */
export const exportOf = (manifest: string, name: string): string | undefined =>
  (JSON.parse(manifest) as Manifest).exports?.[name];

/** The packages of the workspace that `name` depends on, itself among them. */
export function closureOf(name: string, manifestOf: (name: string) => string): readonly string[] {
  const found = new Set<string>();
  const visit = (each: string): void => {
    if (found.has(each)) return;
    found.add(each);
    const { dependencies = {} } = JSON.parse(manifestOf(each)) as Manifest;
    for (const [target, version] of Object.entries(dependencies)) if (version.startsWith('workspace:')) visit(target);
  };
  visit(name);
  return [...found].sort();
}
