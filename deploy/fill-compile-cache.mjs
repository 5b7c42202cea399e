/**
 * Run while the image is built, as the user of the image: starts a one-node cluster on loopback, uses it, and stops it, so
 * that NODE_COMPILE_CACHE holds what V8 compiled for a node and for the command line. Fails when any of that fails.
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const sluice = '/opt/sluice/packages/cli/bin/sluice.mjs';
const healthCheck = '/opt/sluice/deploy/health-check.mjs';
const readyMsMax = 30_000;
const commandMsMax = 30_000;

/** Uses what the commands of an operator load, and the health check. */
const uses = [
  [healthCheck],
  [sluice, '--version'],
  [sluice, 'topic', 'create', 'compiled'],
  [sluice, 'produce', 'compiled'],
  [sluice, 'consume', 'compiled', '--until', 'end'],
  [sluice, 'topic', 'list'],
  [sluice, 'cluster', 'status'],
];

const data = mkdtempSync(path.join(tmpdir(), 'sluice-'));
const node = spawn(process.execPath, [sluice, 'server'], {
  stdio: ['ignore', 'inherit', 'inherit'],
  env: {
    ...process.env,
    SLUICE_NODE_ID: '1',
    SLUICE_DATA_DIRECTORY: data,
    SLUICE_CLUSTER_VOTERS: '[{nodeId: 1, peerAddress: "127.0.0.1:7651"}]',
    // There is no other node to take over.
    SLUICE_DRAIN_TIMEOUT_MS: '0',
  },
});
const ended = once(node, 'exit');

/** @param {string[]} args */
const run = (args) =>
  spawnSync(process.execPath, args, {
    input: 'a record\n',
    encoding: 'utf8',
    timeout: commandMsMax,
    killSignal: 'SIGKILL',
  });

try {
  const deadlineMs = performance.now() + readyMsMax;
  for (let answer = run([healthCheck]); answer.status !== 0; answer = run([healthCheck])) {
    if (node.exitCode !== null || performance.now() > deadlineMs)
      throw new Error(`the node is ${answer.stdout.trim()}`);
    await sleep(100);
  }
  for (const args of uses) {
    const { status, stdout, stderr } = run(args);
    if (status !== 0) throw new Error(`${args.join(' ')} ended with ${status}: ${stdout}${stderr}`);
  }
  node.kill('SIGTERM');
  await ended;
  if (node.exitCode !== 0) throw new Error(`the node ended with ${node.exitCode} when it was told to stop`);
} finally {
  node.kill('SIGKILL');
  rmSync(data, { recursive: true });
}
