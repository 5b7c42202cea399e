/** The launcher on real processes: rules L1 to L3 of `packages/cli/bin/launch.mjs`. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, beforeEach, expect, test } from 'vitest';

let folder = '';
const started: ChildProcess[] = [];

beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'sluice launch-'));
});
afterEach(() => {
  for (const child of started.splice(0)) child.kill('SIGKILL');
  rmSync(folder, { recursive: true });
});

const launcher = new URL('../packages/cli/bin/launch.mjs', import.meta.url).href;

/** A process that launches the script, with pipes for stdio. */
function launch(script: string, args: readonly string[] = []) {
  const file = path.join(folder, 'script.ts');
  writeFileSync(file, script);
  const call = `import { launch } from ${JSON.stringify(launcher)};
    launch({ node: process.execPath, script: ${JSON.stringify(file)}, args: ${JSON.stringify(args)} });`;
  const parent = spawn(process.execPath, ['--input-type=module', '-e', call], {
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  started.push(parent);
  const lines = createInterface({ input: parent.stdout })[Symbol.asyncIterator]();
  const line = async (): Promise<string | undefined> => {
    const next = await lines.next();
    return next.done === true ? undefined : next.value;
  };
  return { parent, line, ended: once(parent, 'exit') };
}

test('arguments, standard input, output and the exit code pass through', async () => {
  const { parent, line, ended } = launch(
    `const argument: string = process.argv[2] ?? '';
     for await (const chunk of process.stdin) console.log(argument, String(chunk));
     console.log(process.env['SLUICE_LAUNCHER']);
     process.exitCode = 7;`,
    ['a b'],
  );
  parent.stdin.end('hello');
  expect(await line()).toBe('a b hello');
  expect(await line()).toBe('undefined');
  expect(await line()).toBeUndefined();
  expect(await ended).toEqual([7, null]);
});

const counting = `let seen = 0;
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      seen += 1;
      console.log(signal);
      setTimeout(() => process.exit(seen), 800);
    });
  }
  setInterval(() => {}, 1000);
  console.log(process.pid);`;

test.each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)('%s to the launcher reaches the script once', async (signal) => {
  const { parent, line, ended } = launch(counting);
  expect(Number(await line())).toBeGreaterThan(0);
  parent.kill(signal);
  expect(await line()).toBe(signal);
  expect(await ended).toEqual([1, null]);
});

test.each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)(
  '%s to launcher and script reaches the script once',
  async (signal) => {
    const { parent, line, ended } = launch(counting);
    process.kill(Number(await line()), signal);
    // Signals that arrive while one is pending become one: the second is sent when the first has been seen.
    expect(await line()).toBe(signal);
    parent.kill(signal);
    expect(await ended).toEqual([1, null]);
  },
);

test.each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)(
  'a script that ignores nothing ends by %s, and so do we',
  async (signal) => {
    const { parent, line, ended } = launch(`setInterval(() => {}, 1000); console.log('ready');`);
    expect(await line()).toBe('ready');
    parent.kill(signal);
    expect(await ended).toEqual([null, signal]);
  },
);

test('a launcher killed with SIGKILL takes the script with it, in order', async () => {
  const { parent, line } = launch(
    `process.on('SIGTERM', () => { console.log('closing'); process.exit(0); });
     setInterval(() => {}, 1000);
     console.log('ready');`,
  );
  expect(await line()).toBe('ready');
  parent.kill('SIGKILL');
  expect(await line()).toBe('closing');
  expect(await line()).toBeUndefined();
});

test('the channel to the launcher keeps no script alive', async () => {
  const { line, ended } = launch(`console.log('done');`);
  expect(await line()).toBe('done');
  expect(await ended).toEqual([0, null]);
});
