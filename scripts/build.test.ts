/** The tree that the image is made of, and the command as it runs from there. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
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
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';
import { freeBasePort } from '@sluice/cli/free-ports';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { build } from './build.ts';
import { builtJavaScript, builtManifest, closureOf, reachedFrom } from './built-javascript.ts';
import { isTestCode, root } from './repository-files.ts';
import { importsOf } from './source-text.ts';

let folder = '';
let tree = '';
const started: ChildProcess[] = [];

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
afterEach(() => {
  for (const child of started.splice(0)) child.kill('SIGKILL');
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

const command = (): string => path.join(tree, 'bin', 'sluice');

/** Nothing of ours, so that no setting of whoever runs the tests counts. */
const environment = (): NodeJS.ProcessEnv => ({ PATH: process.env['PATH'], NODE_DISABLE_COMPILE_CACHE: '1' });

function sluice(args: readonly string[], settings: NodeJS.ProcessEnv = {}) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [command(), ...args], {
    encoding: 'utf8',
    env: { ...environment(), ...settings },
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

  test('has every source that a package of it is asked for', () => {
    const files = filesBelow(path.join(tree, 'packages')).filter((file) => file.endsWith('.js'));
    const missing = files.flatMap((file) =>
      importsOf(readFileSync(file, 'utf8'))
        .filter((specifier) => specifier.startsWith('@sluice/'))
        .filter((specifier) => !existsSync(createRequire(file).resolve(specifier)))
        .map((specifier) => `${file}: ${specifier}`),
    );
    expect(missing).toEqual([]);
  });

  test('has nothing that only tests use, and no package that the command does not need', () => {
    const names = filesBelow(path.join(tree, 'packages')).map((file) => path.basename(file));
    expect(names.filter((name) => /^(?:test|model|random)-.*\.js$/.test(name))).toEqual([]);
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

  test('runs a node that serves and stops', async () => {
    const port = await freeBasePort(1);
    const settings = {
      SLUICE_NODE_ID: '1',
      SLUICE_DATA_DIRECTORY: path.join(folder, 'data'),
      SLUICE_CLUSTER_VOTERS: `[{nodeId: 1, peerAddress: "127.0.0.1:${port + 1}"}]`,
      SLUICE_LISTENERS_CLIENT: `[{name: client, bind: "127.0.0.1:${port}"}]`,
      SLUICE_LISTENERS_PEER_BIND: `127.0.0.1:${port + 1}`,
      SLUICE_LISTENERS_ADMIN_BIND: `127.0.0.1:${port + 2}`,
    };
    const node = spawn(process.execPath, [command(), 'server'], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...environment(), ...settings },
    });
    started.push(node);
    for await (const line of createInterface({ input: node.stdout })) {
      if (line.includes('"broker serves"')) node.kill('SIGTERM');
    }
    if (node.exitCode === null) await once(node, 'exit');
    expect(node.exitCode).toBe(0);
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

  test('what an entry reaches is what it needs to run, in its own package and in others', () => {
    const sources: Record<string, string> = {
      'packages/a/src/main.ts':
        "import { b } from './b.ts'; import type { T } from './types.ts'; import '@sluice/c/d';",
      'packages/a/src/b.ts': "new Worker(new URL('./thread.ts', import.meta.url)); import './main.ts'; // './gone.ts'",
      'packages/a/src/thread.ts': "import pino from 'pino';",
      'packages/a/src/model.ts': "import './b.ts';",
      'packages/c/src/d.ts': '',
    };
    const read = (file: string): string => sources[file]!;
    const exported = (name: string): string | undefined => (name === '@sluice/c/d' ? 'packages/c/src/d.ts' : undefined);
    expect(reachedFrom(['packages/a/src/main.ts'], { read, exported })).toEqual([
      'packages/a/src/b.ts',
      'packages/a/src/main.ts',
      'packages/a/src/thread.ts',
      'packages/c/src/d.ts',
    ]);
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
