/** Each rule of the repository, seen failing on a file that breaks it and silent on one that does not. */
import { describe, expect, test } from 'vitest';
import { adrViolations, brokenLinks, codeBlock, glossaryTerms, missingFiles, sectionOf } from './document-rules.ts';
import * as imports from './import-rules.ts';
import type { Layer } from './layers.ts';
import { configPage, errorsPage, metricsPage } from './reference-pages.ts';
import type { RepositoryFile } from './repository-files.ts';
import * as texts from './text-rules.ts';

const file = (path: string, text: string): RepositoryFile => ({ path, text });

const manifest = (name: string, dependencies: readonly string[] = []): RepositoryFile =>
  file(
    `packages/${name}/package.json`,
    JSON.stringify({
      name: `@sluice/${name}`,
      dependencies: Object.fromEntries(dependencies.map((each) => [each, 'workspace:*'])),
    }),
  );

const layer = (number: number, mayImport: readonly string[]): Layer => ({
  layer: number,
  kind: 'pure',
  mayImport,
  nodeFiles: [],
});

describe('imports', () => {
  test('a table that points up, in a circle or nowhere', () => {
    expect(imports.tableViolations({ a: layer(0, ['b']), b: layer(1, []) })).toHaveLength(1);
    expect(imports.tableViolations({ a: layer(1, ['b']), b: layer(1, ['a']) })).toHaveLength(1);
    expect(imports.tableViolations({ a: layer(0, ['gone']) })).toHaveLength(1);
    expect(imports.tableViolations({ a: layer(1, ['b']), b: layer(0, []) })).toEqual([]);
  });

  test('a package that the table does not know, or that is called otherwise', () => {
    expect(imports.packageViolations([manifest('gadget')])).toHaveLength(1);
    expect(imports.packageViolations([file('packages/raft/package.json', '{"name":"@sluice/wire"}')])).toHaveLength(1);
  });

  const importing = (owner: string, name: string, declared = [name]): string[] =>
    imports.importViolations([manifest(owner, declared), file(`packages/${owner}/src/x.ts`, `import '${name}';`)]);

  test('an import that points up, sideways, or is not declared', () => {
    expect(importing('raft', '@sluice/storage')).toHaveLength(1);
    expect(importing('broker', '@sluice/controller')).toHaveLength(1);
    expect(importing('controller', '@sluice/broker')).toHaveLength(1);
    expect(importing('client', '@sluice/storage')).toHaveLength(1);
    expect(importing('sim', '@sluice/cli')).toHaveLength(1);
    expect(importing('client', '@sluice/server')).toHaveLength(1);
    expect(importing('broker', '@sluice/storage', [])).toHaveLength(1);
    expect(importing('server', 'left-pad', [])).toHaveLength(1);
    expect(importing('broker', '@sluice/storage')).toEqual([]);
    expect(importing('sim', '@sluice/server')).toEqual([]);
  });

  test('a pure package that depends on something outside', () => {
    expect(importing('record', 'left-pad')).toHaveLength(1);
  });

  test('a test may reach for its own layer and below, never above', () => {
    const from = (owner: string, name: string): string[] =>
      imports.importViolations([
        file(`packages/${owner}/package.json`, JSON.stringify({ name: '', devDependencies: { [name]: '*' } })),
        file(`packages/${owner}/src/x.test.ts`, `import { test } from 'vitest'; import '${name}';`),
      ]);
    expect(from('client', '@sluice/broker')).toEqual([]);
    expect(from('broker', '@sluice/client')).toHaveLength(1);
  });

  test('a package.json that names what the table forbids or nobody imports', () => {
    expect(imports.manifestViolations([manifest('raft', ['@sluice/wire'])])).toHaveLength(1);
    expect(imports.manifestViolations([manifest('raft', ['@sluice/base'])])).toHaveLength(1);
    const used = file('packages/raft/src/x.ts', `import '@sluice/base';`);
    expect(imports.manifestViolations([manifest('raft', ['@sluice/base']), used])).toEqual([]);
  });

  test('node: outside the named files', () => {
    const text = `import fs from 'node:fs';`;
    expect(imports.nodeImportViolations([file('packages/broker/src/x.ts', text)])).toHaveLength(1);
    expect(imports.nodeImportViolations([file('packages/storage/src/node-log.ts', text)])).toHaveLength(1);
    expect(imports.nodeImportViolations([file('packages/storage/src/node-disk.ts', text)])).toEqual([]);
    expect(imports.nodeImportViolations([file('packages/server/src/x.ts', text)])).toEqual([]);
  });

  test('files that import each other', () => {
    const a = file('packages/raft/src/a.ts', `import './b.ts';`);
    const b = file('packages/raft/src/b.ts', `import type { A } from './a.ts';`);
    expect(imports.cycleViolations([a, b])).toEqual([
      'import cycle: packages/raft/src/a.ts -> packages/raft/src/b.ts -> packages/raft/src/a.ts',
    ]);
    expect(imports.cycleViolations([a, file(b.path, '')])).toEqual([]);
  });
});

describe('texts', () => {
  const inFile = (
    rule: (files: readonly RepositoryFile[]) => string[],
    text: string,
    path = 'packages/raft/src/x.ts',
  ) => rule([file(path, text)]);

  test('names that say nothing', () => {
    for (const path of ['packages/a/src/utils.ts', 'packages/a/src/log-helper.ts', 'packages/a/src/types/x.ts']) {
      expect(inFile(texts.nameViolations, '', path)).toHaveLength(1);
    }
    expect(inFile(texts.nameViolations, '', 'packages/a/src/commons-law.ts')).toEqual([]);
  });

  test('a file of more than 800 lines', () => {
    expect(inFile(texts.lengthViolations, 'x\n'.repeat(801))).toHaveLength(1);
    expect(inFile(texts.lengthViolations, 'x\n'.repeat(800))).toEqual([]);
  });

  const badTypes = [
    'let a: any;',
    'const f = (a: any) => a;',
    'x as any',
    'Array<any>',
    'Map<string, any>',
    'type T = any | 1;',
    'type T = U extends any ? 1 : 2;',
    'let a:\n any[];',
    'export const enum E { A }',
    'enum E { A }',
    'class A extends B {}',
    'class A<T> extends B<T> {}',
    '// @ts-expect-error',
  ];
  test.each(badTypes)('types: %s', (text) => expect(inFile(texts.typeViolations, text)).not.toEqual([]));

  const goodTypes = [
    'class E extends Error {}',
    'class E extends StorageError {}',
    'await Promise.any(list)',
    'const text = "as any";',
    '// for any of them',
    'const o = { any: 1 };',
    'const s = "@ts-ignore";',
  ];
  test.each(goodTypes)('types: %s is fine', (text) => expect(inFile(texts.typeViolations, text)).toEqual([]));

  test('comments that promise', () => {
    expect(inFile(texts.commentViolations, '// TODO: later')).toEqual([expect.stringContaining('x.ts:1:')]);
    expect(inFile(texts.commentViolations, 'const s = "TODO";')).toEqual([]);
  });

  const badTests = [
    'test.only("x", f)',
    'describe.skip("x", f)',
    'it.todo("x")',
    'test.concurrent.only("x", f)',
    'await new Promise((r) => setTimeout(r, 100));',
    'await sleep(100);',
    'await new Promise((resolve) => {\n  setTimeout(resolve, 10);\n});',
    'import { setTimeout as pause } from "node:timers/promises";',
    'vi.mock("./x.ts")',
  ];
  test.each(badTests)('tests: %s', (text) => {
    expect(inFile(texts.testViolations, text, 'packages/raft/src/x.test.ts')).toHaveLength(1);
    expect(inFile(texts.testViolations, text)).toEqual([]);
  });

  test('a clock made of real timers is no sleep', () => {
    const text = 'const clock = { setTimer: (ms, fire) => setTimeout(fire, ms) };';
    expect(inFile(texts.testViolations, text, 'packages/raft/src/x.test.ts')).toEqual([]);
  });

  test('acting on the process', () => {
    expect(inFile(texts.processViolations, 'process.exit(1)', 'packages/cli/src/x.ts')).toHaveLength(1);
    expect(inFile(texts.processViolations, 'process.env["X"]', 'packages/server/src/x.ts')).toHaveLength(1);
    expect(inFile(texts.processViolations, 'process.pid', 'packages/server/src/x.ts')).toEqual([]);
    expect(inFile(texts.processViolations, 'process.on("SIGINT", f)', 'packages/server/src/main.ts')).toEqual([]);
  });

  test('traces of a machine', () => {
    const home = ['', 'home', 'ada', 'sluice'].join('/');
    const host = `https:${'/'.repeat(2)}packages.internal.test/x`;
    expect(inFile(texts.originViolations, `see ${home}`)).toHaveLength(1);
    expect(inFile(texts.originViolations, `from ${host}`)).toHaveLength(1);
    expect(inFile(texts.originViolations, 'http://localhost:7652/livez and https://github.com/x')).toEqual([]);
  });
});

describe('documents', () => {
  test('sections end where the next of their level begins', () => {
    const text = '# A\n## Follow one message\none\n### deeper\ntwo\n## Next\nthree';
    expect(sectionOf(text, 'follow one message')).toBe('## Follow one message\none\n### deeper\ntwo');
    expect(sectionOf(text, 'absent')).toBeUndefined();
  });

  test('a document that names a file which is gone', () => {
    const text = 'from `packages/client/src/producer.ts` to packages/broker/src/produce.ts';
    expect(missingFiles(text, [file('packages/client/src/producer.ts', '')])).toEqual([
      'packages/broker/src/produce.ts',
    ]);
  });

  test('decision records with a gap, a double or no number', () => {
    // Records that are written at the same time have their numbers beforehand.
    expect(adrViolations(['docs/adr/0001-a.md', 'docs/adr/0003-b.md'])).toEqual([]);
    expect(adrViolations(['docs/adr/0001-a.md', 'docs/adr/0001-b.md'])).toHaveLength(1);
    expect(adrViolations(['docs/adr/notes.md'])).toHaveLength(1);
    expect(adrViolations(['docs/adr/0001-a.md', 'docs/adr/0002-b.md'])).toEqual([]);
  });

  test('the page of errors changes with every column of the table', () => {
    const row = { retry: 'never', definite: true, status: 'NOT_FOUND', sentence: 'Gone.' } as const;
    const pages = [
      { GONE: row },
      { LOST: row },
      { GONE: { ...row, retry: 'backoff' as const } },
      { GONE: { ...row, definite: false } },
      { GONE: { ...row, status: 'ABORTED' as const } },
      { GONE: { ...row, sentence: 'Away.' } },
    ].map((table) => errorsPage(table));
    expect(new Set(pages).size).toBe(pages.length);
  });

  test('the page of configuration changes with every column of its tables', () => {
    const parser = { type: 'integer', min: 1, max: 2, parse: () => 1 };
    const row = { parser, defaultValue: 1, scope: 'node', change: 'restart', sentence: 'How many.' } as const;
    const topic = { kind: 'integer', min: 1, max: 9, defaultValue: () => 1, sentence: 'Copies.' } as const;
    const pages = [
      configPage({ a: row }, {}, {}),
      configPage({ b: row }, {}, {}),
      configPage({ a: { ...row, parser: { ...parser, max: 3 } } }, {}, {}),
      configPage({ a: { ...row, parser: { ...parser, type: 'size', unit: 'bytes' } } }, {}, {}),
      configPage({ a: { ...row, defaultValue: undefined } }, {}, {}),
      configPage({ a: { ...row, scope: 'cluster' } }, {}, {}),
      configPage({ a: { ...row, change: 'live' } }, {}, {}),
      configPage({ a: { ...row, sentence: 'How few.' } }, {}, {}),
      configPage({ a: row }, { tiny: { a: 2 } }, {}),
      configPage({ a: row }, {}, { c: topic as never }),
    ];
    expect(new Set(pages).size).toBe(pages.length);
  });

  test('the page of metrics changes with every column of its table', () => {
    const row = { type: 'gauge', unit: 'bytes', labels: [], help: 'Memory.' } as const;
    const pages = [
      { a: row },
      { b: row },
      { a: { ...row, type: 'counter' as const } },
      { a: { ...row, unit: 'seconds' as const } },
      { a: { ...row, labels: ['stage'] } },
      { a: { ...row, help: 'Time.' } },
    ].map((table) => metricsPage(table));
    expect(new Set(pages).size).toBe(pages.length);
  });

  test('links that lead nowhere', () => {
    const linking = (link: string): string[] =>
      brokenLinks([
        file('docs/a.md', `# A b\nsee [b](${link})`),
        file('docs/adr/b.md', '# One: two'),
        file('README.md', ''),
      ]);
    expect(linking('gone.md')).toHaveLength(1);
    expect(linking('adr/b.md#three')).toHaveLength(1);
    expect(linking('#c')).toHaveLength(1);
    for (const link of ['adr/b.md', 'adr/b.md#one-two', '#a-b', 'adr/', '../README.md', 'https://example.com/x']) {
      expect(linking(link)).toEqual([]);
    }
    expect(brokenLinks([file('README.md', '<img src="docs/gone.svg">')])).toHaveLength(1);
  });

  test('code and terms in a document', () => {
    expect(codeBlock('a\n```sh\nb\n```\n```ts\nc\n\nd\n```\n', 'ts')).toBe('c\n\nd\n');
    expect(codeBlock('a', 'ts')).toBeUndefined();
    expect(glossaryTerms('**batch**: records.\n**log end**: where.\nnot **this**: one\n')).toEqual([
      'batch',
      'log end',
    ]);
  });
});
