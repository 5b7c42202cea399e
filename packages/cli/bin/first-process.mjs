/**
 * Evaluated before anything else of the command. The kernel drops every signal to the first process of a container that
 * the process has no handler for, so Ctrl-C and `docker stop` would do nothing until a command handles them, and nothing
 * at all for most commands. Here they end the process as they end any other: at once, with 128 and the signal's number.
 * A command that handles a signal itself takes it over.
 */
import { readFileSync } from 'node:fs';
import { constants } from 'node:os';

const signals = /** @type {const} */ (['SIGHUP', 'SIGINT', 'SIGQUIT', 'SIGTERM']);

/** Node handles these from its first milliseconds on, once: it raises the signal again, which is dropped here. */
const handledByNode = /** @type {const} */ (['SIGINT', 'SIGTERM']);

/** @param {typeof signals[number]} signal */
const end = (signal) => process.exit(128 + constants.signals[signal]);

/** The signals that this process has handlers for, as a set of bits; signal 1 is the lowest. */
function caught() {
  const mask = /^SigCgt:\s*([\da-f]+)$/m.exec(readFileSync('/proc/self/status', 'latin1'))?.[1];
  return BigInt(`0x${mask}`);
}

if (process.pid === 1) {
  const before = caught();
  for (const signal of signals) {
    process.on(signal, () => {
      if (process.listenerCount(signal) === 1) end(signal);
    });
  }
  // Node's own handler is gone: the signal came while Node started.
  for (const signal of handledByNode) {
    if (((before >> BigInt(constants.signals[signal] - 1)) & 1n) === 0n) end(signal);
  }
}
