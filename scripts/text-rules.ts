/** The rules about what a file is called and what stands in it. Each answers with sentences, one a violation. */
import { allowedHosts, bannedNames, processFiles, processMembers } from './layers.ts';
import { isSource, isTest, isTestCode, packageOf, type RepositoryFile } from './repository-files.ts';
import { blankOut, importsOf } from './source-text.ts';

const linesMax = 800;

type Rule = readonly [pattern: RegExp, sentence: string];

/** `file:line: sentence` for every match. `text` keeps the offsets of the file's own text. */
function matches(file: RepositoryFile, text: string, [pattern, sentence]: Rule): string[] {
  return [...text.matchAll(pattern)].map((match) => {
    const line = text.slice(0, match.index).split('\n').length;
    return `${file.path}:${line}: ${sentence}`;
  });
}

const codeRules = (file: RepositoryFile, rules: readonly Rule[]): string[] => {
  const { code } = blankOut(file.text);
  return rules.flatMap((rule) => matches(file, code, rule));
};

export function nameViolations(files: readonly RepositoryFile[]): string[] {
  return files.flatMap((file) => {
    const parts = file.path.split(/[/.-]/);
    const banned = isSource(file.path) ? bannedNames.find((name) => parts.includes(name)) : undefined;
    return banned === undefined ? [] : [`${file.path}: '${banned}' in a name says nothing about what is inside`];
  });
}

export function lengthViolations(files: readonly RepositoryFile[]): string[] {
  return files.flatMap((file) => {
    const lines = file.text.split('\n').length - 1;
    return isSource(file.path) && lines > linesMax ? [`${file.path} has ${lines} lines, over ${linesMax}`] : [];
  });
}

const typeRules: readonly Rule[] = [
  [/(?:[:<,|&([=]|\bas|=>)\s*any\s*(?=[\],;>)=|&{}[]|$)/gm, 'any'],
  [/\bextends\s+any\b/g, 'any'],
  [/^\s*(?:export\s+)?(?:declare\s+)?(?:const\s+)?enum\s/gm, 'enum: use a const object and a union'],
  [/\bclass\s+\w+(?:<[^{]*?>)?\s+extends\s+(?!\w*Error\b)/g, 'inheritance: only from Error'],
  [/@ts-(?:ignore|nocheck|expect-error)/g, 'a type error is fixed, not silenced'],
];

export function typeViolations(files: readonly RepositoryFile[]): string[] {
  return files
    .filter((file) => isSource(file.path))
    .flatMap((file) => [
      ...codeRules(file, typeRules.slice(0, 4)),
      ...typeRules.slice(4).flatMap((rule) => matches(file, commentsOf(file.text), rule)),
    ]);
}

/** The comments alone: what blanking removed. */
function commentsOf(text: string): string {
  const { withStrings } = blankOut(text);
  return text.replaceAll(/[^\n]/g, (character, index: number) => (character === withStrings[index] ? ' ' : character));
}

const unfinishedRule: Rule = [/\b(?:TODO|FIXME|XXX|HACK)\b/g, 'unfinished work is done or in the issue tracker'];

export function commentViolations(files: readonly RepositoryFile[]): string[] {
  const sources = files.filter((file) => isSource(file.path));
  return sources.flatMap((file) => matches(file, commentsOf(file.text), unfinishedRule));
}

const testRules: readonly Rule[] = [
  [/\b(?:test|it|describe|suite)(?:\.\w+)*\.(?:only|skip|todo)\b/g, 'no test is focused or skipped'],
  [/\bnew\s+Promise\b[^;]{0,200}?\bsetTimeout\s*\(/g, 'no sleep in a test: wait for what is expected, with a deadline'],
  [/\bsleep\s*\(/g, 'no sleep in a test: wait for what is expected, with a deadline'],
  [/\bvi\.(?:mock|doMock|spyOn|stubGlobal)\b/g, 'no mock: use the memory implementation of the port'],
];

export function testViolations(files: readonly RepositoryFile[]): string[] {
  return files
    .filter((file) => isTest(file.path))
    .flatMap((file) => {
      const sleeps = importsOf(file.text).filter((specifier) => /\btimers\/promises$/.test(specifier));
      return [
        ...codeRules(file, testRules),
        ...sleeps.map((each) => `${file.path} imports ${each}: no sleep in a test`),
      ];
    });
}

/** Only a `main.ts` acts on the process. Below the applications lint bans the whole of `process`. */
export function processViolations(files: readonly RepositoryFile[]): string[] {
  const acting: Rule = [
    new RegExp(`\\bprocess\\s*\\??\\.\\s*(?:${processMembers.join('|')})\\b`, 'g'),
    'only main.ts touches signals, environment and exit',
  ];
  return files.flatMap((file) => {
    const applies = packageOf(file.path) !== undefined && !isTestCode(file.path) && !processFiles.includes(file.path);
    return applies ? codeRules(file, [acting]) : [];
  });
}

const machinePaths: Rule = [/(?<![\w.])\/(?:root|work|Users\/\w|home\/(?!node\b)\w)[\w/.-]*/g, 'a path of one machine'];

/** Nothing of the machine that it was written on. */
export function originViolations(files: readonly RepositoryFile[]): string[] {
  return files.flatMap((file) => [...matches(file, file.text, machinePaths), ...hostViolations(file)]);
}

function hostViolations(file: RepositoryFile): string[] {
  return [...file.text.matchAll(/\bhttps?:\/\/([\w.-]+\.[a-z]{2,}|\d+(?:\.\d+){3})/g)].flatMap((match) => {
    const host = match[1] ?? '';
    return allowedHosts.includes(host) ? [] : [`${file.path}: the host ${host} is not among the allowed`];
  });
}
