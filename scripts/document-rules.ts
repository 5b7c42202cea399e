/** The rules about documents: what they name exists, and decision records are numbered. */
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
  return records.flatMap((each, index) => {
    const number = String(index + 1).padStart(4, '0');
    return new RegExp(`^docs/adr/${number}-[a-z0-9-]+\\.md$`).test(each) ? [] : [`${each}: expected number ${number}`];
  });
}
