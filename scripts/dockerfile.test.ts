/** `deploy/Dockerfile` repeats what is said elsewhere; it must say the same. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { nodeEnvironment } from '../packages/cli/src/node-process.ts';
import { baseImageOf, environmentOf, installCommandOf, readDockerfile } from './dockerfile.ts';
import { pnpmVersion } from './install.mjs';
import { root } from './repository-files.ts';

const text = readDockerfile();

interface Manifest {
  readonly version: string;
  readonly license: string;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

const manifestAt = (file: string): Manifest => JSON.parse(readFileSync(path.join(root, file), 'utf8')) as Manifest;

test('the base image has the Node that everything else runs on', () => {
  const versions = Object.values(manifestAt('package.json').optionalDependencies ?? {});
  expect(new Set(versions).size).toBe(1);
  expect(baseImageOf(text)).toMatch(new RegExp(`^node:${versions[0]}-`));
  const bases = [...text.matchAll(/^FROM (\S+)/gm)].map((match) => match[1]);
  expect(new Set(bases)).toEqual(new Set(['${NODE_IMAGE}']));
});

test('the pnpm is that of the checkout', () => {
  expect(installCommandOf(text)).toContain(`pnpm@${pnpmVersion}`);
});

test('a node has the environment that `sluice dev` gives its nodes', () => {
  expect(environmentOf(text)).toMatchObject(nodeEnvironment);
});

test('the labels are those of the command', () => {
  const { version, license } = manifestAt('packages/cli/package.json');
  expect(text).toContain(`org.opencontainers.image.version="${version}"`);
  expect(text).toContain(`org.opencontainers.image.licenses="${license}"`);
});

test('every RUN needs Node alone', () => {
  const runs = [...text.matchAll(/^RUN (.*)$/gm)].map((match) => match[1] ?? '');
  expect(runs.length).toBeGreaterThan(0);
  for (const run of runs) expect(['node', 'npx']).toContain((JSON.parse(run) as string[])[0]);
});
