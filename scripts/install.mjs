/**
 * Installs the dependencies when they are missing or out of date. Plain JavaScript for Node >= 20 without dependencies.
 *
 * N1 The stamp is written last: an install that was interrupted at any point is done again.
 * N2 The mark is written first and removed after the stamp. A mark whose installer is gone means that `node_modules` may
 *    be half written in ways that pnpm takes for complete, so all of it is removed before the next try.
 * N3 Nothing here writes to stdout: it belongs to the script that runs next.
 */
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { closeSync, existsSync, mkdirSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { findNode, isNewEnough } from '../packages/cli/bin/launch.mjs';

export const root = fileURLToPath(new URL('..', import.meta.url));

export const pnpmVersion = '12.21.0';
const progressMs = 10_000;
const otherInstallMsMax = 300_000;
const outputCharsMax = 200_000;

const modules = path.join(root, 'node_modules');
const stampFile = path.join(modules, '.sluice-stamp');
const markFile = path.join(modules, '.sluice-installing');

/** @param {string} line */
const say = (line) => process.stderr.write(`sluice: ${line}\n`);

/** The root and every package that pnpm-workspace.yaml lists, in a stable order. */
function workspaceFolders() {
  const listed = /^packages:\n((?: +- .*\n)+)/m.exec(readFileSync(path.join(root, 'pnpm-workspace.yaml'), 'utf8'));
  const patterns = [...(listed?.[1] ?? '').matchAll(/- *["']?([^"'\n]+)/g)].map((match) => (match[1] ?? '').trim());
  const folders = patterns.flatMap((pattern) => {
    if (!pattern.endsWith('/*')) return [path.join(root, pattern)];
    const parent = path.join(root, pattern.slice(0, -2));
    return existsSync(parent) ? readdirSync(parent).map((name) => path.join(parent, name)) : [];
  });
  return [root, ...folders.sort()].filter((folder) => existsSync(path.join(folder, 'package.json')));
}

/** What the installed files depend on, as one hash. */
function wantedStamp() {
  const hash = createHash('sha256').update(`${pnpmVersion} ${process.platform} ${process.arch}\n`);
  const files = [path.join(root, 'pnpm-lock.yaml'), path.join(root, 'pnpm-workspace.yaml')];
  for (const folder of workspaceFolders()) files.push(path.join(folder, 'package.json'));
  for (const file of files) hash.update(`${path.relative(root, file)}\n`).update(readFileSync(file));
  return hash.digest('hex');
}

/** The packages for other platforms are optional; without one for this platform its own Node has to be new enough. */
const installedNode = () => findNode(import.meta.url);

/** A direct dependency that is not there, or undefined. Cheap: tells a damaged install, not a subtly damaged one. */
function missingDependency() {
  for (const folder of workspaceFolders()) {
    const text = readFileSync(path.join(folder, 'package.json'), 'utf8');
    const { dependencies, devDependencies } = /** @type {{ dependencies?: object, devDependencies?: object }} */ (
      JSON.parse(text)
    );
    for (const name of Object.keys({ ...dependencies, ...devDependencies })) {
      if (!existsSync(path.join(folder, 'node_modules', name, 'package.json'))) return name;
    }
  }
  return installedNode() === undefined ? 'Node 24' : undefined;
}

/** @param {string} file */
function readText(file) {
  return existsSync(file) ? readFileSync(file, 'utf8') : undefined;
}

/**
 * @param {unknown} error
 * @param {string} code
 */
function hasCode(error, code) {
  return error instanceof Error && 'code' in error && error.code === code;
}

/** @param {number} processGroup */
function isAlive(processGroup) {
  try {
    process.kill(-processGroup, 0);
    return true;
  } catch (error) {
    return hasCode(error, 'EPERM');
  }
}

/** Takes the mark for this process. Waits while another install runs. Returns whether an earlier one broke off (N2). */
async function takeMark() {
  mkdirSync(modules, { recursive: true });
  const deadlineMs = performance.now() + otherInstallMsMax;
  let brokenOff = false;
  for (let round = 0; ; round += 1) {
    try {
      closeSync(openSync(markFile, 'wx'));
      return brokenOff;
    } catch (error) {
      if (!hasCode(error, 'EEXIST')) throw error;
    }
    const group = Number(readText(markFile));
    if (!(group > 0 && isAlive(group)) || performance.now() > deadlineMs) {
      // An empty mark is one that its owner is about to fill: give it a moment before taking it for dead.
      if (group > 0 || round > 20) {
        brokenOff = true;
        rmSync(markFile, { force: true });
      }
    } else if (round % 100 === 0) {
      say('another install is running in this checkout, waiting for it');
    }
    await sleep(100);
  }
}

/**
 * Runs pnpm quietly in a process group of its own.
 * @returns {Promise<string | undefined>} its output when it fails
 */
function runPnpm() {
  // Without a terminal pnpm asks no questions; a modules folder of another layout is replaced.
  const args = ['install', '--frozen-lockfile', '--reporter=append-only', '--config.confirm-modules-purge=false'];
  const child = spawn('npx', ['--yes', `pnpm@${pnpmVersion}`, ...args], {
    cwd: root,
    detached: true,
    env: { ...process.env, CI: 'true' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  /** @param {string} chunk */
  const keep = (chunk) => {
    output = (output + chunk).slice(-outputCharsMax);
  };
  child.stdout.setEncoding('utf8').on('data', keep);
  child.stderr.setEncoding('utf8').on('data', keep);
  if (child.pid !== undefined) writeFileSync(markFile, String(child.pid));

  const startMs = performance.now();
  const progress = setInterval(() => {
    say(`still installing, ${Math.round((performance.now() - startMs) / 1000)} s`);
  }, progressMs);
  /** @param {NodeJS.Signals} signal */
  const stop = (signal) => {
    // The mark stays: the next run sees that this one broke off.
    if (child.pid !== undefined && isAlive(child.pid)) process.kill(-child.pid, 'SIGTERM');
    say('the install was interrupted; the next run starts it again');
    for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.removeListener(name, stop);
    process.kill(process.pid, signal);
  };
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(name, stop);

  return new Promise((resolve) => {
    /** @param {string | undefined} failure */
    const finish = (failure) => {
      clearInterval(progress);
      for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.removeListener(name, stop);
      resolve(failure);
    };
    child.on('error', (error) => finish(`npx could not be started (it comes with npm): ${error.message}\n`));
    child.on('close', (code) => finish(code === 0 ? undefined : output));
  });
}

/** Why what is installed cannot be used, or undefined. */
function defect() {
  const missing = missingDependency();
  if (missing !== undefined) return `${missing} is missing`;
  const answer = spawnSync(installedNode() ?? '', ['--version'], { encoding: 'utf8' });
  const version = (answer.stdout ?? '').trim().replace(/^v/, '');
  return isNewEnough(version) ? undefined : `the installed Node answers '${version}'`;
}

function removeModules() {
  for (const folder of workspaceFolders()) {
    rmSync(path.join(folder, 'node_modules'), { recursive: true, force: true, maxRetries: 3 });
  }
}

/**
 * The mark lies in what is removed, and must lie there again before the next install writes anything (N2).
 * @param {string} why
 */
function startAgain(why) {
  say(`${why}, so node_modules is built again from nothing`);
  removeModules();
  mkdirSync(modules, { recursive: true });
  writeFileSync(markFile, '');
}

/**
 * Brings `node_modules` up to date.
 * @returns {Promise<string | undefined>} a Node that runs TypeScript, or undefined when the install failed and stderr says why
 */
export async function install() {
  const isCurrent = () => !existsSync(markFile) && readText(stampFile) === wantedStamp();
  if (isCurrent() && missingDependency() === undefined) return installedNode();
  const brokenOff = await takeMark();
  if (readText(stampFile) === wantedStamp() && missingDependency() === undefined && !brokenOff) {
    rmSync(markFile, { force: true }); // Another process did it meanwhile.
    return installedNode();
  }
  const startMs = performance.now();
  say(`installing dependencies into node_modules (the first time this takes about half a minute)`);
  rmSync(stampFile, { force: true });
  if (brokenOff) startAgain('an earlier install broke off');

  let failure = await runPnpm();
  let wrong = failure === undefined ? defect() : undefined;
  if (wrong !== undefined) {
    startAgain(wrong);
    failure = await runPnpm();
    wrong = failure === undefined ? defect() : undefined;
  }
  if (failure !== undefined || wrong !== undefined) {
    rmSync(markFile, { force: true });
    process.stderr.write(failure ?? '');
    say(`the install failed${wrong === undefined ? '' : ` (${wrong})`}; what pnpm said is above`);
    return undefined;
  }
  writeFileSync(stampFile, wantedStamp());
  rmSync(markFile, { force: true });
  say(`installed in ${((performance.now() - startMs) / 1000).toFixed(1)} s`);
  return installedNode();
}
