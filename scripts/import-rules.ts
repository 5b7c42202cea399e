/**
 * The rules about who imports what. Each takes files and answers with sentences, one a violation, so that the tests can
 * show each rule failing on a file that breaks it.
 */
import path from 'node:path';
import { type Layer, layers } from './layers.ts';
import { isSource, isTest, isTestCode, packageOf, type RepositoryFile } from './repository-files.ts';
import { importsOf } from './source-text.ts';

export interface Manifest {
  readonly name: string;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
}

const scope = '@sluice/';

/** Declared once for the whole repository. */
const testTools = new Set(['vitest', 'fast-check']);

export const packageName = (specifier: string): string =>
  specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/');

const isPackage = (specifier: string): boolean => !specifier.startsWith('.') && !specifier.startsWith('node:');

function manifests(files: readonly RepositoryFile[]): Map<string, Manifest> {
  const found = new Map<string, Manifest>();
  for (const file of files) {
    const match = /^packages\/([^/]+)\/package\.json$/.exec(file.path);
    if (match?.[1] !== undefined) found.set(match[1], JSON.parse(file.text) as Manifest);
  }
  return found;
}

/** The table itself: it names only packages that it describes, points down, and has no cycle. */
export function tableViolations(table: Readonly<Record<string, Layer>> = layers): string[] {
  const violations: string[] = [];
  for (const [name, row] of Object.entries(table)) {
    for (const target of row.mayImport) {
      const layer = table[target]?.layer;
      if (layer === undefined) violations.push(`the table lets ${name} import ${target}, which it does not describe`);
      else if (layer > row.layer) violations.push(`the table lets ${name} import ${target}, which lies above it`);
    }
  }
  const graph = new Map(Object.entries(table).map(([name, row]) => [name, row.mayImport]));
  return [...violations, ...cycles(graph).map((cycle) => `the table has a cycle: ${cycle.join(' -> ')}`)];
}

/** Every package of the tree is in the table and is called what its folder is. */
export function packageViolations(files: readonly RepositoryFile[]): string[] {
  return [...manifests(files)].flatMap(([folder, manifest]) => {
    if (layers[folder] === undefined) return [`packages/${folder} is not in the layer table`];
    return manifest.name === scope + folder ? [] : [`packages/${folder} calls itself ${manifest.name}`];
  });
}

/** Imports between our packages follow the table, and every package imported is declared. */
export function importViolations(files: readonly RepositoryFile[]): string[] {
  const known = manifests(files);
  return files
    .filter((file) => isSource(file.path))
    .flatMap((file) => {
      const owner = packageOf(file.path);
      const manifest = owner === undefined ? undefined : known.get(owner.name);
      if (owner === undefined || manifest === undefined) return [];
      const packages = importsOf(file.text).filter(isPackage);
      return packages.flatMap((specifier) => oneImport(file.path, owner.name, specifier, manifest));
    });
}

function oneImport(file: string, owner: string, specifier: string, manifest: Manifest): string[] {
  const name = packageName(specifier);
  const violations: string[] = [];
  const declared =
    manifest.dependencies?.[name] !== undefined ||
    (isTestCode(file) && (manifest.devDependencies?.[name] !== undefined || testTools.has(name)));
  if (!declared) violations.push(`${file} imports ${name}, which ${manifest.name}'s package.json does not declare`);
  if (!name.startsWith(scope)) {
    const pure = layers[owner]?.kind === 'pure' && !isTestCode(file);
    return pure ? [...violations, `${file} imports ${name}: a pure package depends on nothing outside`] : violations;
  }
  const target = name.slice(scope.length);
  const row = layers[owner];
  const targetLayer = layers[target]?.layer ?? Number.POSITIVE_INFINITY;
  const allowed = row?.mayImport.includes(target) === true || (isTest(file) && targetLayer <= (row?.layer ?? -1));
  if (!allowed) violations.push(`${file} imports ${name}: the layer table does not let ${owner} do so`);
  return violations;
}

/** package.json follows the table too, and declares nothing that no file imports. */
export function manifestViolations(files: readonly RepositoryFile[]): string[] {
  return [...manifests(files)].flatMap(([folder, manifest]) => {
    const sources = files.filter((file) => packageOf(file.path)?.name === folder && isSource(file.path));
    const used = new Set(sources.flatMap((file) => importsOf(file.text).map(packageName)));
    return Object.keys(manifest.dependencies ?? {}).flatMap((name) => {
      const target = name.startsWith(scope) ? name.slice(scope.length) : undefined;
      if (target !== undefined && layers[folder]?.mayImport.includes(target) !== true) {
        return [`packages/${folder}/package.json depends on ${name}: the layer table does not let it`];
      }
      return used.has(name) ? [] : [`packages/${folder}/package.json depends on ${name}, which no file there imports`];
    });
  });
}

/** `node:` only where the table says. */
export function nodeImportViolations(files: readonly RepositoryFile[]): string[] {
  return files.flatMap((file) => {
    const owner = packageOf(file.path);
    if (owner === undefined || !isSource(file.path) || isTestCode(file.path)) return [];
    const allowed = layers[owner.name]?.nodeFiles ?? [];
    if (allowed === 'any' || allowed.includes(owner.file)) return [];
    const nodes = importsOf(file.text).filter((specifier) => specifier.startsWith('node:'));
    return nodes.map((name) => `${file.path} imports ${name}: put it behind a port, in a named adapter file`);
  });
}

/** No file reaches itself by imports, types included. */
export function cycleViolations(files: readonly RepositoryFile[]): string[] {
  const graph = new Map<string, readonly string[]>();
  for (const file of files.filter((each) => isSource(each.path))) {
    const relative = importsOf(file.text).filter((specifier) => specifier.startsWith('.'));
    graph.set(
      file.path,
      relative.map((specifier) => path.posix.join(path.posix.dirname(file.path), specifier)),
    );
  }
  return cycles(graph).map((cycle) => `import cycle: ${cycle.join(' -> ')}`);
}

/** Each cycle that a depth-first walk closes, as the nodes on it. */
function cycles(graph: ReadonlyMap<string, readonly string[]>): string[][] {
  const found: string[][] = [];
  const done = new Set<string>();
  const walk = (node: string, trail: readonly string[]): void => {
    const start = trail.indexOf(node);
    if (start >= 0) found.push([...trail.slice(start), node]);
    if (start >= 0 || done.has(node)) return;
    for (const next of graph.get(node) ?? []) walk(next, [...trail, node]);
    done.add(node);
  };
  for (const node of graph.keys()) walk(node, []);
  return found;
}
