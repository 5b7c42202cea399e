/** `sluice log inspect` on a directory of this machine's disk, while a node log holds it and afterwards, damaged. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { type Clock, logIndex, silentLogger, term } from '@sluice/base';
import { DataDirectory, NodeDisk, openNodeLog } from '@sluice/storage';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { runCommandLine } from './program.ts';
import type { Terminal } from './terminal.ts';

let root: string;
beforeEach(() => {
  root = fs.mkdtempSync(path.join(os.tmpdir(), 'sluice-inspect-'));
});
afterEach(() => {
  fs.rmSync(root, { recursive: true, force: true });
});

const clock: Clock = {
  monotonicMs: () => performance.now(),
  wallMs: () => Date.now(),
  setTimer: (delayMs, onFire) => {
    const timer = setTimeout(onFire, delayMs);
    return { cancel: () => clearTimeout(timer) };
  },
  defer: (run) => void setImmediate(run),
};

async function inspect(...args: readonly string[]) {
  let out = '';
  let err = '';
  const terminal: Terminal = {
    // eslint-disable-next-line @typescript-eslint/require-await
    stdin: (async function* () {})(),
    writeOut: (bytes) => Promise.resolve(void (out += String(bytes))),
    writeErr: (text) => void (err += text),
    watched: false,
    pid: 1,
    environment: {},
    interruption: () => new AbortController().signal,
  };
  const exit = await runCommandLine(['log', 'inspect', root, ...args], { terminal, readContexts: () => ({}) });
  return { exit, out, err };
}

/** Names and contents. */
const snapshot = (): string =>
  fs
    .readdirSync(root)
    .map(
      (name) => `${name} ${name.startsWith('lock') ? '' : fs.readFileSync(path.join(root, name)).toString('base64')}`,
    )
    .join('\n');

test('it says who holds the directory, what is in it and what is damaged, and leaves it as it is', async () => {
  const directory = await DataDirectory.open(new NodeDisk(), root);
  const halt = { halt: (reason: Error) => expect.unreachable(reason.message) };
  const log = await openNodeLog({
    directory,
    clock,
    halt,
    logger: silentLogger,
    limits: { sealAfterIdleMs: 3_600_000 },
  });
  const entry = { index: logIndex(1), term: term(4), kind: 0, payload: new Uint8Array(10) };
  await new Promise<void>((done) =>
    log.raft.persist({ hardState: { term: term(4), votedFor: 'n' }, entries: [entry] }, done),
  );
  const held = await inspect('--json');
  expect(held.exit).toBe(0);
  expect(JSON.parse(held.out)).toMatchObject({
    lock: { held: true, pid: process.pid },
    raft: { term: 4, votedFor: 'n', snapshot: null, entries: 1, firstIndex: 1, lastIndex: 1, doubtful: false },
    damaged: false,
    findings: [],
  });
  expect(held.err).toContain(`in use by process ${process.pid}`);
  await log.close();
  await directory.release();
  const journal = fs.readdirSync(root).find((name) => name.startsWith('journal-')) ?? '';
  const file = fs.openSync(path.join(root, journal), 'r+');
  fs.writeSync(file, Buffer.from('rotten'), 0, 6, 4096 + 20);
  fs.closeSync(file);
  const before = snapshot();
  const free = await inspect();
  expect([free.exit, free.err]).toEqual([0, '']);
  expect(free.out).toContain(journal);
  expect(free.out).toContain('Whole groups are missing');
  expect(free.out).toContain('journal damaged');
  expect(snapshot()).toBe(before);
});

test('only a directory that is not there is refused', async () => {
  fs.rmSync(root, { recursive: true });
  const { exit, out } = await inspect('--json');
  expect([exit, JSON.parse(out)]).toMatchObject([1, { error: { code: 'INVALID_CONFIG' } }]);
});
