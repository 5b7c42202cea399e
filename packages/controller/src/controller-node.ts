/**
 * This node's part in the controller: its birth or joining, its Raft member, the committed metadata, and, while it
 * leads, the decisions and the brokers' sessions. Every node has one: a voter if it is in the voter set of the birth,
 * else an observer. Made by the composition root.
 */
import { toSluiceError } from '@sluice/base';
import type { Clock, Halt, Logger, NodeId, Random, Transport } from '@sluice/base';
import { featureLevelMax, imageDigest } from '@sluice/metadata';
import type { KnownVoter, MetadataFeed, MetadataImage } from '@sluice/metadata';
import { memberId, Raft } from '@sluice/raft';
import type { Entry, Leadership, MemberId, Membership, RaftConfig, Snapshot, TransferOutcome } from '@sluice/raft';
import type { DirectoryIdentity, IdentityKeeper, RaftState, RaftStore } from '@sluice/storage';
import { identityMessage, methods } from '@sluice/wire';
import type { Dispatcher, PeerSelf, RpcClient } from '@sluice/wire';
import { BirthProcess } from './birth-process.ts';
import type { ConfiguredVoter } from './birth-process.ts';
import { BrokerSessions } from './broker-sessions.ts';
import { CommittedMetadata } from './committed-metadata.ts';
import { ControllerService } from './controller-service.ts';
import { Decisions } from './decisions.ts';
import { FenceCounts } from './fence-counts.ts';
import type { FenceCause } from './fence-counts.ts';
import { HandingOver } from './handing-over.ts';
import { memberOf, parseMember } from './members.ts';
import { heirs } from './heirs.ts';
import { RaftPeers } from './raft-peers.ts';
import type { AddressBook, Remembered } from './raft-peers.ts';
import { RaftRunner } from './raft-runner.ts';
import { Resignation } from './resignation.ts';
import { VoterChanges } from './voter-changes.ts';
import { VoterSearch } from './voter-search.ts';
import { RaftSnapshots } from './raft-snapshots.ts';
import type { SnapshotFigures } from './raft-snapshots.ts';
import { loadedEntry } from './stored-entries.ts';
import { loadedSnapshot } from './stored-snapshot.ts';
import { toError } from './thrown.ts';

export interface ControllerConfig {
  /** Advertised to other nodes. */
  readonly peerAddress: string;
  /** The node has the role controller: it may vote. */
  readonly isController: boolean;
  readonly voters: readonly ConfiguredVoter[];
  readonly raft: RaftConfig;
  /** A snapshot of the metadata is taken when the Raft log since the last one is longer. */
  readonly snapshotLogBytesMax: number;
  readonly sessionTimeoutMs: number;
  readonly preferredElectionMs: number;
  readonly diskStallMs: number;
}

export interface ControllerOptions {
  readonly self: PeerSelf;
  readonly keeper: IdentityKeeper;
  readonly store: RaftStore;
  /** The directory belongs to a cluster, and its log is not there. */
  readonly isLogLost: boolean;
  readonly config: ControllerConfig;
  readonly rpc: RpcClient;
  readonly transport: Transport;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly halt: Halt;
  /** CRC-32C. */
  readonly checksum: (bytes: Uint8Array) => number;
  /** Age of this node's oldest write that is not durable. */
  readonly oldestUnsyncedMs: () => number;
}

/** Where the controller stands on this node, for metrics and `/readyz?verbose`. */
export interface ControllerStanding {
  readonly role: string;
  /** The directory belongs to a cluster. */
  readonly isMember: boolean;
  /** A voter, and allowed to vote. */
  readonly votes: boolean;
  /** In this life it followed a leader, or led, and has applied what it then knew to be committed. */
  readonly caughtUp: boolean;
  readonly term: number;
  readonly commitIndex: number;
  readonly appliedIndex: number;
  readonly leader: NodeId | undefined;
  /** 0 without one. */
  readonly snapshotIndex: number;
  /** Of the Raft log since the last snapshot. */
  readonly logBytes: number;
  readonly snapshots: SnapshotFigures;
  /** Nodes that this process fenced as the leader. */
  readonly fences: Readonly<Record<FenceCause, number>>;
}

const describeTimeoutMs = 1_000;

export class ControllerNode {
  readonly #options: ControllerOptions;
  readonly #metadata: CommittedMetadata;
  readonly #birth: BirthProcess;
  readonly #peers: RaftPeers;
  readonly #decisions: Decisions;
  readonly #service: ControllerService;
  readonly #voterChanges: VoterChanges;
  readonly #search: VoterSearch;
  readonly #snapshots: RaftSnapshots;
  readonly #fenceCounts = new FenceCounts();
  #runner: RaftRunner | undefined;
  #sessions: BrokerSessions | undefined;
  #handingOver: HandingOver | undefined;
  #resignation: Resignation | undefined;
  #caughtUp = false;
  #stopped = false;

  constructor(options: ControllerOptions) {
    this.#options = options;
    const { self, keeper, rpc, transport, clock, random, logger, halt, config } = options;
    this.#metadata = new CommittedMetadata(halt, () => this.#voterAddresses());
    this.#birth = new BirthProcess({
      self,
      keeper,
      configured: config.voters,
      rpc,
      clock,
      random,
      logger,
      halt,
      voters: () => this.#voterAddresses(),
    });
    this.#peers = new RaftPeers({
      self,
      rpc,
      transport,
      clock,
      logger,
      peerAddress: config.peerAddress,
      isController: config.isController,
      durableIndex: () => Math.min(this.raft?.durableIndex ?? 0, this.raft?.commitIndex ?? 0),
      votesRevoked: () => keeper.current.votesRevoked || this.raft?.votingAllowed === false,
      addressesOf: (member) => this.#addressesOf(member),
      remembered: (member) => this.#remembered(member),
      onMessage: (from, message) => void this.#runner?.step({ kind: 'message', from, message }),
      onGone: (peer) => {
        this.#runner?.step({ kind: 'peer-refused', peer });
        this.#handingOver?.check();
      },
      onRemembered: (remembered) => this.#compare(remembered),
    });
    this.#decisions = new Decisions({
      image: this.#metadata.image,
      propose: (payload) => this.#runner?.step({ kind: 'propose', payloads: [payload] }),
      read: (id) => void this.#runner?.step({ kind: 'read', id }),
    });
    this.#voterChanges = new VoterChanges({
      raft: () => this.raft,
      change: (change) => this.#runner?.changeMembership(change),
      announced: (member) => this.#peers.announced(member),
      addressesOf: (member) => this.#peers.addressesOf(member),
      nowMs: () => clock.monotonicMs(),
      contactMsMax: config.raft.electionTimeoutMsMax,
    });
    this.#snapshots = this.#makeSnapshots();
    this.#service = new ControllerService({
      self,
      image: this.#metadata.image,
      decisions: this.#decisions,
      random,
      logger,
      sessions: () => this.#sessions,
      voterChanges: this.#voterChanges,
    });
    this.#search = new VoterSearch({
      self,
      rpc,
      clock,
      logger,
      isNeeded: () => this.raft !== undefined && this.raft.leader === undefined,
      addresses: () => this.#clusterAddresses(),
      onFound: (members) => void this.#runner?.step({ kind: 'voters-hint', members }),
    });
  }

  get feed(): MetadataFeed {
    return this.#metadata;
  }

  /** Undefined until the node is born. For invariants of tests and the simulator, which only read it. */
  get raft(): Raft | undefined {
    return this.#runner?.raft;
  }

  /** As of what is applied here, be it the leader's present or not. */
  get image(): MetadataImage {
    return this.#metadata.image;
  }

  /** Equal for equal images, position included. Encodes the whole image: for tests and the simulator. */
  imageDigest(): string {
    return imageDigest(this.#metadata.image);
  }

  get standing(): ControllerStanding {
    const raft = this.#runner?.raft;
    const { appliedIndex } = this.#metadata.image;
    this.#caughtUp ||= raft?.leader !== undefined && raft.commitIndex > 0 && appliedIndex >= raft.commitIndex;
    return {
      role: raft === undefined ? 'unborn' : raft.isVoter ? raft.role : 'observer',
      isMember: raft !== undefined,
      votes: raft?.isVoter === true && raft.votingAllowed,
      caughtUp: this.#caughtUp,
      term: raft?.term ?? 0,
      commitIndex: raft?.commitIndex ?? 0,
      appliedIndex,
      leader: raft?.leader === undefined ? undefined : parseMember(raft.leader).nodeId,
      snapshotIndex: raft?.snapshot?.index ?? 0,
      logBytes: this.#options.store.logBytes,
      snapshots: this.#snapshots.figures,
      fences: this.#fenceCounts.figures,
    };
  }

  serve(peers: Dispatcher): void {
    this.#birth.serve(peers);
    this.#peers.serve(peers);
    this.#service.serve(peers);
  }

  /** Goes on in the background: a directory that is not born waits for the others for as long as it takes. */
  start(): void {
    this.#birth
      .run()
      .then(() => this.#startRaft())
      .catch((thrown: unknown) => this.#options.halt.halt(toError(thrown)));
  }

  /**
   * Lets that node's voter lead the controller. Begun is not done: `standing` and the feed say who leads, and after an
   * election timeout it is given up. Of a node that votes with two directories the one that has more of the log.
   */
  transferLeadership(to: NodeId): TransferOutcome {
    const raft = this.raft;
    if (raft?.isLeader !== true) return { outcome: 'refused', reason: 'not-leader' };
    const ofNode = (member: MemberId): boolean => parseMember(member).nodeId === to;
    if (ofNode(raft.self)) return { outcome: 'refused', reason: 'already-leader' };
    const [voter] = raft.peers
      .filter(({ peer, isVoter }) => isVoter && ofNode(peer) && !this.#isRevoked(peer))
      .toSorted((one, other) => other.matchIndex - one.matchIndex);
    if (voter === undefined) return { outcome: 'refused', reason: 'not-a-voter' };
    return this.#runner?.transfer(voter.peer) ?? { outcome: 'refused', reason: 'not-leader' };
  }

  /** Before a stop in order: another voter leads, so that nobody has to miss this one. Resolves at once when it leads not. */
  async handOver(): Promise<void> {
    const { clock, logger, config } = this.#options;
    const { raft } = this;
    if (raft?.isLeader !== true || this.#handingOver !== undefined) return;
    this.#handingOver = new HandingOver({
      raft,
      transfer: (to) => this.#runner?.transfer(to),
      isUnfit: (member) => this.#isUnfit(member),
      clock,
      logger,
      contactMsMax: config.raft.electionTimeoutMsMin,
      patienceMs: config.raft.electionTimeoutMsMin + config.raft.heartbeatMs,
    });
    await this.#handingOver.run();
    this.#handingOver = undefined;
  }

  /** Told to campaign it would not, and a leader that stops must not wait for it: its own vote may be the one that counts. */
  #isRevoked(member: MemberId): boolean {
    return this.#peers.announced(member)?.votesRevoked === true;
  }

  #isUnfit(member: MemberId): boolean {
    const { nodeId } = parseMember(member);
    const node = this.#metadata.image.node(nodeId);
    if (this.#peers.isGone(nodeId) || this.#isRevoked(member)) return true;
    return node?.state === 'draining' || node?.stalled === true;
  }

  #watchDisk(raft: Raft): Resignation {
    const { clock, logger, config, oldestUnsyncedMs } = this.#options;
    return new Resignation({
      clock,
      logger,
      raft,
      diskStallMs: config.diskStallMs,
      contactMs: 3 * config.raft.heartbeatMs,
      oldestUnsyncedMs,
      heirs: () => {
        const sinceMs = clock.monotonicMs() - config.raft.electionTimeoutMsMin;
        return heirs({ raft, sinceMs, isUnfit: (member) => this.#isUnfit(member) });
      },
      resign: (to) => this.#runner?.resign(to),
    });
  }

  stop(): void {
    this.#stopped = true;
    this.#handingOver?.end();
    this.#resignation?.end();
    this.#birth.stop();
    this.#search.stop();
    this.#voterChanges.stepDown();
    this.#sessions?.end();
    this.#decisions.stepDown();
    this.#snapshots.stop();
    this.#runner?.stop();
    this.#peers.stop();
  }

  /**
   * The leader says that this directory is not what its node had. One that never was granted an epoch, and did not found
   * the cluster, takes the place of another and has promised nothing: it may be made a voter.
   */
  async onIncomplete(): Promise<void> {
    const { brokerEpoch, voters, directoryId } = this.#options.keeper.current;
    const isFounder = voters?.some((voter) => voter.directoryId === directoryId) === true;
    if (brokerEpoch > 0 || isFounder) await this.#revokeVotes();
  }

  /** This directory lost something that it once promised: it follows, and never votes again. */
  async #revokeVotes(): Promise<void> {
    this.#runner?.withdrawVotes();
    await this.#options.keeper.update((current) => ({ ...current, votesRevoked: true }));
  }

  #makeSnapshots(): RaftSnapshots {
    const { store, clock, logger, halt, config } = this.#options;
    return new RaftSnapshots({
      store,
      image: this.#metadata.image,
      clock,
      logger,
      halt,
      logBytesMax: config.snapshotLogBytesMax,
      onSaved: (snapshot) => void this.#runner?.step({ kind: 'snapshot-saved', snapshot }),
    });
  }

  async #startRaft(): Promise<void> {
    const { keeper, store, isLogLost } = this.#options;
    if (this.#stopped || keeper.current.voters === null) return;
    const stored = store.load();
    // A registered broker has applied its registration: without a Raft log this directory lost its own (P9). It must
    // know that also when a part of the log is there again.
    const isEmpty = stored.snapshot === null && stored.entries.length === 0;
    if (isLogLost || (keeper.current.brokerEpoch > 0 && isEmpty)) await this.#revokeVotes();
    if (!this.#stopped) this.#runRaft(stored, keeper.current);
  }

  #runRaft(stored: RaftState, identity: DirectoryIdentity): void {
    const { store, config, clock, random, logger, halt } = this.#options;
    const snapshot = stored.snapshot === null ? undefined : loadedSnapshot(stored.snapshot);
    if (snapshot !== undefined) this.#metadata.restore(snapshot);
    if (this.#metadata.broken) return;
    const { term, votedFor } = stored.hardState;
    const votingAllowed = !identity.votesRevoked && !store.doubtful;
    const raft = new Raft({
      self: memberOf(identity),
      initialVoters: (identity.voters ?? []).map((voter) => ({
        id: memberOf(voter),
        address: config.voters.find(({ nodeId }) => nodeId === voter.nodeId)?.peerAddress ?? '',
      })),
      votingAllowed,
      hardState: { term, votedFor: votedFor === null ? undefined : memberId(votedFor) },
      snapshot,
      entries: stored.entries.map(loadedEntry),
      checksum: this.#options.checksum,
      config: config.raft,
      random: random.fork('raft'),
      nowMs: clock.monotonicMs(),
    });
    if (raft.isVoter && !votingAllowed) logger.error('this directory may have lost votes and does not vote', {});
    this.#runner = new RaftRunner({
      raft,
      store,
      clock,
      logger,
      halt,
      onSaveSnapshot: (received) => this.#snapshots.save(received),
      onRestore: (received) => this.#onRestore(received),
      onCommitted: (entries) => this.#onCommitted(entries),
      onMembership: (membership) => this.#onMembership(membership),
      onReads: (outcomes) => this.#decisions.onReads(outcomes),
      onLeadership: (leadership) => this.#onLeadership(leadership),
    });
    this.#runner.start(this.#peers);
    this.#search.start();
  }

  #onMembership({ index, voters }: Membership): void {
    const nodes = voters.map(({ id }) => parseMember(id).nodeId);
    this.#options.logger.info('voters changed', { voters: nodes, index });
    this.#tellController();
  }

  #onLeadership({ role, term }: Leadership): void {
    const { logger } = this.#options;
    if (role !== 'leader') {
      if (this.#sessions !== undefined) logger.info('controller leadership ended', { term });
      this.#sessions?.end();
      this.#sessions = undefined;
      this.#resignation?.end();
      this.#resignation = undefined;
      this.#decisions.stepDown();
      this.#voterChanges.stepDown();
    } else if (!this.#decisions.leads) {
      this.#decisions.elected();
      if (this.raft !== undefined) this.#resignation ??= this.#watchDisk(this.raft);
    }
    this.#tellController();
    if (role !== 'leader') this.#handingOver?.check();
  }

  #tellController(): void {
    const leader = this.raft?.leader;
    const address = leader === undefined ? undefined : this.#peers.addressesOf(leader)[0];
    const isUnknown = leader === undefined || address === undefined;
    this.#metadata.setController(isUnknown ? undefined : { nodeId: parseMember(leader).nodeId, address });
  }

  /** A leader is never given one, so nothing that was decided here waits for what is skipped. */
  #onRestore(snapshot: Snapshot): void {
    const { appliedIndex } = this.#metadata.image;
    this.#metadata.restore(snapshot);
    this.#options.logger.info('metadata restored from a snapshot', { from: appliedIndex, index: snapshot.index });
  }

  #onCommitted(entries: readonly Entry[]): void {
    for (const entry of entries) {
      this.#metadata.apply(entry);
      if (this.#metadata.broken) return this.#decisions.stepDown();
      this.#decisions.onApplied(entry);
      this.#voterChanges.onCommitted(entry);
    }
    const raft = this.#runner?.raft;
    const last = entries.at(-1);
    if (raft === undefined || last === undefined) return;
    if (raft.isLeader && !this.#decisions.leads && last.term === raft.term) this.#lead(raft);
    this.#snapshots.takeWhenDue(last, () => raft.membershipAt(last.index));
  }

  /** The own term's first entry is applied: from here on this node decides (Q1). */
  #lead(raft: Raft): void {
    const { self, rpc, transport, clock, logger, config, keeper } = this.#options;
    logger.info('controller leadership began', { term: raft.term });
    this.#decisions.lead();
    this.#voterChanges.lead();
    const { clusterId } = keeper.current;
    if (clusterId !== null && this.#metadata.image.clusterId === null) {
      this.#decisions.ask({ type: 'initialize', clusterId, level: featureLevelMax }).catch((error: unknown) => {
        // The next leader writes it.
        logger.warn('cluster not initialised yet', { err: toSluiceError(error) });
      });
    }
    const former = this.#runner?.takeFormerLeader();
    this.#sessions = new BrokerSessions({
      image: this.#metadata.image,
      decisions: this.#decisions,
      transport,
      clock,
      logger,
      isGone: (node) => this.#peers.isGone(node),
      heard: former === undefined ? undefined : { nodeId: parseMember(former.member).nodeId, atMs: former.atMs },
      quorumContactMs: () => raft.quorumContactMs,
      describeLogs: ({ peerAddress }, partitions) => {
        const request = { identity: identityMessage(self), partitions };
        return rpc.unary(methods.replication.describeLogs, peerAddress, request, { timeoutMs: describeTimeoutMs });
      },
      fenceCounts: this.#fenceCounts,
      sessionTimeoutMs: config.sessionTimeoutMs,
      preferredElectionMs: config.preferredElectionMs,
      diskStallMs: config.diskStallMs,
    });
  }

  #addressesOf(member: MemberId): AddressBook {
    const { nodeId } = parseMember(member);
    const { config } = this.#options;
    if (member === this.raft?.self) return { given: [config.peerAddress], heard: [] };
    const voter = this.raft?.membership.voters.find(({ id }) => id === member);
    const configured = config.voters.find((each) => each.nodeId === nodeId);
    return {
      given: whole([voter?.address, configured?.peerAddress]),
      heard: whole([this.#search.addressOf(member), this.#metadata.image.node(nodeId)?.peerAddress]),
    };
  }

  #voterAddresses(): readonly KnownVoter[] {
    const voters = this.raft?.voters ?? [];
    return voters.map((voter) => ({ ...parseMember(voter), address: this.#peers.addressesOf(voter)[0] ?? '' }));
  }

  /** Of nodes that may know who votes now. */
  #clusterAddresses(): readonly string[] {
    const { peerAddress, voters } = this.#options.config;
    const known = [
      ...voters.map((voter) => voter.peerAddress),
      ...this.#voterAddresses().map(({ address }) => address),
      ...[...this.#metadata.image.nodes.values()].map((node) => node.peerAddress),
    ];
    return whole(known).filter((address) => address !== peerAddress);
  }

  #remembered(member: MemberId): Remembered {
    const { nodeId, directoryId } = parseMember(member);
    const known = this.#metadata.image.node(nodeId);
    const confirmed = known?.directoryId === directoryId ? known.confirmedEpoch : null;
    const seen = this.#runner?.remembered(member) ?? { term: 0, matchIndex: 0 };
    return { ...seen, brokerEpoch: confirmed ?? 0 };
  }

  /** What another member remembers of this one must still be known here (N2). */
  #compare(remembered: Remembered): void {
    const { keeper, logger } = this.#options;
    const raft = this.#runner?.raft;
    if (raft === undefined || keeper.current.votesRevoked) return;
    const isOlder =
      remembered.term > raft.term ||
      remembered.matchIndex > raft.lastIndex ||
      remembered.brokerEpoch > keeper.current.brokerEpoch;
    if (!isOlder) return;
    logger.error('data directory is an older copy of itself and votes no more', {
      remembered,
      term: raft.term,
      lastIndex: raft.lastIndex,
      brokerEpoch: keeper.current.brokerEpoch,
    });
    this.#revokeVotes().catch((error: unknown) => this.#options.halt.halt(toSluiceError(error)));
  }
}

/** Each once. */
const whole = (addresses: readonly (string | undefined)[]): readonly string[] =>
  [...new Set(addresses.filter((address) => address !== undefined && address !== ''))] as readonly string[];
