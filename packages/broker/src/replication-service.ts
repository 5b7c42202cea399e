/**
 * Replication of all partitions of this node, both ways: the streams of its followers and the streams to its leaders.
 * Owned by `BrokerNode`, which hands it the machine's messages.
 */
import { brokerEpoch, isNodeNumber, nodeId, SluiceError } from '@sluice/base';
import type { Clock, LogId, Logger, NodeId } from '@sluice/base';
import type { MetadataFeed } from '@sluice/metadata';
import type { FollowerAck, ReplicationMessage, StartPush } from '@sluice/partition';
import type { NodeLog } from '@sluice/storage';
import { identityMessage, methods, peerRefusal } from '@sluice/wire';
import type {
  Dispatcher,
  ReplicateRequest,
  ReplicateResponse,
  RpcClient,
  StreamReceiver,
  StreamSender,
} from '@sluice/wire';
import { CatchUpBudget } from './catch-up-budget.ts';
import type { PushCounts } from './follower-pushes.ts';
import type { HeardStream, NodeLiveness } from './node-liveness.ts';
import type { NodeIdentity } from './node-identity.ts';
import type { PartitionHost } from './partition-host.ts';
import { LeaderLink } from './replication-follower.ts';
import { FollowerSession } from './replication-leader.ts';

export interface ReplicationServiceOptions {
  readonly identity: NodeIdentity;
  readonly feed: MetadataFeed;
  readonly nodeLog: NodeLog;
  readonly rpc: RpcClient;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly liveness: NodeLiveness;
  readonly findHost: (id: LogId) => PartitionHost | undefined;
  readonly windowBytes: number;
  readonly heartbeatMs: number;
  readonly sessionTimeoutMs: number;
  readonly catchUpBytesPerSecondMax: number;
}

export interface PushFigures extends Readonly<PushCounts> {
  /** Partitions of followers that are read behind the tail. */
  readonly behind: number;
}

export class ReplicationService {
  readonly #options: ReplicationServiceOptions;
  readonly #followers = new Map<NodeId, FollowerSession>();
  readonly #leaders = new Map<NodeId, LeaderLink>();
  /** The leader that each host states its position to. */
  readonly #following = new Map<PartitionHost, LeaderLink>();
  readonly #budget: CatchUpBudget;
  readonly #counts: PushCounts = { pushedBytes: 0, catchUpBytes: 0 };
  #stopped = false;

  constructor(options: ReplicationServiceOptions) {
    this.#options = options;
    this.#budget = new CatchUpBudget(options.clock, options.catchUpBytesPerSecondMax);
  }

  get figures(): PushFigures {
    let behind = 0;
    for (const session of this.#followers.values()) behind += session.behindCount;
    return { ...this.#counts, behind };
  }

  serve(peers: Dispatcher): void {
    peers.stream(methods.replication.replicate, (_call, sender) => this.#accept(sender));
  }

  start(): void {
    const beat = (): void => {
      if (this.#stopped) return;
      for (const session of this.#followers.values()) session.beat();
      this.#options.clock.setTimer(this.#options.heartbeatMs, beat);
    };
    beat();
  }

  stop(): void {
    this.#stopped = true;
    for (const link of this.#leaders.values()) link.stop();
    for (const session of this.#followers.values()) session.close(new SluiceError('SHUTTING_DOWN'));
    this.#budget.stop();
  }

  send(host: PartitionHost, message: ReplicationMessage): void {
    if (this.#stopped) return;
    if (message.kind !== 'position') {
      this.#followers.get(message.to)?.send(host, message);
      return;
    }
    const link = this.#linkTo(message.to);
    const before = this.#following.get(host);
    if (before !== link) before?.release(host);
    this.#following.set(host, link);
    link.position(host, message);
  }

  ack(host: PartitionHost, ack: FollowerAck): void {
    this.#leaders.get(ack.to)?.ack(host, ack);
  }

  startPush(host: PartitionHost, push: StartPush): void {
    this.#followers.get(push.to)?.startPush(host, push);
  }

  stopPush(host: PartitionHost, to: NodeId): void {
    this.#followers.get(to)?.stopPush(host);
  }

  onLoaded(host: PartitionHost): void {
    for (const session of this.#followers.values()) session.onLoaded(host);
  }

  /** This broker has a new epoch: its streams to leaders spoke for the old one. */
  onRegistered(): void {
    for (const link of this.#leaders.values()) link.onRegistered();
  }

  /** The host leads now, or is gone. */
  release(host: PartitionHost): void {
    this.#following.get(host)?.release(host);
    this.#following.delete(host);
  }

  #linkTo(leader: NodeId): LeaderLink {
    const known = this.#leaders.get(leader);
    if (known !== undefined) return known;
    const { feed, liveness, identity, nodeLog, rpc, clock, logger } = this.#options;
    const { windowBytes, heartbeatMs, sessionTimeoutMs } = this.#options;
    const link = new LeaderLink({
      identity,
      nodeLog,
      rpc,
      clock,
      logger,
      windowBytes,
      heartbeatMs,
      sessionTimeoutMs,
      leader,
      address: () => feed.image.node(leader)?.peerAddress,
      openLiveness: () => liveness.open(leader),
    });
    this.#leaders.set(leader, link);
    return link;
  }

  #accept(sender: StreamSender<ReplicateResponse>): StreamReceiver<ReplicateRequest> {
    const { liveness } = this.#options;
    let session: FollowerSession | undefined;
    let stream: HeardStream | undefined;
    return {
      onMessage: (request) => {
        session ??= this.#hello(request, sender);
        stream ??= liveness.open(session.nodeId);
        stream.heard();
        session.onRequest(request);
      },
      onEnd: () => (session === undefined ? sender.end() : session.close()),
      onClose: () => {
        stream?.closed();
        if (session === undefined) return;
        session.close();
        if (this.#followers.get(session.nodeId) === session) this.#followers.delete(session.nodeId);
      },
    };
  }

  #hello(request: ReplicateRequest, sender: StreamSender<ReplicateResponse>): FollowerSession {
    const { identity, clock, logger, findHost, feed } = this.#options;
    const refusal = peerRefusal(identity, request.identity);
    if (refusal !== undefined) throw refusal;
    const peer = request.identity;
    if (peer === null || !isNodeNumber(peer.nodeId)) {
      throw new SluiceError('INVALID_REQUEST', { message: 'A node id is 1 to 2^31 − 1.' });
    }
    const follower = nodeId(peer.nodeId);
    const before = this.#followers.get(follower);
    // A process of an earlier life must not take the stream of the one that lives.
    if (peer.brokerEpoch < Math.max(feed.image.node(follower)?.brokerEpoch ?? 0, before?.brokerEpoch ?? 0)) {
      throw new SluiceError('STALE_BROKER_EPOCH');
    }
    const session = new FollowerSession({
      nodeId: follower,
      brokerEpoch: brokerEpoch(peer.brokerEpoch),
      sender,
      findHost,
      clock,
      logger,
      budget: this.#budget,
      counts: this.#counts,
    });
    this.#followers.set(follower, session);
    before?.close(new SluiceError('CANCELLED', { message: 'A newer stream of this node took over.' }));
    sender.send({ identity: identityMessage(identity) });
    return session;
  }
}
