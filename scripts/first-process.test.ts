/** `packages/cli/bin/first-process.mjs` in a process that takes itself for the first; e2e has it in real containers. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { afterEach, expect, test } from 'vitest';

const started: ChildProcess[] = [];
afterEach(() => {
  for (const child of started.splice(0)) child.kill('SIGKILL');
});

const module = JSON.stringify(new URL('../packages/cli/bin/first-process.mjs', import.meta.url).href);

/** The exit of a process that gets the signal once it has printed a line. */
async function exitAfter(
  signal: NodeJS.Signals,
  { pid, handlers }: { readonly pid: string; readonly handlers: string },
) {
  const script = `Object.defineProperty(process, 'pid', { value: ${pid} });
    await import(${module});
    ${handlers}
    setInterval(() => {}, 1000);
    console.log('running');`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  started.push(child);
  const exit = once(child, 'exit');
  await once(createInterface({ input: child.stdout }), 'line');
  child.kill(signal);
  return exit;
}

test.each([
  ['SIGTERM', 143],
  ['SIGINT', 130],
  ['SIGHUP', 129],
  ['SIGQUIT', 131],
] as const)('%s ends the first process with %i', async (signal, code) => {
  expect(await exitAfter(signal, { pid: '1', handlers: '' })).toEqual([code, null]);
});

test('a command that handles the signal itself is left to it', async () => {
  const handlers = "process.on('SIGTERM', () => process.exit(7));";
  expect(await exitAfter('SIGTERM', { pid: '1', handlers })).toEqual([7, null]);
});

test('a signal that came while Node started is not lost', async () => {
  const script = `Object.defineProperty(process, 'pid', { value: 1 });
    // As after the signal: the handler that Node had from its start is gone.
    const listener = () => {};
    process.on('SIGTERM', listener);
    process.removeListener('SIGTERM', listener);
    await import(${module});
    console.log('started');`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  started.push(child);
  expect(await text(child.stdout)).toBe('');
  if (child.exitCode === null) await once(child, 'exit');
  expect(child.exitCode).toBe(143);
});

test('any other process is ended by the signal itself', async () => {
  expect(await exitAfter('SIGTERM', { pid: 'process.pid', handlers: '' })).toEqual([null, 'SIGTERM']);
});
