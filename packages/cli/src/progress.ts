/** How far a long command is, on stderr: a bar where people watch and the total is known, else a line now and then. */
import cliProgress from 'cli-progress';
import type { Output } from './output.ts';

export interface ProgressOptions {
  readonly label: string;
  /** Undefined when it cannot be known: standard input, seconds. */
  readonly total: number | undefined;
  readonly watched: boolean;
  readonly output: Pick<Output, 'quiet' | 'note'>;
  readonly describe: () => string;
}

const lineEveryMs = 5000;

/** Calls `describe` from a timer; the returned function ends it. `advance` moves the bar. */
export function startProgress({ label, total, watched, output, describe }: ProgressOptions): {
  advance(to: number): void;
  stop(): void;
} {
  if (output.quiet) return { advance: () => undefined, stop: () => undefined };
  if (watched && total !== undefined) {
    const bar = new cliProgress.SingleBar({ format: `${label} {bar} {percentage}% · {eta}s left` });
    bar.start(total, 0);
    return { advance: (to) => bar.update(to), stop: () => bar.stop() };
  }
  const timer = setInterval(() => output.note(`${label}: ${describe()}`), lineEveryMs);
  timer.unref();
  return { advance: () => undefined, stop: () => clearInterval(timer) };
}
