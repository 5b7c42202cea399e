/**
 * Evaluated before anything else of the command. The kernel drops every signal to the first process of a container that
 * the process has no handler for, so Ctrl-C and `docker stop` would do nothing until a command handles them, and nothing
 * at all for most commands. Here they end the process as they end any other: at once, with 128 and the signal's number.
 * A command that handles a signal itself takes it over.
 */
import { constants } from 'node:os';

const signals = /** @type {const} */ (['SIGHUP', 'SIGINT', 'SIGQUIT', 'SIGTERM']);

if (process.pid === 1) {
  for (const signal of signals) {
    process.on(signal, () => {
      if (process.listenerCount(signal) === 1) process.exit(128 + constants.signals[signal]);
    });
  }
}
