/** What a replica derives from its log: from the newest state snapshot that can be used, and the batches behind it. */
import { offset } from '@sluice/base';
import type { Logger, Offset } from '@sluice/base';
import { batchFactsOf, decodeSnapshot, LogScan } from '@sluice/partition';
import type { ReplicaSnapshot } from '@sluice/partition';
import type { LogStore } from '@sluice/storage';

export interface LogReadingOptions {
  readonly producerCountMax: number;
  readonly logger: Logger;
}

/** A snapshot is never needed: where it is none, or contradicts the log, all headers are read. */
export async function readLog(log: LogStore, options: LogReadingOptions): Promise<LogScan> {
  const known = await knownOf(log, options.logger);
  // A trim may have overtaken the snapshot since.
  const from = offset(Math.max(known?.logEnd ?? 0, log.startOffset));
  const scan = await scanned(log, from, new LogScan(options.producerCountMax, known));
  if (scan !== undefined) {
    scan.trimTo(log.startOffset);
    return scan;
  }
  options.logger.warn('state snapshot contradicts the log', { ...log.id, offset: known?.logEnd });
  const whole = new LogScan(options.producerCountMax);
  await scanned(log, log.startOffset, whole);
  return whole;
}

async function knownOf(log: LogStore, logger: Logger): Promise<ReplicaSnapshot | undefined> {
  const stored = await log.loadSnapshot();
  if (stored === undefined) return undefined;
  const known = decodeSnapshot(stored.bytes, stored.offset);
  if (known === undefined) logger.warn('state snapshot cannot be read', { ...log.id, offset: stored.offset });
  return known;
}

/** Undefined when the log cannot be what the scan began with. */
async function scanned(log: LogStore, from: Offset, scan: LogScan): Promise<LogScan | undefined> {
  for await (const header of log.headers(from)) {
    const facts = batchFactsOf(header);
    if (scan.contradicts(facts)) return undefined;
    scan.add(facts);
  }
  return scan;
}
