import { Option } from 'commander';
import type { Command } from 'commander';
import type { RunCommand } from './command-context.ts';
import { texts } from './option-values.ts';

interface ServerOptions {
  readonly config?: string;
  readonly set: readonly string[];
}

const examples = `
A value comes from the file, then from the environment (SLUICE_NODE_ID for nodeId), then from --set; the later one wins.

Examples:
  sluice server --config node-1.yaml
  SLUICE_NODE_ID=1 SLUICE_DATA_DIRECTORY=./data \\
    SLUICE_CLUSTER_VOTERS='[{nodeId: 1, peerAddress: "127.0.0.1:7651"}]' sluice server
  sluice server --config node-1.yaml --set logLevel=debug --set listeners.admin.bind=127.0.0.1:9000`;

export function addServerCommand(program: Command, run: RunCommand): void {
  program
    .command('server')
    .description('one node, in this process, until SIGTERM')
    .option('--config <file>', 'YAML file with the configuration; without it all comes from the environment and --set')
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
