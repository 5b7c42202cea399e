import { describe, expect, test } from 'vitest';
import { blankOut, importsOf } from './source-text.ts';

describe('blanking', () => {
  const cases: readonly (readonly [string, string, string])[] = [
    ['line comment', 'a // any\nb', 'a       \nb'],
    ['block comment', 'a /* any\nx */ b', 'a       \n     b'],
    ['strings', `f('any', "x\\"y")`, `f('   ', "    ")`],
    ['comment marks inside a string', `'// no' + 1`, `'     ' + 1`],
    ['template with code inside', '`a ${b + `c ${d}`} e` + f', '`  ${b + `  ${d}`}  ` + f'],
    ['braces inside an interpolation', '`${ {a: 1}.a } x`', '`${ {a: 1}.a }  `'],
    ['regular expression with quotes and slashes', `x = /['"/]\\/[/]/g; y`, `x = /          /g; y`],
    ['division is no regular expression', 'a / b / c', 'a / b / c'],
  ];
  test.each(cases)('%s', (_name, source, expected) => {
    expect(blankOut(source).code).toBe(expected);
    expect(blankOut(source).withStrings).toHaveLength(source.length);
  });
});

describe('imports', () => {
  test('every form is found, whatever it spans', () => {
    const source = `
      import a from 'a';
      import type {
        B,
      } from "./b.ts";
      export * from './c.ts';
      import './d.ts';
      const e = await import('./e.ts');
      let f: import('./f.ts').F;
    `;
    expect(importsOf(source).sort()).toEqual(['./b.ts', './c.ts', './d.ts', './e.ts', './f.ts', 'a']);
  });

  test('words in comments, strings and templates are no imports', () => {
    const source = "// import 'a'\nconst x = \"import 'b'\"; const y = `import 'c'`; /* export * from 'd' */";
    expect(importsOf(source)).toEqual([]);
  });
});
