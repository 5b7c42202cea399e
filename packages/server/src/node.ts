/**
 * The composition root: one node, wired over ports only, so that a process, an embedded broker and the simulator run the
 * same. Owns the order in which parts open and close.
 *
 * N1 Nothing below the data directory is touched before its lock is held, nor after it is released.
 * N2 Peers are answered before the node registers, clients are answered from then on with typed errors until it is ready.
 * N3 `stop` moves leaderships away first, those of partitions and then that of the controller, which moves them; then it
 *    closes what took calls, then what those calls used.
 * N4 A stop leaves the mark of one in order only when all is synced, and never hides that the last one left none: the
 *    controller must have heard of it.
 */
import { DiskError } from '@sluice/base';
import type { BrokerEpoch, Clock, Disk, Halt, Listening, Logger, NodeId, Random, Transport } from '@sluice/base';
import { BrokerNode } from '@sluice/broker';
import type { StageTimes } from '@sluice/broker';
import { ControllerNode } from '@sluice/controller';
import { defaultRaftConfig } from '@sluice/raft';
import type { Raft, TransferOutcome } from '@sluice/raft';
import { compressionOver, crc32c } from '@sluice/record';
import type { PlatformCodecs } from '@sluice/record';
import {
  DataDirectory,
  IdentityKeeper,
  holdsNodeLog,
  IdentityStore,
  leaveCleanStop,
  openNodeLog,
  takeCleanStop,
} from '@sluice/storage';
import type { GroupStats, NodeLog } from '@sluice/storage';
import { defaultLimits, Dispatcher, RpcClient } from '@sluice/wire';
import { authorize } from './authorization.ts';
import { brokerFigures, ledFigures } from './broker-figures.ts';
import type { NodeConfig } from './config/table.ts';
import { directoryBytes } from './directory-bytes.ts';
import { DirectorySelf } from './directory-self.ts';
import type { Readiness } from './health.ts';
import type { NodeFigures } from './metrics.ts';
import type { Stage } from './metrics-table.ts';

export interface NodePorts {
  readonly disk: Disk;
  readonly transport: Transport;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly halt: Halt;
  readonly codecs: PlatformCodecs;
  /** Durations of the stages of producing, for histograms. */
  readonly observeStage: (stage: Stage, ms: number) => void;
  /** Of the software, as registration tells the cluster. */
  readonly version: string;
}

export interface Node {
  /** Rejects with the `SluiceError` that says why it cannot start; everything opened is closed then. */
  start(): Promise<void>;
  /** Idempotent; also ends a start that is under way. */
  stop(): Promise<void>;
  readiness(): Readiness;
  figures(): NodeFigures;
  /** Asks this node, as the controller leader, to let another one lead; undefined until it is open. */
  transferController(to: NodeId): TransferOutcome | undefined;
  /** Live parts, for the invariants of tests and the simulator, which only read them; undefined until the node is open. */
  inspect(): NodeInspection | undefined;
}

/** Its figures are those of the moment in which they are read. */
export interface NodeInspection {
  /** Undefined until the cluster is born. */
  readonly raft: Raft | undefined;
  readonly image: ControllerNode['image'];
  readonly imageDigest: () => string;
  readonly nodeLog: NodeLog;
  readonly broker: BrokerNode | undefined;
}

export function assembleNode(config: NodeConfig, ports: NodePorts): Node {
  return new AssembledNode(config, ports);
}

interface Parts {
  readonly nodeLog: NodeLog;
  readonly controller: ControllerNode;
  readonly broker: BrokerNode | undefined;
  readonly inspection: NodeInspection;
}

const inspectionOf = ({ nodeLog, controller, broker }: Omit<Parts, 'inspection'>): NodeInspection => ({
  get raft() {
    return controller.raft;
  },
  get image() {
    return controller.image;
  },
  imageDigest: () => controller.imageDigest(),
  nodeLog,
  broker,
});

const drainPollMs = 50;

class AssembledNode implements Node {
  readonly #config: NodeConfig;
  readonly #ports: NodePorts;
  readonly #open = new AsyncDisposableStack();
  #parts: Parts | undefined;
  #listening: readonly Listening[] = [];
  #starting: Promise<void> | undefined;
  #stopping: Promise<void> | undefined;
  /** Something went so wrong that nobody knows what was taken: no stop is in order any more. */
  #halted = false;

  constructor(config: NodeConfig, ports: NodePorts) {
    this.#config = config;
    const halt = (reason: Error): void => {
      this.#halted = true;
      ports.halt.halt(reason);
    };
    this.#ports = { ...ports, halt: { halt } };
  }

  start(): Promise<void> {
    this.#starting ??= this.#start();
    return this.#starting;
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  readiness(): Readiness {
    const { nodeId } = this.#config;
    const parts = this.#parts;
    const self = parts?.controller.feed.image.node(nodeId);
    const common = { recovered: parts !== undefined, listenersOpen: this.#listening.length > 0 };
    if (parts === undefined) return { ...common, registered: false, unfenced: false, caughtUp: false };
    const { broker, controller } = parts;
    // Without the role broker there is nothing to register and nobody to fence: it belongs to a cluster, and follows it.
    if (broker === undefined) {
      const { isMember, caughtUp } = controller.standing;
      return { ...common, registered: isMember, unfenced: isMember, caughtUp };
    }
    return { ...common, registered: self !== undefined, unfenced: self?.state === 'up', caughtUp: broker.ready };
  }

  figures(): NodeFigures {
    const parts = this.#parts;
    if (parts === undefined) return {};
    const { nodeLog, controller, broker } = parts;
    const { image } = controller.feed;
    const { votes, term, snapshotIndex, snapshots, logBytes, fences } = controller.standing;
    const { nodeId } = this.#config;
    const { stats } = nodeLog;
    const leads = controller.feed.controller?.nodeId === nodeId;
    return {
      sluice_node_ready: Object.values(this.readiness()).every(Boolean) ? 1 : 0,
      sluice_node_controller_leader: leads ? 1 : 0,
      sluice_controller_voter: votes ? 1 : 0,
      sluice_controller_term: term,
      sluice_metadata_index: image.appliedIndex,
      sluice_metadata_snapshot_index: snapshotIndex,
      sluice_metadata_snapshot_bytes: snapshots.bytes,
      sluice_metadata_snapshot_seconds: snapshots.saveMs / 1000,
      sluice_metadata_snapshots_total: snapshots.saved,
      sluice_metadata_log_bytes: logBytes,
      sluice_partitions_without_leader: leads ? image.leaderlessCount : 0,
      sluice_fences_total: fences,
      ...ledFigures(image, nodeId),
      ...brokerFigures(broker),
      sluice_log_written_bytes_total: stats.bytesWritten,
      sluice_log_groups_total: stats.groups,
      sluice_log_syncs_total: stats.syncs,
      sluice_log_pending_bytes: nodeLog.pendingBytes,
      sluice_log_tail_bytes: stats.tailBytes,
      sluice_log_read_bytes: stats.readBytes,
      sluice_log_reads_waiting: stats.readsWaiting,
      sluice_log_index_bytes: stats.indexBytes,
      sluice_log_files: stats.journalFiles,
      sluice_log_sorted_files: stats.sortedFiles,
      sluice_log_rewrites_total: stats.rewrites,
      sluice_log_rewritten_bytes_total: stats.rewrittenBytes,
      sluice_log_disk_bytes: stats.diskBytes,
      sluice_log_live_bytes: stats.liveBytes,
      sluice_log_scrubbed_bytes_total: stats.scrubbedBytes,
      sluice_log_scrub_passes_total: stats.scrubPasses,
      sluice_log_damage_total: stats.damages,
      sluice_disk_free_bytes: nodeLog.disk.freeBytes ?? Number.NaN,
      sluice_disk_reserve_bytes: nodeLog.disk.reserveBytes,
      sluice_disk_low: nodeLog.disk.isLow ? 1 : 0,
      sluice_log_oldest_unsynced_seconds: nodeLog.oldestUnsyncedMs(this.#ports.clock.monotonicMs()) / 1000,
    };
  }

  transferController(to: NodeId): TransferOutcome | undefined {
    return this.#parts?.controller.transferLeadership(to);
  }

  inspect(): NodeInspection | undefined {
    return this.#parts?.inspection;
  }

  async #start(): Promise<void> {
    try {
      await this.#openParts();
    } catch (error) {
      await this.#open.disposeAsync();
      throw error;
    }
  }

  async #openParts(): Promise<void> {
    const { disk, transport, random, logger } = this.#ports;
    const open = this.#open;
    const directory = await DataDirectory.open(disk, this.#config.dataDirectory);
    open.defer(() => directory.release());
    const identities = new IdentityStore(directory);
    const { nodeId } = this.#config;
    const known = await identities.load(nodeId);
    const identity = known ?? (await identities.create(nodeId, random));
    const keeper = new IdentityKeeper(identities, identity);
    // A directory that is made now has nothing to miss.
    const wasClean = known === undefined || (await takeCleanStop(directory, known.brokerEpoch));
    if (!wasClean) logger.warn('last stop was not in order', { directory: directory.path });
    const isLogLost = known !== undefined && known.clusterId !== null && !(await holdsNodeLog(directory));
    const nodeLog = await this.#openLog(directory);
    open.defer(async () => {
      await nodeLog.close();
      const isKnown = wasClean || this.#parts?.broker?.registered === true;
      if (isKnown && !this.#halted) await this.#markStop(directory, keeper.current.brokerEpoch);
    });
    const rpc = new RpcClient(transport);
    open.defer(() => transport.close());
    const self = new DirectorySelf({
      keeper,
      incarnation: random.identity(),
      onIncomplete: () => controller.onIncomplete(),
    });
    const controller: ControllerNode = this.#controller({ self, keeper, nodeLog, rpc, isLogLost });
    open.defer(() => controller.stop());
    const broker = this.#config.roles.includes('broker')
      ? this.#broker({ self, controller, nodeLog, rpc, unclean: !wasClean })
      : undefined;
    open.defer(() => broker?.stop());
    await this.#listen(controller, broker);
    const parts = { nodeLog, controller, broker };
    this.#parts = { ...parts, inspection: inspectionOf(parts) };
    controller.start();
    broker?.start();
    logger.info('node started', { directory: directory.path, clusterId: keeper.current.clusterId });
  }

  /** Without the mark the next start takes this stop for a crash: that costs copies of some replicas, and no record. */
  async #markStop(directory: DataDirectory, epoch: BrokerEpoch): Promise<void> {
    try {
      await leaveCleanStop(directory, epoch);
    } catch (error) {
      if (!(error instanceof DiskError)) throw error;
      this.#ports.logger.warn('stop in order not marked', { err: error });
    }
  }

  #openLog(directory: DataDirectory): Promise<NodeLog> {
    const { clock, halt, logger, observeStage } = this.#ports;
    const { journalBytesMax, journalAgeMsMax, groupBytesMax, tailBytesMax } = this.#config;
    const { readBufferBytesMax, indexBytesMax, diskReserveBytes, scrubBytesPerSecondMax, scrubIntervalMs } =
      this.#config;
    const { rewriteBytesPerSecondMax } = this.#config;
    const pendingBytesMax = this.#config.receiveBudgetBytes;
    const onGroup = ({ queueMs, prepareMs, writeMs }: GroupStats): void => {
      observeStage('queue', queueMs);
      observeStage('append', prepareMs);
      observeStage('fsync', writeMs);
    };
    return openNodeLog({
      directory,
      clock,
      halt,
      logger: logger.with({ component: 'storage' }),
      limits: {
        journalBytesMax,
        journalAgeMsMax,
        groupBytesMax,
        tailBytesMax,
        readBufferBytesMax,
        indexBytesMax,
        pendingBytesMax,
        diskReserveBytes,
        scrubBytesPerSecondMax,
        scrubIntervalMs,
        rewriteBytesPerSecondMax,
      },
      onGroup,
    });
  }

  #controller({ self, keeper, nodeLog, rpc, isLogLost }: ControllerParts): ControllerNode {
    const { transport, clock, random, logger, halt } = this.#ports;
    const config = this.#config;
    const electionTimeoutMs = config['raft.electionTimeoutMs'];
    return new ControllerNode({
      self,
      keeper,
      store: nodeLog.raft,
      isLogLost,
      rpc,
      transport,
      clock,
      random: random.fork('controller'),
      logger: logger.with({ component: 'controller' }),
      halt,
      checksum: (bytes) => crc32c(bytes),
      oldestUnsyncedMs: () => nodeLog.oldestUnsyncedMs(clock.monotonicMs()),
      config: {
        peerAddress: config['listeners.peer.advertise'],
        isController: config.roles.includes('controller'),
        voters: config['cluster.voters'],
        raft: {
          ...defaultRaftConfig,
          heartbeatMs: config['raft.heartbeatMs'],
          electionTimeoutMsMin: electionTimeoutMs,
          electionTimeoutMsMax: electionTimeoutMs * 2,
          snapshotChunkBytesMax: config['raft.snapshotChunkBytesMax'],
          compactionTrailingEntries: config['raft.compactionTrailingEntries'],
          leaderlessElectionDelayMsMax: Math.min(defaultRaftConfig.leaderlessElectionDelayMsMax, electionTimeoutMs),
        },
        snapshotLogBytesMax: config['raft.snapshotLogBytesMax'],
        sessionTimeoutMs: config.sessionTimeoutMs,
        preferredElectionMs: config.preferredElectionMs,
        diskStallMs: config.diskStallMs,
      },
    });
  }

  #broker({ self, controller, nodeLog, rpc, unclean }: BrokerParts): BrokerNode {
    const { disk, clock, random, logger, halt, codecs, observeStage, version } = this.#ports;
    const config = this.#config;
    const stages: StageTimes = { observe: observeStage };
    return new BrokerNode({
      identity: self,
      registration: {
        version,
        rack: config.rack,
        listeners: config['listeners.client'].map(({ name, protocol, advertise }) => ({
          name,
          protocol,
          address: advertise,
        })),
        peerAddress: config['listeners.peer.advertise'],
        adminAddress: config['listeners.admin.advertise'],
        unclean,
      },
      config,
      nodeLog,
      feed: controller.feed,
      rpc,
      clock,
      random: random.fork('broker'),
      logger: logger.with({ component: 'broker' }),
      halt,
      stages,
      compression: compressionOver(codecs),
      diskBytes: () => directoryBytes(disk, config.dataDirectory),
    });
  }

  async #listen(controller: ControllerNode, broker: BrokerNode | undefined): Promise<void> {
    const { transport } = this.#ports;
    const peers = this.#dispatcher('peer', 'peer');
    const clients = this.#config['listeners.client'].map((listener) => ({
      bind: listener.bind,
      dispatcher: this.#dispatcher('client', listener.name),
    }));
    controller.serve(peers);
    broker?.serve(
      clients.map(({ dispatcher }) => dispatcher),
      peers,
    );
    const doors = [{ bind: this.#config['listeners.peer.bind'], dispatcher: peers }];
    if (broker !== undefined) doors.push(...clients);
    const listening: Listening[] = [];
    for (const { bind, dispatcher } of doors) {
      const door = await transport.listen(bind, dispatcher.accept);
      this.#open.defer(() => door.close(0));
      listening.push(door);
    }
    this.#listening = listening;
  }

  #dispatcher(face: 'client' | 'peer', listener: string): Dispatcher {
    const { clock, logger } = this.#ports;
    const limits = defaultLimits[face];
    return new Dispatcher({ face, listener, limits, logger: logger.with({ component: 'wire' }), clock, authorize });
  }

  async #stop(): Promise<void> {
    const { clock, logger } = this.#ports;
    const deadlineMs = clock.monotonicMs() + this.#config.drainTimeoutMs;
    // A start under way ends by itself or fails; its reason was given to who called it.
    await this.#starting?.catch(() => undefined);
    const parts = this.#parts;
    if (parts?.broker !== undefined) await this.#drain(parts.broker, deadlineMs);
    await parts?.controller.handOver();
    const graceMs = Math.max(0, deadlineMs - clock.monotonicMs());
    const doors = this.#listening;
    this.#listening = [];
    parts?.broker?.stop();
    await Promise.all(doors.map((door) => door.close(Math.min(graceMs, callGraceMs))));
    await this.#open.disposeAsync();
    // A start that failed has its own line.
    if (parts !== undefined) logger.info('node stopped');
  }

  /** Ends early when no controller leader can be found: then nobody can move anything. */
  async #drain(broker: BrokerNode, deadlineMs: number): Promise<void> {
    const { clock } = this.#ports;
    const leftMs = (): number => Math.max(0, deadlineMs - clock.monotonicMs());
    const drained = broker.drain(leftMs()).then(() => 'drained' as const);
    const patienceMs = this.#config['raft.electionTimeoutMs'];
    let controllerSeenMs = clock.monotonicMs();
    for (;;) {
      const nowMs = clock.monotonicMs();
      if (this.#parts?.controller.feed.controller !== undefined) controllerSeenMs = nowMs;
      if (nowMs - controllerSeenMs > patienceMs || leftMs() === 0) return;
      const polled = new Promise<'polled'>((resolve) => void clock.setTimer(drainPollMs, () => resolve('polled')));
      if ((await Promise.race([drained, polled])) === 'drained') return;
    }
  }
}

interface ControllerParts {
  readonly self: DirectorySelf;
  readonly keeper: IdentityKeeper;
  readonly nodeLog: NodeLog;
  readonly rpc: RpcClient;
  readonly isLogLost: boolean;
}

interface BrokerParts {
  readonly self: DirectorySelf;
  readonly controller: ControllerNode;
  readonly nodeLog: NodeLog;
  readonly rpc: RpcClient;
  readonly unclean: boolean;
}

/** Streams of clients and peers do not end by themselves: they are told, and cut after this. */
const callGraceMs = 500;
