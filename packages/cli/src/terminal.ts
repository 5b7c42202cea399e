/** What a command may touch of its process; `main.ts` makes the real one, tests make their own. */
export interface Terminal {
  readonly stdin: AsyncIterable<Uint8Array>;
  /** Resolves when more may be written: a slow reader slows the command. */
  writeOut(bytes: string | Uint8Array): Promise<void>;
  writeErr(text: string): void;
  /** True when people watch stderr: bars and redrawn lines make sense. */
  readonly watched: boolean;
  readonly pid: number;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Aborts on SIGINT and SIGTERM. A command that never asks is ended by them, as usual. */
  interruption(): AbortSignal;
}
