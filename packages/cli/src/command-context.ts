/** What every command that talks to a cluster starts from: the global options, resolved. */
import { SluiceError } from '@sluice/base';
import { Sluice } from '@sluice/client';
import type { Command } from 'commander';
import type { ExitCode } from './exit-code.ts';
import { bootstrapList } from './option-values.ts';
import { Output } from './output.ts';
import type { Terminal } from './terminal.ts';

export interface GlobalOptions {
  readonly bootstrap?: readonly string[];
  readonly json?: true;
  readonly quiet?: true;
  /** Milliseconds. */
  readonly timeout: number;
  readonly context?: string;
}

export interface CommandContext {
  readonly terminal: Terminal;
  readonly output: Output;
  readonly timeoutMs: number;
  readonly bootstrap: readonly string[];
}

export type CommandBody = (context: CommandContext) => Promise<ExitCode>;

/** Runs one command's body; given to the functions that declare commands. */
export type RunCommand = (command: Command, body: CommandBody) => Promise<void>;

/** Looks a named context up; `main.ts` reads the file. */
export type ReadContexts = () => Readonly<Record<string, { readonly bootstrap: readonly string[] }>>;

const defaultBootstrap = '127.0.0.1:7650';

export function commandContext(terminal: Terminal, options: GlobalOptions, readContexts: ReadContexts): CommandContext {
  return {
    terminal,
    output: new Output(terminal, { json: options.json === true, quiet: options.quiet === true }),
    timeoutMs: options.timeout,
    bootstrap: resolveBootstrap(options, terminal.environment, readContexts),
  };
}

/** Flags beat the environment, an address beats a name. */
export function resolveBootstrap(
  options: Pick<GlobalOptions, 'bootstrap' | 'context'>,
  environment: Readonly<Record<string, string | undefined>>,
  readContexts: ReadContexts,
): readonly string[] {
  if (options.bootstrap !== undefined) return options.bootstrap;
  const addresses = environment['SLUICE_BOOTSTRAP'];
  const name = options.context ?? (addresses === undefined ? environment['SLUICE_CONTEXT'] : undefined);
  if (name === undefined) return bootstrapList(addresses ?? defaultBootstrap);
  const found = readContexts()[name];
  if (found !== undefined) return bootstrapList(found.bootstrap.join(','));
  throw new SluiceError('INVALID_CONFIG', {
    message: `There is no context ${JSON.stringify(name)}; add it to contexts.yaml in the sluice configuration directory.`,
    details: { context: name },
  });
}

export const connect = ({ bootstrap, timeoutMs }: CommandContext): Sluice =>
  new Sluice({ bootstrap, clientId: 'sluice-cli', requestTimeoutMs: timeoutMs });
