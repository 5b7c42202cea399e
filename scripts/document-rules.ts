/** The rules about documents: what they name exists, and decision records are numbered. */
import path from 'node:path';
import type { RepositoryFile } from './repository-files.ts';

/** The text of a markdown section, from its heading to the next of the same level or above; undefined when absent. */
export function sectionOf(markdown: string, title: string): string | undefined {
  const lines = markdown.split('\n');
  const start = lines.findIndex((line) => /^#+ /.test(line) && line.toLowerCase().includes(title.toLowerCase()));
  const level = /^#+/.exec(lines[start] ?? '')?.[0].length;
  if (level === undefined) return undefined;
  const length = lines.slice(start + 1).findIndex((line) => (/^(#+) /.exec(line)?.[1]?.length ?? Infinity) <= level);
  return lines.slice(start, length < 0 ? undefined : start + 1 + length).join('\n');
}

/** Source files that the text names and that are not there. */
export function missingFiles(text: string, files: readonly RepositoryFile[]): string[] {
  const known = new Set(files.map((file) => file.path));
  const named = text.matchAll(/(?:packages|proto|scripts|e2e|examples|deploy)\/[\w./-]+\.(?:ts|mjs|proto)\b/g);
  return [...new Set([...named].map((match) => match[0]))].filter((name) => !known.has(name));
}

/** Decision records are `docs/adr/NNNN-title.md`, counted from 0001 without gap or double. */
export function adrViolations(paths: readonly string[]): string[] {
  const records = paths.filter((each) => each.startsWith('docs/adr/') && each.endsWith('.md')).sort();
  const numbers = records.map((each) => /^docs\/adr\/(\d{4})-[a-z0-9-]+\.md$/.exec(each)?.[1]);
  return records.flatMap((each, index) => {
    const number = numbers[index];
    if (number === undefined) return [`${each}: expected a number of four digits and a name`];
    return numbers.indexOf(number) === index ? [] : [`${each}: another record has number ${number}`];
  });
}

/** Links from one document to another file that is not there; anchors must be headings of the target. */
export function brokenLinks(files: readonly RepositoryFile[]): string[] {
  const known = new Map(files.map((file) => [file.path, file.text]));
  const folders = new Set(files.map((file) => path.posix.dirname(file.path)));
  const broken = ({ path: from, text }: RepositoryFile, link: string): boolean => {
    const [target = '', anchor] = link.split('#');
    const to = target === '' ? from : path.posix.join(path.posix.dirname(from), target).replace(/\/$/, '');
    const found = to === from ? text : known.get(to);
    if (found === undefined) return !folders.has(to);
    return anchor !== undefined && !anchorsOf(found).has(anchor);
  };
  return files
    .filter((file) => file.path.endsWith('.md'))
    .flatMap((file) =>
      [...file.text.matchAll(/\]\(([^)\s]+)\)|src="([^"]+)"/g)]
        .map((match) => match[1] ?? match[2] ?? '')
        .filter((link) => !/^[a-z]+:/.test(link) && broken(file, link))
        .map((link) => `${file.path}: nothing is at ${link}`),
    );
}

const anchorsOf = (markdown: string): ReadonlySet<string> =>
  new Set(
    [...markdown.matchAll(/^#+ (.*)$/gm)].map((match) =>
      (match[1] ?? '')
        .toLowerCase()
        .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
        .replaceAll(' ', '-'),
    ),
  );

/** The text of the first fenced block of a language, or undefined. */
export const codeBlock = (markdown: string, language: string): string | undefined =>
  new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\`$`, 'ms').exec(markdown)?.[1];

/** The terms of a glossary, one a line: `**term**: what it means`. */
export const glossaryTerms = (markdown: string): readonly string[] =>
  [...markdown.matchAll(/^\*\*(.+?)\*\*: \S/gm)].map((match) => match[1] ?? '');
