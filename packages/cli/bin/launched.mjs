/**
 * Loaded first in a process that `launch.mjs` started: the child's half of rules L2 and L3 there.
 * Does nothing in worker threads and in processes that the child forks (they inherit `--import`).
 */
import { isMainThread } from 'node:worker_threads';

/** A signal to the whole group and the launcher's copy of it arrive within this time of each other. */
const sameSignalMs = 500;

/** What the launcher forwards waits this long, so that the process's own signal is seen first. */
const settleMs = 50;

/** After the launcher's death the script may close in order, but not for longer than this. */
const closeMsMax = 15_000;

const signals = /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP']);

/** @type {Record<string, number>} */
const seenAtMs = {};

/** @param {NodeJS.Signals} signal */
function noteSignal(signal) {
  const note = () => {
    seenAtMs[signal] = performance.now();
    if (process.listenerCount(signal) > 1) return;
    // Nobody else listens, so the signal would have ended the process: let it.
    process.removeListener(signal, note);
    process.kill(process.pid, signal);
  };
  process.on(signal, note);
}

/** @param {unknown} message */
function onForwarded(message) {
  const wanted = typeof message === 'object' && message !== null && 'signal' in message ? message.signal : undefined;
  const signal = signals.find((each) => each === wanted);
  if (signal === undefined) return;
  setTimeout(() => {
    const seen = seenAtMs[signal] ?? Number.NEGATIVE_INFINITY;
    if (performance.now() - seen > sameSignalMs) process.kill(process.pid, signal);
  }, settleMs).unref();
}

function onLauncherGone() {
  process.kill(process.pid, 'SIGTERM');
  setTimeout(() => process.exit(1), closeMsMax).unref();
}

if (isMainThread && process.channel !== undefined && process.env['SLUICE_LAUNCHER'] === String(process.ppid)) {
  for (const signal of signals) noteSignal(signal);
  process.on('message', onForwarded);
  process.on('disconnect', onLauncherGone);
  process.channel.unref();
}
delete process.env['SLUICE_LAUNCHER'];
