/** A signal ends what a command began, before it ends the command. */
export function endBySignal(began: AsyncDisposable): void {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => void began[Symbol.asyncDispose]().then(() => process.exit(1)));
  }
}
