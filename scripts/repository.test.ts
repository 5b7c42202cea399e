/** Holds the repository to its own rules. `rules.test.ts` shows each of these rules failing where it should. */
import { describe, expect, test } from 'vitest';
import { adrViolations, brokenLinks, codeBlock, glossaryTerms, missingFiles, sectionOf } from './document-rules.ts';
import * as imports from './import-rules.ts';
import { layers } from './layers.ts';
import { longTestFunctions } from './long-test-functions.ts';
import { referencePages } from './reference-pages.ts';
import { readRepository, root } from './repository-files.ts';
import * as texts from './text-rules.ts';

const files = readRepository();

const textOf = (path: string): string => {
  const found = files.find((file) => file.path === path);
  if (found === undefined) throw new Error(`${path} does not exist`);
  return found.text;
};

const purePackages = Object.entries(layers)
  .filter(([, row]) => row.kind === 'pure')
  .map(([name]) => name);

describe('imports', () => {
  test('the layer table is sound', () => expect(imports.tableViolations()).toEqual([]));
  test('every package is in the layer table', () => expect(imports.packageViolations(files)).toEqual([]));
  test('imports follow the layer table and are declared', () => expect(imports.importViolations(files)).toEqual([]));
  test('every package.json follows the table', () => expect(imports.manifestViolations(files)).toEqual([]));
  test('node: only in named adapter files', () => expect(imports.nodeImportViolations(files)).toEqual([]));
  test('no file imports itself in a circle', () => expect(imports.cycleViolations(files)).toEqual([]));

  test('broker and controller never meet, and only cli and sim import server', () => {
    expect(layers['broker']?.mayImport).not.toContain('controller');
    expect(layers['controller']?.mayImport).not.toContain('broker');
    expect(layers['client']?.mayImport).toEqual(['base', 'record', 'wire']);
    const importers = Object.entries(layers).filter(([, row]) => row.mayImport.includes('server'));
    expect(importers.map(([name]) => name)).toEqual(['cli', 'sim']);
  });
});

describe('purity', () => {
  test('the compiler checks every pure package, and no other, without Node types', () => {
    const config = JSON.parse(textOf('tsconfig.pure.json')) as { include: string[]; compilerOptions?: unknown };
    expect(config.include).toEqual(purePackages.map((name) => `packages/${name}/src/**/*.ts`));
    expect(config.compilerOptions).toBeUndefined();
    const base = JSON.parse(textOf('tsconfig.base.json')) as { compilerOptions: { lib: string[]; types: string[] } };
    expect(base.compilerOptions).toMatchObject({ lib: ['esnext'], types: [], erasableSyntaxOnly: true, strict: true });
  });

  const { overrides } = JSON.parse(textOf('.oxlintrc.json')) as {
    overrides: { files: string[]; rules: Record<string, unknown> }[];
  };
  const [pure, shells, adapters] = overrides.filter((each) => each.rules['eslint/no-restricted-globals'] !== undefined);

  test('lint bans time, chance and Node in exactly the pure packages', () => {
    expect(pure?.files).toEqual([`packages/{${purePackages.join(',')}}/src/**/*.ts`]);
    expect(JSON.stringify(pure?.rules)).toMatch(/"now".*"random".*"Date".*"setTimeout".*"node:\*"/);
  });

  test('lint lets shells have time, chance and the process by ports only, named adapter files excepted', () => {
    const named = Object.entries(layers).flatMap(([name, { kind, nodeFiles }]) =>
      kind === 'pure' || nodeFiles === 'any' ? [] : [{ name, nodeFiles }],
    );
    expect(shells?.files).toEqual([`packages/{${named.map(({ name }) => name).join(',')}}/src/**/*.ts`]);
    expect(JSON.stringify(shells?.rules)).toMatch(/"now".*"random".*"Date".*"setTimeout".*"process"/);
    const paths = named.flatMap(({ name, nodeFiles }) => nodeFiles.map((each) => `packages/${name}/src/${each}`));
    expect(adapters?.files).toEqual(paths);
    expect(paths.filter((each) => !files.some((file) => file.path === each))).toEqual([]);
  });
});

describe('lint', () => {
  const required = [
    'typescript/no-floating-promises',
    'typescript/no-misused-promises',
    'typescript/await-thenable',
    'typescript/switch-exhaustiveness-check',
    'typescript/no-explicit-any',
    'typescript/no-unsafe-argument',
    'typescript/no-unsafe-assignment',
    'typescript/no-unsafe-call',
    'typescript/no-unsafe-member-access',
    'typescript/no-unsafe-return',
    'typescript/no-non-null-assertion',
    'typescript/consistent-type-imports',
    'import/no-cycle',
    'import/no-default-export',
    'unicorn/filename-case',
    'eslint/no-console',
  ];
  const { rules } = JSON.parse(textOf('.oxlintrc.json')) as { rules: Record<string, unknown> };

  test.each(required)('%s is an error', (name) => expect([rules[name]].flat()[0]).toBe('error'));

  test('sizes are bounded', () => {
    expect(rules['eslint/max-lines']).toEqual(['error', { max: 800 }]);
    expect(rules['eslint/max-params']).toEqual(['error', { max: 4 }]);
    expect(rules['eslint/max-lines-per-function']).toEqual([
      'error',
      { max: 70, skipBlankLines: true, skipComments: true },
    ]);
  });

  test('functions in tests are bounded too, the callbacks of describe excepted', () => {
    expect(longTestFunctions(root)).toEqual([]);
  });
});

describe('texts', () => {
  test('names say what is inside', () => expect(texts.nameViolations(files)).toEqual([]));
  test('no file is too long', () => expect(texts.lengthViolations(files)).toEqual([]));
  test('no any, no enum, no inheritance', () => expect(texts.typeViolations(files)).toEqual([]));
  test('comments promise nothing', () => expect(texts.commentViolations(files)).toEqual([]));
  test('tests neither sleep nor skip nor mock', () => expect(texts.testViolations(files)).toEqual([]));
  test('only a main.ts acts on the process', () => expect(texts.processViolations(files)).toEqual([]));
  test('nothing names the machine it was written on', () => expect(texts.originViolations(files)).toEqual([]));
});

/** The words that are used for one thing only, in code and documents. */
const fieldTerms = [
  'topic',
  'partition',
  'replica',
  'leader',
  'follower',
  'in-sync replicas (ISR)',
  'eligible leader replicas (ELR)',
  'high watermark',
  'log end',
  'leader epoch',
  'partition epoch',
  'broker epoch',
  'offset',
  'index',
  'term',
  'epoch',
  'batch',
  'node log',
  'journal file',
  'sorted file',
  'run',
  'tail',
  'group',
  'member',
  'assignment',
  'lag',
];

describe('documents', () => {
  test.each(Object.entries(referencePages))('%s says what its table says', (path, text) => {
    expect(textOf(path), 'run: npm run -s reference').toBe(text);
  });

  test('follow one message leads through files that exist', () => {
    const section = sectionOf(textOf('docs/architecture.md'), 'Follow one message') ?? '';
    const named = new Set(section.match(/packages\/[\w./-]+\.ts\b/g));
    expect(named.size).toBeGreaterThan(5);
    expect(missingFiles(section, files)).toEqual([]);
  });

  test('no document names a source file or a page that is gone', () => {
    const documents = files.filter((file) => file.path.endsWith('.md'));
    const missing = documents.flatMap(({ path, text }) => missingFiles(text, files).map((name) => `${path}: ${name}`));
    expect(missing).toEqual([]);
    expect(brokenLinks(files)).toEqual([]);
  });

  test('the README tells every package, and its program is the one that is type-checked', () => {
    const readme = textOf('README.md');
    const present = Object.keys(layers).filter((name) =>
      files.some((file) => file.path.startsWith(`packages/${name}/`)),
    );
    const listed = [...(sectionOf(readme, 'Layout') ?? '').matchAll(/^\| `packages\/(\w+)` \|/gm)].map(
      (match) => match[1],
    );
    expect(new Set(listed)).toEqual(new Set(present));
    expect(listed).toHaveLength(present.length);
    expect(codeBlock(readme, 'ts')).toBe(textOf('examples/first-message.ts'));
  });

  test('the glossary has one word for each thing, in order', () => {
    const terms = glossaryTerms(textOf('docs/glossary.md'));
    expect(terms).toEqual([...new Set(terms)].toSorted((a, b) => a.localeCompare(b, 'en')));
    expect(fieldTerms.filter((term) => !terms.includes(term))).toEqual([]);
  });

  test('decision records are numbered', () => expect(adrViolations(files.map((file) => file.path))).toEqual([]));
});
