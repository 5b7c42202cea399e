/**
 * Compaction: of the records of a key in a compacted topic only the newest stays, in every replica by itself. Owned by
 * `BrokerNode`; which partition is next is decided in `compaction-choice.ts`, what becomes of a batch in `record`.
 *
 * G3. One pass at a time on a node, over what is in finished files, committed and let go by its holders. Reading is
 *     throttled here, writing by the rewrite.
 * G4. The files change only as the rewrite of the node log changes them, the oldest of a log first: a pass that is
 *     broken off leaves a log in which some records have given way. Nothing of a pass is kept but that; after a start
 *     the logs are looked at anew, and written anew only where enough is to be removed.
 * G5. A tombstone goes when its horizon has passed by a clock that is not in doubt, and when all records that it put an
 *     end to have gone before: from older files, or in the same rewrite.
 */
import { laterTurn, offset, SteadyWall, toSluiceError } from '@sluice/base';
import type { Clock, LogId, Logger, Random, Timer, TopicId } from '@sluice/base';
import { isCompacted, topicConfigTable } from '@sluice/metadata';
import type { TopicConfig } from '@sluice/metadata';
import { batchBytesMaxFor, batchesIn, LogCompaction } from '@sluice/record';
import type { PartitionReplica } from '@sluice/partition';
import type { Compression, KeyHash } from '@sluice/record';
import type { LogStore, NodeLog } from '@sluice/storage';
import { compactionWorth, isWorthWriting } from './compaction-choice.ts';
import type { CompactionState } from './compaction-choice.ts';
import { scanKeys } from './key-scan.ts';
import type { ScannedKeys } from './key-scan.ts';
import { nextLookMs } from './look-interval.ts';
import { clockDoubt } from './retention-limits.ts';

/** What a pass needs of a `PartitionHost`. */
export interface CompactedPartition {
  readonly id: LogId;
  readonly topicName: string;
  readonly cuts: number;
  readonly log: Pick<LogStore, 'read' | 'startOffset' | 'expiredEnd' | 'finishedBytes' | 'lossy'>;
  readonly replica: Pick<PartitionReplica, 'removableEnd' | 'producerWindows'> | undefined;
}

export interface CompactionOptions {
  readonly hosts: Iterable<CompactedPartition>;
  readonly configOf: (topic: TopicId) => TopicConfig | undefined;
  readonly clocksAgree: () => boolean | undefined;
  readonly nodeLog: Pick<NodeLog, 'rewrite'>;
  readonly compression: Compression;
  readonly hash: KeyHash;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly intervalMs: number;
  readonly memoryBytesMax: number;
  /** 0: nothing is compacted. */
  readonly readBytesPerSecondMax: number;
}

export interface CompactionStats {
  readonly passes: number;
  /** Records that gave way, tombstones among them. */
  readonly records: number;
}

interface Known extends CompactionState {
  /** `PartitionHost.cuts` when it was found out (G1). */
  readonly cuts: number;
  /** That memory does not suffice was said. */
  readonly saidMemory: boolean;
}

interface Pass {
  readonly host: CompactedPartition;
  readonly config: TopicConfig;
  readonly known: Known;
  readonly end: number;
  readonly worth: number;
}

const hostsPerTurn = 100;
const batchBytesMax = batchBytesMaxFor(topicConfigTable.recordBytesMax.max);

export class Compaction {
  readonly #options: CompactionOptions;
  readonly #wall: SteadyWall;
  readonly #known = new WeakMap<CompactedPartition, Known>();
  #timer: Timer | undefined;
  #passes = 0;
  #records = 0;
  #stopped = false;

  constructor(options: CompactionOptions) {
    this.#options = options;
    this.#wall = new SteadyWall(options.clock);
  }

  get stats(): CompactionStats {
    return { passes: this.#passes, records: this.#records };
  }

  start(): void {
    if (this.#options.readBytesPerSecondMax > 0) this.#lookLater();
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  #lookLater(): void {
    if (this.#stopped) return;
    const { clock, random, intervalMs } = this.#options;
    this.#timer = clock.setTimer(nextLookMs(intervalMs, random), () => void this.#look());
  }

  /** One pass after another while one is worth it. */
  async #look(): Promise<void> {
    for (let pass = await this.#best(); pass !== undefined; pass = await this.#best()) {
      try {
        if (!(await this.#run(pass))) break;
      } catch (error) {
        if (this.#stopped) return;
        // A log that is damaged or deleted under the pass says so elsewhere; this one is looked at again, the files are whole.
        const { topicName: topic, id } = pass.host;
        const { message } = toSluiceError(error);
        this.#options.logger.warn('compaction given up', { topic, partition: id.partition, reason: message });
        break;
      }
    }
    this.#lookLater();
  }

  async #best(): Promise<Pass | undefined> {
    let best: Pass | undefined;
    let count = 0;
    for (const host of Array.from(this.#options.hosts)) {
      count += 1;
      if (count % hostsPerTurn === 0) await laterTurn(this.#options.clock);
      if (this.#stopped) return undefined;
      const pass = this.#passOver(host);
      if (pass !== undefined && pass.worth > (best?.worth ?? 0)) best = pass;
    }
    return best;
  }

  #passOver(host: CompactedPartition): Pass | undefined {
    const { replica, log, id } = host;
    const config = this.#options.configOf(id.topicId);
    if (config === undefined || !isCompacted(config) || replica === undefined || log.lossy !== undefined)
      return undefined;
    const end = Math.min(replica.removableEnd, this.#finishedEnd(host, config));
    const known = this.#knownOf(host);
    const bytesIn = (from: number, to: number): number => log.finishedBytes(offset(from), offset(to));
    const worth = compactionWorth({ state: known, start: log.startOffset, end, bytesIn }, this.#passedMs());
    return worth === undefined ? undefined : { host, config, known, end, worth };
  }

  /** Of files that are finished, and old enough. */
  #finishedEnd({ log }: CompactedPartition, { compactionLagMsMin }: TopicConfig): number {
    if (compactionLagMsMin === 0) return log.expiredEnd({ appendedBeforeMs: Infinity });
    if (this.#isInDoubt()) return log.startOffset;
    return log.expiredEnd({ appendedBeforeMs: this.#wall.wallMs() - compactionLagMsMin });
  }

  #knownOf(host: CompactedPartition): Known {
    const known = this.#known.get(host);
    const start = host.log.startOffset;
    if (known !== undefined && known.cuts === host.cuts) return known;
    return { cleanEnd: start, lookedEnd: start, nextHorizonMs: Infinity, cuts: host.cuts, saidMemory: false };
  }

  /** False when nothing more is to be tried before the next look. */
  async #run(pass: Pass): Promise<boolean> {
    const { host, known } = pass;
    const from = Math.max(known.cleanEnd, host.log.startOffset);
    const scanned = await this.#scan(pass, from);
    if (scanned === undefined || this.#stopped || host.cuts !== known.cuts) return false;
    if (scanned.end === from && pass.end > from) {
      this.#sayMemory(pass);
      this.#known.set(host, { ...known, lookedEnd: pass.end, nextHorizonMs: Infinity, saidMemory: true });
      return true;
    }
    const { keys, records, end } = scanned;
    const isWhole = from === host.log.startOffset && end === pass.end && known.nextHorizonMs > this.#passedMs();
    if (isWhole && !isWorthWriting({ records, keys: keys.count })) {
      const cleanEnd = records === keys.count ? end : known.cleanEnd;
      this.#known.set(host, { ...known, cleanEnd, lookedEnd: end });
      return true;
    }
    return this.#write(pass, scanned);
  }

  #scan({ host, end }: Pass, from: number): Promise<ScannedKeys | undefined> {
    const { memoryBytesMax, hash, compression, clock } = this.#options;
    const mayRead = (bytes: number): Promise<boolean> => this.#mayRead(bytes);
    return scanKeys({ log: host.log, from, upTo: end, memoryBytesMax, hash, compression, clock, mayRead });
  }

  async #write({ host, config, known }: Pass, { keys, end }: ScannedKeys): Promise<boolean> {
    const { clock, compression, logger, nodeLog } = this.#options;
    const windows = host.replica?.producerWindows();
    if (windows === undefined) return false;
    const compaction = new LogCompaction({
      end,
      isNewest: (key, at) => keys.newestOf(key) <= at,
      inProducerWindow: (baseOffset) => windows.has(offset(baseOffset)),
      passedMs: this.#passedMs(),
      newHorizonMs: Math.ceil(this.#wall.wallMs()) + config.tombstoneRetentionMs,
      batchBytesMax,
      compression,
      turn: () => laterTurn(clock),
    });
    const transform = (batches: Uint8Array): Promise<Uint8Array> => compacted(batches, compaction);
    const isDone = await nodeLog.rewrite([{ id: host.id, upTo: end, transform }]);
    if (!isDone || this.#stopped) return false;
    const { recordsBefore, recordsAfter, leftAlone, nextHorizonMs } = compaction.counts;
    this.#passes += 1;
    this.#records += recordsBefore - recordsAfter;
    const cleanEnd = leftAlone > 0 ? host.log.startOffset : end;
    this.#known.set(host, { ...known, cleanEnd, lookedEnd: end, nextHorizonMs });
    const { topicName: topic, id } = host;
    logger.debug('partition compacted', { topic, partition: id.partition, end, ...compaction.counts });
    return true;
  }

  #sayMemory({ host, known }: Pass): void {
    if (known.saidMemory) return;
    const { topicName: topic, id } = host;
    this.#options.logger.warn('a batch has more keys than compaction has memory for; raise compactionMemoryBytesMax', {
      topic,
      partition: id.partition,
      offset: known.cleanEnd,
    });
  }

  async #mayRead(bytes: number): Promise<boolean> {
    const { clock, readBytesPerSecondMax } = this.#options;
    await new Promise<void>((resolve) => void clock.setTimer((bytes * 1000) / readBytesPerSecondMax, resolve));
    return !this.#stopped;
  }

  /** Delete horizons up to here have passed. */
  #passedMs(): number {
    return this.#isInDoubt() ? -Infinity : this.#wall.wallMs();
  }

  #isInDoubt(): boolean {
    return clockDoubt({ hasJumped: this.#wall.hasJumped, clocksAgree: this.#options.clocksAgree() }) !== undefined;
  }
}

/** Whole batches that follow each other, in new memory where anything changed. */
async function compacted(batches: Uint8Array, compaction: LogCompaction): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for (const found of batchesIn(batches, 'skip')) {
    if (!found.ok) return batches;
    const { position, header } = found;
    const batch = batches.subarray(position, position + header.batchBytes);
    parts.push(...(await compaction.next(batch, header)));
  }
  parts.push(...compaction.finish());
  const joined = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}
