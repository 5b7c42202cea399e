/**
 * The broker of one node: owns its replicas, its replication streams, its standing with the controller and its
 * services. Made by the composition root, which opens the node log and the listeners.
 *
 * Order of a start: `serve` registers the services, `start` begins to register with the controller; replicas open as
 * metadata names them. Order of a stop: `drain` (leaderships move away), then `stop`.
 */
import type { Clock, ErrorCode, Halt, Logger, Random } from '@sluice/base';
import { hasAnotherReplica } from '@sluice/metadata';
import type { MetadataFeed } from '@sluice/metadata';
import type { PartitionConfig } from '@sluice/partition';
import type { Compression } from '@sluice/record';
import type { NodeLog } from '@sluice/storage';
import { CreditBudget, keyHash } from '@sluice/wire';
import type { Dispatcher, RpcClient } from '@sluice/wire';
import { AdminService } from './admin-service.ts';
import { Compaction } from './compaction.ts';
import type { CompactionStats } from './compaction.ts';
import { ControllerLink } from './controller-link.ts';
import type { Registration } from './controller-link.ts';
import { DamageReports } from './damage-reports.ts';
import { DiskStall } from './disk-stall.ts';
import { FetchService } from './fetch-service.ts';
import { IsrProposals } from './isr-proposals.ts';
import { serveLogDescriptions } from './log-descriptions.ts';
import type { NodeIdentity } from './node-identity.ts';
import { NodeLiveness } from './node-liveness.ts';
import { OffsetsService } from './offsets-service.ts';
import { PartitionClock } from './partition-clock.ts';
import { IsrNews } from './isr-news.ts';
import { PartitionCounts } from './partition-counts.ts';
import { partitionFigures } from './partition-figures.ts';
import type { PartitionFigures } from './partition-figures.ts';
import { type HostPorts, PartitionHost } from './partition-host.ts';
import { PartitionHosts } from './partition-hosts.ts';
import { ProduceService } from './produce-service.ts';
import { ProducerIds } from './producer-ids.ts';
import { ReplicationService } from './replication-service.ts';
import type { PushFigures } from './replication-service.ts';
import { Retention } from './retention.ts';
import type { RetentionStats } from './retention.ts';
import type { StageTimes } from './stage-times.ts';
import { TrimService } from './trim-service.ts';

export interface BrokerConfig {
  readonly heartbeatMs: number;
  readonly sessionTimeoutMs: number;
  /** A node whose oldest write has not been durable for longer says that its word is old. */
  readonly diskStallMs: number;
  readonly replicaLagMsMax: number;
  readonly producerExpiryMs: number;
  readonly producerCountMax: number;
  /** A batch that waits longer for its replicas is answered TIMEOUT (indefinite). */
  readonly ackTimeoutMs: number;
  readonly receiveBudgetBytes: number;
  readonly produceWindowBytesMax: number;
  readonly fetchWindowBytesMax: number;
  readonly replicateWindowBytes: number;
  readonly catchUpBytesPerSecondMax: number;
  /** Between two looks at what retention may remove and what is to be compacted. */
  readonly retentionCheckMs: number;
  readonly compactionMemoryBytesMax: number;
  readonly compactionReadBytesPerSecondMax: number;
}

export interface BrokerOptions {
  readonly identity: NodeIdentity;
  readonly registration: Registration;
  readonly config: BrokerConfig;
  readonly nodeLog: NodeLog;
  readonly feed: MetadataFeed;
  readonly rpc: RpcClient;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly halt: Halt;
  readonly stages: StageTimes;
  readonly compression: Compression;
  /** Bytes of the data directory, for `cluster status`. */
  readonly diskBytes: () => Promise<number>;
}

interface Service {
  serve(clients: Dispatcher): void;
}

const subscriptionsMax = 10_000;

/** By what recovery found: damage that is met later is reported for each log (E6). */
const isLossy = ({ damaged, lossy }: NodeLog): boolean => damaged || lossy.some(({ whileOpen }) => whileOpen !== true);

export class BrokerNode {
  readonly hosts: PartitionHosts;
  readonly counts = new PartitionCounts();
  readonly #options: BrokerOptions;
  readonly #isrNews: IsrNews;
  readonly #link: ControllerLink;
  readonly #liveness: NodeLiveness;
  readonly #replication: ReplicationService;
  readonly #proposals: IsrProposals;
  readonly #damageReports: DamageReports;
  readonly #services: readonly Service[];
  readonly #admin: AdminService;
  readonly #diskStall: DiskStall;
  readonly #retention: Retention;
  readonly #compaction: Compaction;
  readonly #partitionConfig: PartitionConfig;
  readonly #partitionClock: PartitionClock;
  // Shared by all hosts, of which there may be 10,000.
  readonly #hostPorts: HostPorts = {
    send: (host, message) => this.#replication.send(host, message),
    stopFollowing: (host) => this.#replication.release(host),
    startPush: (host, push) => this.#replication.startPush(host, push),
    stopPush: (host, to) => this.#replication.stopPush(host, to),
    ack: (host, ack) => this.#replication.ack(host, ack),
    proposeIsr: (host, proposal) => this.#proposals.propose(host, proposal),
    reportDamage: (host) => this.#damageReports.report(host),
    loaded: (host) => this.#replication.onLoaded(host),
  };
  readonly #refusal = (): ErrorCode | undefined => (this.#options.nodeLog.disk.isLow ? 'STORAGE_FULL' : undefined);
  #unsubscribe: (() => void) | undefined;
  #stopped = false;

  constructor(options: BrokerOptions) {
    this.#options = options;
    const { identity, config, nodeLog, feed, rpc, clock, logger, halt, registration } = options;
    const { heartbeatMs, sessionTimeoutMs, replicaLagMsMax, producerExpiryMs, producerCountMax } = config;
    this.#partitionConfig = { sessionTimeoutMs, replicaLagMsMax, producerExpiryMs, producerCountMax };
    const shared = { identity, feed, rpc, clock, logger };
    this.#isrNews = new IsrNews(logger);
    this.#link = new ControllerLink({
      ...shared,
      registration,
      halt,
      heartbeatMs,
      sessionTimeoutMs,
      isLossy: () => isLossy(nodeLog),
      oldestUnsyncedMs: () => nodeLog.oldestUnsyncedMs(clock.monotonicMs()),
    });
    this.#liveness = new NodeLiveness(clock, this.#link);
    this.#proposals = new IsrProposals(identity, this.#link, clock);
    this.#damageReports = new DamageReports(identity, this.#link, clock);
    this.#replication = new ReplicationService({
      identity,
      feed,
      nodeLog,
      rpc,
      clock,
      logger,
      liveness: this.#liveness,
      findHost: (id) => this.hosts.find(id),
      windowBytes: config.replicateWindowBytes,
      heartbeatMs,
      sessionTimeoutMs,
      catchUpBytesPerSecondMax: config.catchUpBytesPerSecondMax,
    });
    this.hosts = new PartitionHosts({
      self: identity.nodeId,
      feed,
      nodeLog,
      clock,
      epoch: () => this.#link.epoch,
      open: (id, topicName) => this.#openHost(id, topicName),
      onRemoved: (host) => this.#replication.release(host),
    });
    this.#partitionClock = new PartitionClock({ hosts: this.hosts, clock, intervalMs: replicaLagMsMax / 8 });
    this.#retention = this.#makeRetention();
    this.#compaction = this.#makeCompaction();
    this.#diskStall = new DiskStall({
      clock,
      stallMs: config.diskStallMs,
      oldestUnsyncedMs: () => nodeLog.oldestUnsyncedMs(clock.monotonicMs()),
      onChange: () => this.#onStall(),
    });
    const isStalled = (): boolean => this.#diskStall.isStalled;
    const { diskBytes } = options;
    this.#admin = new AdminService({ identity, feed, rpc, clock, link: this.#link, diskBytes, isStalled });
    this.#services = this.#makeServices();
  }

  /** Registered, let in by the controller, and every replica that metadata places here is loaded. */
  get ready(): boolean {
    if (!this.#link.up) return false;
    for (const host of this.hosts) if (host.replica === undefined) return false;
    return true;
  }

  /** The controller knows of this life of the node, and of how the one before ended. */
  get registered(): boolean {
    return this.#link.epoch !== undefined;
  }

  get retention(): RetentionStats {
    return this.#retention.stats;
  }

  get replication(): PushFigures {
    return this.#replication.figures;
  }

  /** Walks all partitions. */
  partitionFigures(): PartitionFigures {
    return partitionFigures(this.hosts);
  }

  /** The disk hangs. */
  get isStalled(): boolean {
    return this.#diskStall.isStalled;
  }

  get compaction(): CompactionStats {
    return this.#compaction.stats;
  }

  /** Registers the services; one dispatcher for each client listener. */
  serve(clients: readonly Dispatcher[], peers: Dispatcher): void {
    for (const dispatcher of clients) for (const service of this.#services) service.serve(dispatcher);
    this.#admin.servePeers(peers);
    this.#replication.serve(peers);
    serveLogDescriptions(peers, this.#options.identity, this.hosts);
  }

  start(): void {
    this.#unsubscribe = this.#options.feed.subscribe({
      onApplied: (index, change) => this.#isrNews.during(() => this.hosts.onApplied(index, change)),
      onController: () => undefined,
    });
    this.#link.onRegistered = () => {
      this.#replication.onRegistered();
      this.#isrNews.during(() => this.hosts.assignAll());
    };
    this.#link.start();
    this.#replication.start();
    this.#retention.start();
    this.#compaction.start();
    this.#partitionClock.start();
    this.#diskStall.start();
  }

  /** Moves leaderships away; resolves when the controller says so, or after `timeoutMs`. */
  async drain(timeoutMs: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = this.#options.clock.setTimer(timeoutMs, () => {
      this.#options.logger.warn('stopping before all leaderships moved', { waitedMs: timeoutMs });
      resolve();
    });
    await Promise.race([this.#link.drain().then((applyIndex) => this.#handedOver(applyIndex)), promise]);
    timer.cancel();
  }

  /** The controller decides sooner than this node hears of it; clients here are to hear it too, before they are cut off. */
  async #handedOver(applyIndex: number): Promise<void> {
    const { feed, identity } = this.#options;
    const { promise, resolve } = Promise.withResolvers<void>();
    const look = (): void => {
      if (feed.image.appliedIndex < applyIndex) return;
      for (const partition of feed.image.ledBy(identity.nodeId)) if (hasAnotherReplica(partition)) return;
      resolve();
    };
    const unsubscribe = feed.subscribe({ onApplied: look, onController: () => undefined });
    look();
    await promise;
    unsubscribe();
  }

  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#partitionClock.stop();
    this.#diskStall.stop();
    this.#unsubscribe?.();
    this.#retention.stop();
    this.#compaction.stop();
    this.#link.stop();
    this.#damageReports.stop();
    this.#replication.stop();
    this.#admin.stop();
    for (const host of this.hosts) host.close();
  }

  #onStall(): void {
    const { logger, config } = this.#options;
    const { isStalled } = this.#diskStall;
    if (isStalled) logger.error('disk hangs', { stallMs: config.diskStallMs });
    else logger.warn('disk answers again');
    this.#admin.onStanding();
  }

  #makeServices(): readonly Service[] {
    const { identity, config, nodeLog, feed, clock, logger, stages, compression } = this.#options;
    const budget = new CreditBudget({ totalBytes: config.receiveBudgetBytes });
    return [
      new ProduceService({
        identity,
        feed,
        hosts: this.hosts,
        nodeLog,
        clock,
        budget,
        windowBytesMax: config.produceWindowBytesMax,
        ackTimeoutMs: config.ackTimeoutMs,
        stages,
        compression,
      }),
      new FetchService({
        identity,
        hosts: this.hosts,
        clock,
        logger,
        windowBytesMax: config.fetchWindowBytesMax,
        subscriptionsMax,
      }),
      new OffsetsService(this.hosts, new ProducerIds(identity, this.#link), clock),
      new TrimService(this.hosts, clock),
      this.#admin,
    ];
  }

  #makeRetention(): Retention {
    const { feed, clock, random, logger, config } = this.#options;
    return new Retention({
      hosts: this.hosts,
      configOf: (topic) => feed.image.topic(topic)?.config,
      clocksAgree: () => this.#link.clocksAgree,
      clock,
      random,
      logger,
      intervalMs: config.retentionCheckMs,
    });
  }

  #makeCompaction(): Compaction {
    const { feed, nodeLog, compression, clock, random, logger, config } = this.#options;
    return new Compaction({
      hosts: this.hosts,
      configOf: (topic) => feed.image.topic(topic)?.config,
      clocksAgree: () => this.#link.clocksAgree,
      nodeLog,
      compression,
      hash: keyHash,
      clock,
      random,
      logger,
      intervalMs: config.retentionCheckMs,
      memoryBytesMax: config.compactionMemoryBytesMax,
      readBytesPerSecondMax: config.compactionReadBytesPerSecondMax,
    });
  }

  #openHost(id: PartitionHost['id'], topicName: string): PartitionHost {
    const { identity, nodeLog, clock, logger, halt } = this.#options;
    return new PartitionHost({
      self: identity.nodeId,
      id,
      topicName,
      log: nodeLog.log(id),
      config: this.#partitionConfig,
      liveness: this.#liveness,
      clock,
      logger,
      halt,
      refusal: this.#refusal,
      counts: this.counts,
      isrNews: this.#isrNews,
      ports: this.#hostPorts,
    });
  }
}
