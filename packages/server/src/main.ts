/**
 * A node as a process: the only file here that touches the process, its signals and its environment.
 *
 * - SIGTERM, SIGINT and the end of the channel to whoever started the process stop it in order, exit code 0.
 * - A node that cannot start says why in one log line, exit code 1.
 * - A halt (failed sync, broken invariant, unhandled error) says why and exits at once with 1: nothing more is acked.
 */
import { readFile } from 'node:fs/promises';
import { createRequire, flushCompileCache } from 'node:module';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { SluiceError, toSluiceError } from '@sluice/base';
import type { Halt, Logger } from '@sluice/base';
import { installCrc32c } from '@sluice/record';
import { NodeDisk } from '@sluice/storage';
import { defaultLimits, GrpcTransport, nativeCrc32c, nodeZlib, SystemClock, systemRandom } from '@sluice/wire';
import { startAdmin } from './admin.ts';
import { tuneCollector } from './collector.ts';
import { loadConfig } from './config/load.ts';
import type { NodeConfig } from './config/table.ts';
import { filesystemOf } from './filesystem.ts';
import { memoryShortage } from './memory-limit.ts';
import { Metrics, processFigures } from './metrics.ts';
import { assembleNode } from './node.ts';
import type { Node } from './node.ts';
import { pinoLogger } from './pino-logger.ts';

export interface ServerOptions {
  readonly configFile: string | undefined;
  /** `key=value` */
  readonly sets: readonly string[];
}

const { version } = createRequire(import.meta.url)('../package.json') as { readonly version: string };

/** Resolves to the exit code when the node has stopped. */
export async function runServer(options: ServerOptions): Promise<0 | 1> {
  const stop = stopSignal();
  tuneCollector();
  let logger = pinoLogger({ level: 'info' });
  try {
    const config = await readConfig(options);
    logger = pinoLogger({ level: config.logLevel, fields: { node: config.nodeId } });
    const shortage = memoryShortage(process.constrainedMemory(), config);
    if (shortage !== undefined) logger.warn('memory limit is below what this node may take', { ...shortage });
    await using open = new AsyncDisposableStack();
    const { node, metrics } = await openNode(config, logger, open);
    await Promise.race([node.start(), aborted(stop)]);
    // For the next start, also when this process is killed.
    flushCompileCache();
    if (!stop.aborted) metrics.setFilesystem(await filesystemOf(config.dataDirectory));
    await aborted(stop);
    await node.stop();
    return 0;
  } catch (error) {
    const { code, message } = toSluiceError(error);
    logger.error('node did not start', { code, reason: message });
    return 1;
  }
}

async function readConfig({ configFile, sets }: ServerOptions): Promise<NodeConfig> {
  const environment = process.env;
  if (configFile === undefined) return withPaths(loadConfig({ environment, sets }));
  try {
    const file = { name: configFile, text: await readFile(configFile, 'utf8') };
    return withPaths(loadConfig({ file, environment, sets }));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ENOENT' && code !== 'EACCES' && code !== 'EISDIR') throw error;
    throw new SluiceError('INVALID_CONFIG', {
      message: `The configuration file ${configFile} cannot be read (${code}); give an existing file with --config.`,
      cause: error,
    });
  }
}

const withPaths = (config: NodeConfig): NodeConfig => ({
  ...config,
  dataDirectory: path.resolve(config.dataDirectory),
});

interface Opened {
  readonly node: Node;
  readonly metrics: Metrics;
}

async function openNode(config: NodeConfig, logger: Logger, open: AsyncDisposableStack): Promise<Opened> {
  const halt = haltProcess(logger);
  installChecksum(logger);
  const clock = new SystemClock();
  const metrics: Metrics = new Metrics(() => ({
    ...node.figures(),
    ...processFigures(process.memoryUsage(), process.cpuUsage()),
  }));
  open.defer(() => metrics.close());
  const node = assembleNode(config, {
    disk: new NodeDisk(),
    transport: new GrpcTransport({ clock, messageBytesMax: defaultLimits.peer.messageBytesMax }),
    clock,
    random: systemRandom(),
    logger,
    halt,
    codecs: nodeZlib,
    observeStage: (stage, ms) => metrics.observeStage(stage, ms),
    version,
  });
  open.defer(() => node.stop());
  const admin = await startAdmin({
    address: config['listeners.admin.bind'],
    readiness: () => node.readiness(),
    metrics,
  });
  open.defer(() => admin.close());
  return { node, metrics };
}

/** Batches, frames and files are right without it, only slower. */
function installChecksum(logger: Logger): void {
  const native = nativeCrc32c();
  const reason = typeof native === 'string' ? native : installCrc32c(native);
  if (reason !== undefined) logger.debug('checksums are computed in JavaScript', { reason });
}

function haltProcess(logger: Logger): Halt {
  const halt = (reason: Error): void => {
    // Only of a bug is it of use where it was thrown; a code says it all, and its message has the cause.
    const { code, message } = toSluiceError(reason);
    logger.error(
      'node halted',
      code === 'INTERNAL' ? { code, reason: message, err: reason } : { code, reason: message },
    );
    process.exit(1);
  };
  process.on('uncaughtException', halt);
  process.on('unhandledRejection', (reason) => halt(reason instanceof Error ? reason : new Error(String(reason))));
  return { halt };
}

function stopSignal(): AbortSignal {
  const controller = new AbortController();
  const stop = (): void => controller.abort();
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
  // Whoever started this process is gone, however it went.
  if (process.channel !== undefined) process.on('disconnect', stop);
  return controller.signal;
}

const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve());
  });

function optionsFrom(argv: readonly string[]): ServerOptions {
  const { values } = parseArgs({
    args: [...argv],
    options: { config: { type: 'string' }, set: { type: 'string', multiple: true } },
  });
  return { configFile: values.config, sets: values.set ?? [] };
}

if (import.meta.main) process.exit(await runServer(optionsFrom(process.argv.slice(2))));
