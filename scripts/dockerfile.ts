/** What the scripts have to know of `deploy/Dockerfile`, read from it, so that it is said once. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { root } from './repository-files.ts';

export const dockerfile = 'deploy/Dockerfile';

export const readDockerfile = (): string => readFileSync(path.join(root, dockerfile), 'utf8');

/** `node:24.21.0-bookworm-slim`: what every stage begins with. */
export function baseImageOf(text: string): string {
  const image = /^ARG NODE_IMAGE=(\S+)$/m.exec(text)?.[1];
  if (image === undefined) throw new Error(`${dockerfile} has no line ARG NODE_IMAGE=…`);
  return image;
}

/** The command that installs the dependencies: a program and its arguments. */
export function installCommandOf(text: string): readonly string[] {
  const array = /^RUN (\["npx",.*\])$/m.exec(text)?.[1];
  if (array === undefined) throw new Error(`${dockerfile} has no line RUN ["npx", …]`);
  return JSON.parse(array) as readonly string[];
}

/** All variables that the last stage sets. */
export function environmentOf(text: string): Readonly<Record<string, string>> {
  const last = text.slice(text.lastIndexOf('\nFROM ')).replaceAll(/\\\n\s*/g, '');
  const settings = [...last.matchAll(/^ENV (.*)$/gm)].flatMap((match) => (match[1] ?? '').split(/\s+/));
  return Object.fromEntries(
    settings.map((each) => [each.slice(0, each.indexOf('=')), each.slice(each.indexOf('=') + 1)]),
  );
}
