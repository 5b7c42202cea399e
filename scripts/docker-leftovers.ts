/**
 * Containers, networks and volumes of the tests that a killed suite left. They are found by their label alone, so one
 * engine serves one run of the test command at a time.
 */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { testLabel } from '../e2e/test-image.ts';

const execute = promisify(execFile);

/** Containers first: what they use cannot be removed before. Their unnamed volumes go with them. */
const kinds = [
  { kind: 'container', list: ['--all', '--format', '{{.Names}}'], remove: ['--force', '--volumes'] },
  { kind: 'network', list: ['--format', '{{.Name}}'], remove: [] },
  { kind: 'volume', list: ['--format', '{{.Name}}'], remove: ['--force'] },
] as const;

const callTimeoutMs = 60_000;
/** What the engine was still making when the suite was killed shows up in the second pass. */
const passesMax = 5;

/** Resolves with what was there, as `container NAME`; rejects when the engine does not let it go. */
export async function removeLeftovers(label = testLabel): Promise<string[]> {
  const removed: string[] = [];
  for (let pass = 1; pass <= passesMax; pass += 1) {
    const found = await removeFound(label);
    if (found.length === 0) return removed;
    removed.push(...found);
  }
  throw new Error(`there is always more with the label ${label}: does another run use this engine?`);
}

async function removeFound(label: string): Promise<string[]> {
  const found: string[] = [];
  for (const { kind, list, remove } of kinds) {
    const text = await docker(kind, 'ls', '--filter', `label=${label}`, ...list);
    const names = text.split('\n').filter((name) => name !== '');
    if (names.length === 0) continue;
    await docker(kind, 'rm', ...remove, ...names);
    found.push(...names.map((name) => `${kind} ${name}`));
  }
  return found;
}

async function docker(...words: string[]): Promise<string> {
  const { stdout } = await execute('docker', words, { timeout: callTimeoutMs });
  return stdout;
}
