/**
 * This node's part in the controller: its birth or joining, its Raft member, the committed metadata, and, while it
 * leads, the decisions and the brokers' sessions. Every node has one: a voter if it is in the voter set of the birth,
 * else an observer. Made by the composition root.
 */
import { toSluiceError } from '@sluice/base';
import type { Clock, Halt, Logger, NodeId, Random, Transport } from '@sluice/base';
import { featureLevelMax } from '@sluice/metadata';
import type { MetadataFeed, MetadataImage } from '@sluice/metadata';
import { memberId, Raft } from '@sluice/raft';
import type { Entry, Leadership, MemberId, RaftConfig } from '@sluice/raft';
import type { IdentityKeeper, RaftStore } from '@sluice/storage';
import type { Dispatcher, PeerSelf, RpcClient } from '@sluice/wire';
import { BirthProcess } from './birth-process.ts';
import type { ConfiguredVoter } from './birth-process.ts';
import { BrokerSessions } from './broker-sessions.ts';
import { CommittedMetadata } from './committed-metadata.ts';
import { ControllerService } from './controller-service.ts';
import { Decisions } from './decisions.ts';
import { memberOf, parseMember } from './members.ts';
import { RaftPeers } from './raft-peers.ts';
import type { AddressBook, Remembered } from './raft-peers.ts';
import { RaftRunner } from './raft-runner.ts';
import { loadedEntry } from './stored-entries.ts';
import { toError } from './thrown.ts';

export interface ControllerConfig {
  /** Advertised to other nodes. */
  readonly peerAddress: string;
  /** The node has the role controller: it may vote. */
  readonly isController: boolean;
  readonly voters: readonly ConfiguredVoter[];
  readonly raft: RaftConfig;
  readonly sessionTimeoutMs: number;
  readonly preferredElectionMs: number;
}

export interface ControllerOptions {
  readonly self: PeerSelf;
  readonly keeper: IdentityKeeper;
  readonly store: RaftStore;
  readonly config: ControllerConfig;
  readonly rpc: RpcClient;
  readonly transport: Transport;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly halt: Halt;
  /** CRC-32C. */
  readonly checksum: (bytes: Uint8Array) => number;
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
}

const noAddress: AddressBook = { given: [], registered: undefined };

export class ControllerNode {
  readonly #options: ControllerOptions;
  readonly #metadata: CommittedMetadata;
  readonly #birth: BirthProcess;
  readonly #peers: RaftPeers;
  readonly #decisions: Decisions;
  readonly #service: ControllerService;
  #runner: RaftRunner | undefined;
  #sessions: BrokerSessions | undefined;
  #caughtUp = false;
  #stopped = false;

  constructor(options: ControllerOptions) {
    this.#options = options;
    const { self, keeper, rpc, transport, clock, random, logger, halt, config } = options;
    this.#metadata = new CommittedMetadata(halt);
    this.#birth = new BirthProcess({ self, keeper, configured: config.voters, rpc, clock, random, logger, halt });
    this.#peers = new RaftPeers({
      self,
      rpc,
      transport,
      clock,
      logger,
      peerAddress: config.peerAddress,
      isController: config.isController,
      durableIndex: () => Math.min(this.raft?.durableIndex ?? 0, this.raft?.commitIndex ?? 0),
      addressesOf: (member) => this.#addressesOf(parseMember(member).nodeId),
      remembered: (member) => this.#remembered(member),
      onMessage: (from, message) => void this.#runner?.step({ kind: 'message', from, message }),
      onGone: (peer) => void this.#runner?.step({ kind: 'peer-refused', peer }),
      onRemembered: (remembered) => this.#compare(remembered),
    });
    this.#decisions = new Decisions({
      image: this.#metadata.image,
      propose: (payload) => this.#runner?.step({ kind: 'propose', payloads: [payload] }),
      read: (id) => void this.#runner?.step({ kind: 'read', id }),
    });
    this.#service = new ControllerService({
      self,
      image: this.#metadata.image,
      decisions: this.#decisions,
      random,
      logger,
      sessions: () => this.#sessions,
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

  stop(): void {
    this.#stopped = true;
    this.#birth.stop();
    this.#sessions?.end();
    this.#decisions.stepDown();
    this.#runner?.stop();
    this.#peers.stop();
  }

  /** This directory lost something that it once promised: it follows, but votes no more until it is admitted again. */
  async revokeVotes(): Promise<void> {
    this.#runner?.withdrawVotes();
    await this.#options.keeper.update((current) => ({ ...current, votesRevoked: true }));
  }

  #startRaft(): void {
    const { keeper, store, config, clock, random, logger, halt } = this.#options;
    const identity = keeper.current;
    if (this.#stopped || identity.voters === null) return;
    const stored = store.load();
    const { term, votedFor } = stored.hardState;
    // A registered broker has applied its registration: without a Raft log this directory lost its own (P9).
    const lostLog = identity.brokerEpoch > 0 && stored.snapshot === null && stored.entries.length === 0;
    const votingAllowed = !identity.votesRevoked && !store.doubtful && !lostLog;
    const raft = new Raft({
      self: memberOf(identity),
      initialVoters: identity.voters.map((voter) => ({
        id: memberOf(voter),
        address: config.voters.find(({ nodeId }) => nodeId === voter.nodeId)?.peerAddress ?? '',
      })),
      votingAllowed,
      hardState: { term, votedFor: votedFor === null ? undefined : memberId(votedFor) },
      snapshot: undefined,
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
      onCommitted: (entries) => this.#onCommitted(entries),
      onReads: (outcomes) => this.#decisions.onReads(outcomes),
      onLeadership: (leadership) => this.#onLeadership(leadership),
    });
    this.#runner.start(this.#peers);
  }

  #onLeadership({ role, term, leader }: Leadership): void {
    const { logger } = this.#options;
    if (role !== 'leader') {
      if (this.#sessions !== undefined) logger.info('controller leadership ended', { term });
      this.#sessions?.end();
      this.#sessions = undefined;
      this.#decisions.stepDown();
    }
    const node = leader === undefined ? undefined : parseMember(leader).nodeId;
    const { given, registered } = node === undefined ? noAddress : this.#addressesOf(node);
    const address = given[0] ?? registered;
    this.#metadata.setController(node === undefined || address === undefined ? undefined : { nodeId: node, address });
  }

  #onCommitted(entries: readonly Entry[]): void {
    for (const entry of entries) {
      this.#metadata.apply(entry);
      if (this.#metadata.broken) return this.#decisions.stepDown();
      this.#decisions.onApplied(entry);
    }
    const raft = this.#runner?.raft;
    const last = entries.at(-1);
    if (raft?.isLeader === true && !this.#decisions.leads && last?.term === raft.term) this.#lead(raft);
  }

  /** The own term's first entry is applied: from here on this node decides (Q1). */
  #lead(raft: Raft): void {
    const { transport, clock, logger, config, keeper } = this.#options;
    logger.info('controller leadership began', { term: raft.term });
    this.#decisions.lead();
    const { clusterId } = keeper.current;
    if (clusterId !== null && this.#metadata.image.clusterId === null) {
      this.#decisions.ask({ type: 'initialize', clusterId, level: featureLevelMax }).catch((error: unknown) => {
        // The next leader writes it.
        logger.warn('cluster not initialised yet', { err: toSluiceError(error) });
      });
    }
    this.#sessions = new BrokerSessions({
      image: this.#metadata.image,
      decisions: this.#decisions,
      transport,
      clock,
      logger,
      isGone: (node) => this.#peers.isGone(node),
      sessionTimeoutMs: config.sessionTimeoutMs,
      preferredElectionMs: config.preferredElectionMs,
    });
  }

  #addressesOf(node: NodeId): AddressBook {
    const configured = this.#options.config.voters.find((voter) => voter.nodeId === node);
    const given = configured === undefined ? [] : [configured.peerAddress];
    return { given, registered: this.#metadata.image.node(node)?.peerAddress };
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
    this.revokeVotes().catch((error: unknown) => this.#options.halt.halt(toSluiceError(error)));
  }
}
