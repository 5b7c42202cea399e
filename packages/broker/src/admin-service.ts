/**
 * Metadata and administration for clients: watches, the state of the cluster, and changes, which go to the controller
 * leader. Also answers other nodes about this one.
 */
import { isIdentity, SluiceError, topicId } from '@sluice/base';
import type { Clock } from '@sluice/base';
import { describeCluster } from '@sluice/metadata';
import type { MetadataFeed, NodeRow } from '@sluice/metadata';
import { identityMessage, methods, peerRefusal } from '@sluice/wire';
import type {
  CallContext,
  CreateTopicRequest,
  CreateTopicResponse,
  DescribeClusterResponse,
  Dispatcher,
  Identity,
  NodeStatus,
  Partially,
  RpcClient,
} from '@sluice/wire';
import type { ControllerLink } from './controller-link.ts';
import { MetadataWatch } from './metadata-watch.ts';
import { SharedUpdates } from './shared-updates.ts';
import type { NodeIdentity } from './node-identity.ts';
import { topicMessage } from './topic-message.ts';

export interface AdminServiceOptions {
  readonly identity: NodeIdentity;
  readonly feed: MetadataFeed;
  readonly rpc: RpcClient;
  readonly clock: Clock;
  readonly link: ControllerLink;
  readonly diskBytes: () => Promise<number>;
  /** The disk of this node hangs. */
  readonly isStalled: () => boolean;
}

type Members = Pick<DescribeClusterResponse, 'voters' | 'observers' | 'membersCurrent'>;

/** Of how they are, and of who observes, only a leader knows. */
const lastKnown = ({ voters }: MetadataFeed): Members => ({
  voters: voters.map((voter) => ({ ...voter, state: 'unknown', lag: 0, mayVote: false })),
  observers: [],
  membersCurrent: false,
});

/** How long another node is waited for in `DescribeCluster`. */
const peerTimeoutMs = 1000;
const changeTimeoutMs = 15_000;

export class AdminService {
  readonly #options: AdminServiceOptions;
  readonly #watches = new Set<MetadataWatch>();
  readonly #updates: SharedUpdates;
  readonly #unsubscribe: () => void;

  constructor(options: AdminServiceOptions) {
    this.#options = options;
    this.#updates = new SharedUpdates(options);
    this.#unsubscribe = options.feed.subscribe({
      onApplied: (_index, change) => {
        for (const watch of this.#watches) watch.onApplied(change);
      },
      onController: () => this.onStanding(),
    });
  }

  /** What this node's word is worth has changed. */
  onStanding(): void {
    for (const watch of this.#watches) watch.onStanding();
  }

  /** The node stops: whoever watches asks another one. */
  stop(): void {
    this.#unsubscribe();
    for (const watch of this.#watches) watch.close(new SluiceError('SHUTTING_DOWN'));
    this.#updates.stop();
  }

  serve(clients: Dispatcher): void {
    const { feed, link, clock } = this.#options;
    clients.stream(methods.admin.watchMetadata, (call, sender) => {
      const onEnd = (ended: MetadataWatch): void => void this.#watches.delete(ended);
      const watch = new MetadataWatch({ feed, clock, listener: call.listener, sender, updates: this.#updates, onEnd });
      this.#watches.add(watch);
      return watch;
    });
    clients.unary(methods.admin.createTopic, (request, call) => this.#createTopic(request, call));
    clients.unary(methods.admin.deleteTopic, (request, call) =>
      link.call(methods.controller.deleteTopic, this.#forwarded(request), this.#leftMs(call)),
    );
    clients.unary(methods.admin.addVoter, (request, call) =>
      link.call(methods.controller.addVoter, this.#forwarded(request), this.#leftMs(call)),
    );
    clients.unary(methods.admin.removeVoter, (request, call) =>
      link.call(methods.controller.removeVoter, this.#forwarded(request), this.#leftMs(call)),
    );
    clients.unary(methods.admin.electPreferred, (request, call) =>
      link.call(methods.controller.electPreferred, this.#forwarded(request), this.#leftMs(call)),
    );
    clients.unary(methods.admin.describeCluster, (_request, call) => this.#describeCluster(call));
  }

  servePeers(peers: Dispatcher): void {
    const { identity, diskBytes } = this.#options;
    peers.unary(methods.node.status, async (request) => {
      const refusal =
        request.identity?.nodeId === identity.nodeId ? undefined : peerRefusal(identity, request.identity);
      if (refusal !== undefined) throw refusal;
      return { identity: identityMessage(identity), diskBytes: await diskBytes() };
    });
  }

  /** Answered when this node knows the topic too: whoever asks it next finds what was created. */
  async #createTopic(request: CreateTopicRequest, call: CallContext): Promise<Partially<CreateTopicResponse>> {
    const { link, feed, clock } = this.#options;
    const leftMs = this.#leftMs(call);
    const created = await link.call(methods.controller.createTopic, this.#forwarded(request), leftMs);
    const named = created.topic?.topicId;
    if (!isIdentity(named))
      throw new SluiceError('INTERNAL', { message: 'The controller did not name what it created.' });
    const id = topicId(named);
    const known = feed.image.topic(id);
    if (known !== undefined) return { topic: topicMessage(known) };
    const { promise, resolve, reject } = Promise.withResolvers<Partially<CreateTopicResponse>>();
    const timer = clock.setTimer(leftMs, () => reject(new SluiceError('TIMEOUT')));
    const unsubscribe = feed.subscribe({
      onApplied: () => {
        const topic = feed.image.topic(id);
        if (topic !== undefined) resolve({ topic: topicMessage(topic) });
      },
      onController: () => undefined,
    });
    return promise.finally(() => {
      timer.cancel();
      unsubscribe();
    });
  }

  /** The address of the leader may be another cluster's by now: it is told whom this is from. */
  #forwarded<Request>(request: Request): { readonly identity: Identity; readonly request: Request } {
    return { identity: identityMessage(this.#options.identity), request };
  }

  #leftMs(call: CallContext): number {
    if (call.deadlineMs === undefined) return changeTimeoutMs;
    return Math.max(0, call.deadlineMs - this.#options.clock.monotonicMs());
  }

  async #describeCluster(call: CallContext): Promise<Partially<DescribeClusterResponse>> {
    const { feed } = this.#options;
    const view = describeCluster(feed.image, call.listener);
    if (view.clusterId === null) {
      throw new SluiceError('LEADER_NOT_AVAILABLE', {
        message: 'The cluster is not born yet: not all voters have met.',
      });
    }
    const [members, ...nodes] = await Promise.all([
      this.#members(),
      ...view.nodes.map((node) => this.#nodeStatus(node)),
    ]);
    return {
      clusterId: view.clusterId,
      controllerLeader: feed.controller?.nodeId ?? 0,
      metadataOffset: view.metadataOffset,
      nodes,
      ...members,
      topics: view.topics,
      partitions: view.partitions,
      underReplicated: view.underReplicated,
      underMinIsr: view.underMinIsr,
      leaderless: view.leaderless,
    };
  }

  async #members(): Promise<Members> {
    const { identity, rpc, feed } = this.#options;
    const address = feed.controller?.address;
    if (address === undefined) return lastKnown(feed);
    try {
      const request = { identity: identityMessage(identity) };
      const members = await rpc.unary(methods.controller.describeQuorum, address, request, {
        timeoutMs: peerTimeoutMs,
      });
      return { ...members, membersCurrent: true };
    } catch {
      // Not answering is the answer: nobody leads.
      return lastKnown(feed);
    }
  }

  async #nodeStatus(node: NodeRow): Promise<Partially<NodeStatus>> {
    const diskBytes = await this.#diskBytesOf(node);
    return {
      nodeId: node.id,
      // Metadata may not have noticed yet, or may not be able to: no quorum fences nobody.
      state: diskBytes === undefined ? 'down' : node.state,
      version: node.version,
      rack: node.rack ?? '',
      clientAddress: node.client ?? '',
      peerAddress: node.peer,
      adminAddress: node.admin,
      leaders: node.leaders,
      replicas: node.replicas,
      diskBytes: diskBytes ?? 0,
    };
  }

  async #diskBytesOf(node: NodeRow): Promise<number | undefined> {
    const { identity, rpc, diskBytes } = this.#options;
    if (node.id === identity.nodeId) return diskBytes();
    try {
      const request = { identity: identityMessage(identity) };
      const status = await rpc.unary(methods.node.status, node.peer, request, { timeoutMs: peerTimeoutMs });
      return status.diskBytes;
    } catch {
      // Not answering is the answer.
      return undefined;
    }
  }
}
