/**
 * Starts a script under the installed Node 24 and becomes transparent: arguments, stdio, signals and the exit code pass
 * through. Plain JavaScript for Node >= 20 with nothing installed, because it runs before anything else does.
 * Used by `sluice.mjs` beside it and by `scripts/run.mjs`.
 *
 * L1 Nothing here writes to stdout: it belongs to the script.
 * L2 The child never outlives the launcher: an IPC channel closes when the launcher dies, however it dies, and
 *    `launched.mjs` ends the child then. The launcher in turn ends the child when npm or npx above it is gone.
 * L3 A signal reaches the child once, also when a terminal or `timeout` sent it to the whole process group: a second one
 *    would end a script that is closing in order.
 */
import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

/** Type stripping is stable from this version on. */
const majorMin = 24;
const minorMin = 12;

const parentCheckMs = 1000;

/**
 * Where compiled code is kept: with it a node starts in a third of the time and needs 25 MB less, because nothing is
 * stripped of its types twice.
 */
export const compileCache = fileURLToPath(new URL('../../../node_modules/.cache/compiled', import.meta.url));

/** @type {NodeJS.Signals[]} */
const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'];

/** @param {string} version like `24.21.0` */
export function isNewEnough(version) {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  return major > majorMin || (major === majorMin && minor >= minorMin);
}

/**
 * A Node that runs our TypeScript: the one installed for this platform as seen from a module at `fromUrl`, else the one
 * that runs now when it is new enough, else undefined.
 * @param {string} fromUrl
 * @returns {string | undefined}
 */
export function findNode(fromUrl) {
  const name = `node-${process.platform}-${process.arch}`;
  try {
    return path.join(path.dirname(createRequire(fromUrl).resolve(`${name}/package.json`)), 'bin', 'node');
  } catch {
    // Not installed, or no such package for this platform: the caller says what to do.
    return isNewEnough(process.versions.node) ? process.execPath : undefined;
  }
}

/**
 * npm and npx wait for us; when they are killed, nobody does, and what we started must end too.
 * @param {import('node:child_process').ChildProcess} child
 */
function watchParent(child) {
  const parent = process.ppid;
  const timer = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(timer);
    forwardOnce(child, 'SIGTERM');
  }, parentCheckMs);
  timer.unref();
}

/**
 * The child decides whether it has had the signal itself already (L3).
 * @param {import('node:child_process').ChildProcess} child
 * @param {NodeJS.Signals} signal
 */
function forwardOnce(child, signal) {
  if (child.connected) child.send({ signal }, () => {});
  else child.kill(signal);
}

/**
 * Ends this process as the child ended, so that whoever waits for us sees the same.
 * @param {number | null} code
 * @param {NodeJS.Signals | null} signal
 */
function endAs(code, signal) {
  if (signal === null) {
    process.exitCode = code ?? 1;
    return;
  }
  for (const name of signals) process.removeAllListeners(name);
  process.kill(process.pid, signal);
}

/**
 * @param {{ node: string, script: string, args: string[], env?: NodeJS.ProcessEnv }} options
 */
export function launch({ node, script, args, env = process.env }) {
  const guard = new URL('launched.mjs', import.meta.url).href;
  const child = spawn(node, ['--import', guard, script, ...args], {
    stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
    env: { NODE_COMPILE_CACHE: compileCache, ...env, SLUICE_LAUNCHER: String(process.pid) },
  });
  for (const signal of signals) process.on(signal, () => forwardOnce(child, signal));
  if (process.env['npm_lifecycle_event'] !== undefined) watchParent(child);
  child.on('error', (error) => {
    process.stderr.write(`sluice: cannot start ${node}: ${error.message}\n`);
    process.exitCode = 1;
  });
  child.on('exit', endAs);
}
