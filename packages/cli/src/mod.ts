/** The `sluice` command as a function of a terminal; `main.ts` gives it the process's own. */
export { exitCodes } from './exit-code.ts';
export type { ExitCode } from './exit-code.ts';
export { runCommandLine } from './program.ts';
export type { ProgramOptions } from './program.ts';
export type { Terminal } from './terminal.ts';
