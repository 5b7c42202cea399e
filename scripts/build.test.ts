/** The tree that the image is made of, and the command as it runs from there. */
import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { build } from './build.ts';
import { builtJavaScript, builtManifest, closureOf } from './built-javascript.ts';
import { isTestCode, root } from './repository-files.ts';
import { importsOf } from './source-text.ts';

let folder = '';
let tree = '';

/** Code over manifests, as the Dockerfile does, with the packages of this checkout instead of an install. */
beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'sluice build-'));
  build(path.join(folder, 'out'));
  tree = path.join(folder, 'out', 'code');
  for (const manifest of filesBelow(path.join(folder, 'out', 'manifests', 'packages'))) {
    const name = path.basename(path.dirname(manifest));
    const text = readFileSync(manifest, 'utf8');
    const { dependencies } = JSON.parse(text) as { dependencies: Record<string, string> };
    symlinkSync(manifest, path.join(tree, 'packages', name, 'package.json'));
    for (const each of Object.keys(dependencies)) link(name, each);
  }
});
afterAll(() => rmSync(folder, { recursive: true }));

function link(name: string, dependency: string): void {
  const target = dependency.startsWith('@sluice/')
    ? path.join(tree, dependency.replace('@sluice/', 'packages/'))
    : realpathSync(path.join(root, 'packages', name, 'node_modules', dependency));
  const at = path.join(tree, 'packages', name, 'node_modules', dependency);
  mkdirSync(path.dirname(at), { recursive: true });
  symlinkSync(target, at);
}

const filesBelow = (below: string): string[] =>
  readdirSync(below, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !entry.parentPath.includes('node_modules'))
    .map((entry) => path.join(entry.parentPath, entry.name));

function sluice(args: readonly string[], env: NodeJS.ProcessEnv = {}) {
  const main = path.join(tree, 'bin', 'sluice');
  const { PATH } = process.env;
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, ...args], {
    encoding: 'utf8',
    env: { PATH, NODE_COMPILE_CACHE: path.join(folder, 'compiled'), ...env },
    timeout: 8000,
  });
  return { status, stdout, stderr };
}

describe('the tree', () => {
  test('is JavaScript that names files of the tree', () => {
    const files = filesBelow(path.join(tree, 'packages'));
    expect(files.filter((file) => file.endsWith('.ts') || isTestCode(file.replace(/\.js$/, '.ts')))).toEqual([]);
    const missing = files.flatMap((file) =>
      importsOf(readFileSync(file, 'utf8'))
        .filter((specifier) => specifier.startsWith('.') && !existsSync(path.resolve(path.dirname(file), specifier)))
        .map((specifier) => `${file}: ${specifier}`),
    );
    expect(missing).toEqual([]);
    expect(files.length).toBeGreaterThan(200);
  });

  test('has every source of the command, and no package that it does not need', () => {
    const sources = (below: string): string[] =>
      filesBelow(path.join(root, below)).filter((file) => /\.(?:ts|mjs)$/.test(file) && !isTestCode(file));
    for (const file of sources('packages/cli')) {
      expect(existsSync(path.join(tree, path.relative(root, file).replace(/\.ts$/, '.js')))).toBe(true);
    }
    expect(existsSync(path.join(tree, 'packages', 'sim'))).toBe(false);
  });

  test('runs the command', () => {
    expect(sluice(['--version'])).toEqual({ status: 0, stdout: '0.1.0\n', stderr: '' });
  });

  test('runs a node, which says in one line why it cannot start', () => {
    const { status, stdout, stderr } = sluice(['server'], { SLUICE_NODE_ID: 'one' });
    expect({ status, stderr }).toEqual({ status: 1, stderr: '' });
    expect(stdout.trim().split('\n')).toHaveLength(1);
    expect(stdout).toContain('nodeId is \\"one\\"; it must be an integer');
  });

  test('a folder that is there already is not written into', () => {
    expect(() => build(path.join(folder, 'out'))).toThrow('EEXIST');
  });
});

describe('one file', () => {
  const built = (source: string): string =>
    builtJavaScript('packages/a/src/b.ts', source, (file) => !file.includes('gone'));

  test('every place is where the source has it, and paths of sources name the built files', () => {
    const source = [
      "import type { A } from './a.ts';",
      "import { b, type C } from '../c.ts'; // as './c.ts'",
      "export * from './d.ts';",
      'const thread: Worker = new Worker(new URL("./e.ts", import.meta.url));',
      "const f = await import('./f.ts');",
    ];
    expect(built(source.join('\n')).split('\n')).toEqual([
      ' '.repeat(source[0]!.length),
      "import { b,        } from '../c.js'; // as './c.ts'",
      "export * from './d.js';",
      'const thread         = new Worker(new URL("./e.js", import.meta.url));',
      "const f = await import('./f.js');",
    ]);
  });

  test('a path that cannot be followed fails the build', () => {
    expect(() => built("import './gone.ts';")).toThrow('packages/a/src/gone.ts is no part of the image');
    expect(() => built('await import(`./${name}.ts`);')).toThrow('in another way than by a relative path');
    expect(() => built("path.join(folder, 'thread.ts');")).toThrow('in another way than by a relative path');
  });

  test('a manifest exports built files', () => {
    const manifest = {
      name: 'a',
      exports: { '.': './src/mod.ts' },
      bin: { a: './bin/a.mjs' },
      dependencies: { b: '1' },
    };
    expect(JSON.parse(builtManifest(JSON.stringify(manifest)))).toEqual({
      ...manifest,
      exports: { '.': './src/mod.js' },
    });
  });

  test('the closure follows the workspace and nothing else', () => {
    const manifests: Record<string, object> = {
      a: { dependencies: { b: 'workspace:*', x: '1.0.0' }, devDependencies: { d: 'workspace:*' } },
      b: { dependencies: { c: 'workspace:*' } },
      c: { dependencies: { b: 'workspace:*' } },
    };
    expect(closureOf('a', (name) => JSON.stringify(manifests[name]))).toEqual(['a', 'b', 'c']);
  });
});
