/** The command tree: global options, every command, and how each run ends. */
import { Command, CommanderError, Option } from 'commander';
import { addBenchCommands } from './bench/command.ts';
import { addClusterCommands } from './cluster-command.ts';
import { commandContext } from './command-context.ts';
import type { GlobalOptions, ReadContexts, RunCommand } from './command-context.ts';
import { addConsumeCommand } from './consume-command.ts';
import { addDevCommand } from './dev-command.ts';
import { addElectCommands } from './elect-commands.ts';
import { exitCodeOf, exitCodes } from './exit-code.ts';
import type { ExitCode } from './exit-code.ts';
import { bootstrapList, durationMs } from './option-values.ts';
import { Output } from './output.ts';
import { addProduceCommand } from './produce-command.ts';
import { addLogCommands } from './log-command.ts';
import { addNodeCommands } from './node-commands.ts';
import { addServerCommand } from './server-command.ts';
import type { Terminal } from './terminal.ts';
import { addTopicCommands } from './topic-commands.ts';
import { version } from './version.ts';

const defaultTimeoutMs = 30_000;

const after = `
Exit codes: 0 done, 1 failed, 2 wrong usage, 3 could not reach the cluster, 4 indefinite (may or may not have happened)

Examples:
  sluice dev
  sluice topic create orders --partitions 6
  echo hello | sluice produce orders
  sluice consume orders --until end`;

export interface ProgramOptions {
  readonly terminal: Terminal;
  readonly readContexts: ReadContexts;
}

/** Runs one command line, without the program's name, and tells how the process should end. */
export async function runCommandLine(argv: readonly string[], options: ProgramOptions): Promise<ExitCode> {
  let exit: ExitCode = exitCodes.done;
  const program = buildProgram(options, (code) => {
    exit = code;
  });
  try {
    await program.parseAsync([...argv], { from: 'user' });
    return exit;
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    return endOfUsage(argv, error, options.terminal);
  }
}

function buildProgram({ terminal, readContexts }: ProgramOptions, finish: (code: ExitCode) => void): Command {
  const program = new Command('sluice')
    .description('a replicated message log')
    .version(version)
    .option(
      '--bootstrap <host:port,…>',
      'nodes to ask first (or SLUICE_BOOTSTRAP; default 127.0.0.1:7650)',
      bootstrapList,
    )
    .option('--json', 'JSON alone on stdout')
    .addOption(
      new Option('--timeout <duration>', 'the longest that a request or a delivery may take')
        .argParser(durationMs)
        .default(defaultTimeoutMs, '30s'),
    )
    .option('--quiet', 'no progress and no summaries')
    .option('--context <name>', 'a named cluster from contexts.yaml (or SLUICE_CONTEXT)')
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({ writeOut: (text) => void terminal.writeOut(text), writeErr: () => undefined })
    .exitOverride()
    .addHelpText('after', after);
  const run: RunCommand = async (command, body) => {
    const globals = command.optsWithGlobals<GlobalOptions>();
    try {
      finish(await body(commandContext(terminal, globals, readContexts)));
    } catch (error) {
      if (error instanceof CommanderError) throw error;
      finish(exitCodeOf(error));
      await new Output(terminal, { json: globals.json === true, quiet: false }).failure(error);
    }
  };
  addDevCommand(program, run);
  addServerCommand(program, run);
  addTopicCommands(program, run);
  addProduceCommand(program, run);
  addConsumeCommand(program, run);
  addClusterCommands(program, run);
  addNodeCommands(program, run);
  addElectCommands(program, run);
  addLogCommands(program, run);
  addBenchCommands(program, run);
  return program;
}

const asked: readonly string[] = ['commander.helpDisplayed', 'commander.version'];

async function endOfUsage(argv: readonly string[], error: CommanderError, terminal: Terminal): Promise<ExitCode> {
  if (asked.includes(error.code)) return exitCodes.done;
  const message =
    error.code === 'commander.help'
      ? 'no command given; sluice --help lists them'
      : error.message.replace(/^error: /, '');
  if (argv.includes('--json')) {
    const line = { error: { code: 'INVALID_REQUEST', message, retryable: false, definite: true } };
    await terminal.writeOut(`${JSON.stringify(line)}\n`);
  } else {
    terminal.writeErr(
      `sluice: ${message}\nTry: sluice ${[...argv.filter((word) => /^[a-z]+$/.test(word)).slice(0, 1), '--help'].join(' ')}\n`,
    );
  }
  return exitCodes.usage;
}
