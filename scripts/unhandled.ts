/** Tells of what is thrown in this process and caught by nobody, in place of ending it. Returns what ends that. */
export function watchUnhandled(onThrown: (thrown: unknown) => void): () => void {
  process.on('unhandledRejection', onThrown);
  process.on('uncaughtException', onThrown);
  return () => {
    process.off('unhandledRejection', onThrown);
    process.off('uncaughtException', onThrown);
  };
}
