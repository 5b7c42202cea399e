import { Option } from 'commander';
import type { Command } from 'commander';
import type { RunCommand } from './command-context.ts';
import { texts } from './option-values.ts';

interface ServerOptions {
  readonly config?: string;
  readonly set: readonly string[];
}

const examples = `
Examples:
  sluice server --config node-1.yaml
  sluice server --config node-1.yaml --set logLevel=debug --set listeners.admin.bind=127.0.0.1:9000`;

export function addServerCommand(program: Command, run: RunCommand): void {
  program
    .command('server')
    .description('one node, in this process, until SIGTERM')
    .requiredOption('--config <file>', 'YAML file with the configuration')
    .addOption(
      new Option('--set <key=value>', 'overrides the file and the environment; may be repeated')
        .argParser(texts)
        .default([], 'none'),
    )
    .addHelpText('after', examples)
    .action((options: ServerOptions, command: Command) =>
      run(command, async () => {
        // Loaded here, so that no other command pays for it.
        const { runServer } = await import('@sluice/server/main');
        return runServer({ configFile: options.config, sets: options.set });
      }),
    );
}
