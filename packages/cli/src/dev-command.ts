import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Command } from 'commander';
import type { CommandContext, RunCommand } from './command-context.ts';
import { DevCluster, OtherNodeCount } from './dev-cluster.ts';
import type { DevNode, NodeExit } from './dev-cluster.ts';
import { exitCodes } from './exit-code.ts';
import type { ExitCode } from './exit-code.ts';
import { wholeNumber } from './option-values.ts';
import { table } from './output.ts';

interface DevOptions {
  readonly nodes: number;
  readonly data?: string;
  readonly port: number;
}

const examples = `
Examples:
  sluice dev                                   three nodes on 7650, 7660 and 7670; data gone at the end
  sluice dev --data ./sluice-data              the same data every time
  sluice dev --nodes 1 --port 17650 --json     for scripts: one line when ready`;

export function addDevCommand(program: Command, run: RunCommand): void {
  program
    .command('dev')
    .description('a local cluster, one process a node, until Ctrl-C')
    .option('--nodes <count>', 'how many nodes', wholeNumber(1, 9), 3)
    .option('--data <directory>', 'keep the data here (default: a temporary directory, removed at the end)')
    .option(
      '--port <port>',
      'client port of node 1; each node takes three ports, ten apart',
      wholeNumber(1, 65_400),
      7650,
    )
    .addHelpText('after', examples)
    .action((options: DevOptions, command: Command) =>
      run(command, (context) => dev(context, options, (message) => command.error(`error: ${message}`))),
    );
}

async function dev(context: CommandContext, options: DevOptions, usage: (message: string) => never): Promise<ExitCode> {
  const { output, terminal } = context;
  const stop = terminal.interruption();
  const directory = path.resolve(options.data ?? mkdtempSync(path.join(tmpdir(), 'sluice-dev-')));
  let stopping = false;
  const onExit = ({ id, code, signal }: NodeExit): void => {
    if (stopping) return;
    const event = { event: 'exited', id, code, signal };
    void output.result(event, () => `node ${id} ended (${signal ?? `exit code ${code}`}); it is not started again`);
  };
  try {
    await using stack = new AsyncDisposableStack();
    const cluster = await start({ directory, options, context, onExit }, usage);
    stack.defer(() => {
      stopping = true;
      return cluster.stop();
    });
    await cluster.ready(context.timeoutMs, stop);
    if (!stop.aborted) {
      await output.result(readyLine(cluster.nodes, terminal.pid), () => readyText(cluster.nodes, directory));
      await aborted(stop);
    }
  } finally {
    if (options.data === undefined) rmSync(directory, { recursive: true, force: true });
  }
  return exitCodes.done;
}

interface StartOptions {
  readonly directory: string;
  readonly options: DevOptions;
  readonly context: CommandContext;
  readonly onExit: (exit: NodeExit) => void;
}

async function start(
  { directory, options, context, onExit }: StartOptions,
  usage: (message: string) => never,
): Promise<DevCluster> {
  const { nodes, port } = options;
  try {
    return await DevCluster.start({ directory, nodes, port, environment: context.terminal.environment, onExit });
  } catch (error) {
    if (error instanceof OtherNodeCount) return usage(error.message);
    throw error;
  }
}

const readyLine = (nodes: readonly DevNode[], pid: number): object => ({
  ready: true,
  pid,
  nodes: nodes.map(({ id, pid, client, peer, admin, data, config }) => ({
    id,
    pid,
    client,
    peer,
    admin,
    data,
    config,
  })),
});

function readyText(nodes: readonly DevNode[], directory: string): string {
  const rows = nodes.map(({ id, pid, client, peer, admin }) => [id, pid, client, peer, `http://${admin}`]);
  return [
    `${nodes.length} nodes are ready; Ctrl-C stops them. Data and logs: ${directory}`,
    table(['NODE', 'PID', 'CLIENT', 'PEER', 'ADMIN'], rows),
    `try: npx sluice --bootstrap ${nodes[0]?.client ?? ''} topic create first --partitions 6`,
  ].join('\n');
}

/** Keeps the process alive: nothing else does once every node has ended. */
function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const alive = setInterval(() => undefined, 60_000);
    signal.addEventListener('abort', () => {
      clearInterval(alive);
      resolve();
    });
  });
}
