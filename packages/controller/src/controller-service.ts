/**
 * What brokers ask of the controller: the calls of `sluice.peer.v1.Controller`, served by every node, answered by the
 * leader. Each checks its caller, makes a request of `metadata` of it, and sends the committed answer.
 */
import {
  brokerEpoch,
  directoryId,
  isIdentity,
  isNodeNumber,
  isSluiceError,
  isSmallPosition,
  leaderEpoch,
  nodeId,
  partitionEpoch,
  partitionIndex,
  SluiceError,
  topicId,
} from '@sluice/base';
import type { Logger, NodeId, Random } from '@sluice/base';
import { defaultNamespace, lastInSyncCount } from '@sluice/metadata';
import type { AlterPartitionResult, MetadataImage, PartitionAlteration as Alteration } from '@sluice/metadata';
import { encodeError, methods, peerRefusal } from '@sluice/wire';
import type {
  AlterPartitionsRequest,
  Dispatcher,
  HeartbeatRequest,
  Identity,
  Partially,
  PartitionAlteration,
  PartitionAlterationResult,
  PeerSelf,
  RegisterRequest,
  RegisterResponse,
  ReportDamageRequest,
  ReportDamageResponse,
  StreamReceiver,
} from '@sluice/wire';
import { heartbeatNode } from './broker-sessions.ts';
import type { BrokerSessions } from './broker-sessions.ts';
import type { Decisions } from './decisions.ts';
import type { VoterChanges } from './voter-changes.ts';

export interface ControllerServiceOptions {
  readonly self: PeerSelf;
  readonly image: MetadataImage;
  readonly decisions: Decisions;
  readonly random: Random;
  readonly logger: Logger;
  /** Undefined unless this node leads. */
  readonly sessions: () => BrokerSessions | undefined;
  readonly voterChanges: VoterChanges;
}

interface Forwarded<Request> {
  readonly identity: Identity | null;
  readonly request: Request | null;
}

export class ControllerService {
  readonly #options: ControllerServiceOptions;

  constructor(options: ControllerServiceOptions) {
    this.#options = options;
  }

  serve(peers: Dispatcher): void {
    const { decisions, voterChanges } = this.#options;
    peers.unary(methods.controller.register, (request) => this.#register(request));
    peers.stream(methods.controller.heartbeat, (_call, sender) => {
      let receiver: StreamReceiver<HeartbeatRequest> | undefined;
      return {
        onMessage: (request) => {
          if (receiver === undefined) {
            this.#check(request.identity);
            receiver = this.#leading().accept(heartbeatNode(request), sender, request);
          } else {
            receiver.onMessage(request);
          }
        },
        onEnd: () => receiver?.onEnd?.() ?? sender.end(),
        onClose: (error) => receiver?.onClose(error),
      };
    });
    peers.unary(methods.controller.alterPartitions, (request) => this.#alterPartitions(request));
    peers.unary(methods.controller.reportDamage, (request) => this.#reportDamage(request));
    peers.unary(methods.controller.allocateProducerIds, async (request) => {
      const identity = this.#check(request.identity);
      const block = await decisions.ask({
        type: 'allocateProducerIds',
        nodeId: nodeId(identity.nodeId),
        brokerEpoch: brokerEpoch(request.brokerEpoch),
      });
      return { firstProducerId: block.first, count: block.count };
    });
    this.#serveForwarded(peers);
    peers.unary(methods.controller.describeQuorum, async (request) => {
      this.#check(request.identity);
      return voterChanges.describe();
    });
  }

  /** What clients asked other nodes for. A node that forwards it to the address of a leader of old may find another cluster. */
  #serveForwarded(peers: Dispatcher): void {
    const { decisions, random, voterChanges } = this.#options;
    peers.unary(methods.controller.createTopic, async (forwarded) => {
      const { name, partitions, replication, config } = this.#forwarded(forwarded);
      const created = await decisions.ask({
        type: 'createTopic',
        topicId: topicId(random.identity()),
        namespace: defaultNamespace,
        name,
        partitions: partitions === 0 ? 1 : partitions,
        replication: replication === 0 ? null : replication,
        config,
      });
      return { topic: { topicId: created.topicId, name } };
    });
    peers.unary(methods.controller.deleteTopic, async (forwarded) => {
      const { name } = this.#forwarded(forwarded);
      return decisions.ask({ type: 'deleteTopic', namespace: defaultNamespace, name });
    });
    peers.unary(methods.controller.electPreferred, async (forwarded) => {
      const { partitionsMax } = this.#forwarded(forwarded);
      return decisions.ask({ type: 'electPreferred', partitionsMax });
    });
    peers.unary(methods.controller.addVoter, async (forwarded) => {
      const node = nodeOf(this.#forwarded(forwarded).nodeId);
      return this.#confirmed(voterChanges.add(node));
    });
    peers.unary(methods.controller.removeVoter, async (forwarded) => {
      const { nodeId: node, directoryId: directory } = this.#forwarded(forwarded);
      if (directory !== '' && !isIdentity(directory)) {
        throw new SluiceError('INVALID_REQUEST', { message: 'A directory id is 32 hex digits.' });
      }
      return this.#confirmed(voterChanges.remove(nodeOf(node), directory));
    });
  }

  async #register(request: RegisterRequest): Promise<Partially<RegisterResponse>> {
    const identity = this.#check(request.identity);
    const sessions = this.#leading();
    const node = nodeId(identity.nodeId);
    await sessions.fenceEarlierLife(node, identity.directoryId, identity.incarnation);
    const known = this.#options.image.node(node);
    const registered = await this.#options.decisions.ask({
      type: 'registerNode',
      nodeId: node,
      directoryId: directoryId(identity.directoryId),
      incarnation: identity.incarnation,
      softwareVersion: request.version,
      rack: request.rack === '' ? null : request.rack,
      clientListeners: request.listeners,
      peerAddress: request.peerAddress,
      adminAddress: request.adminAddress,
      lastBrokerEpoch: identity.brokerEpoch === 0 ? null : brokerEpoch(identity.brokerEpoch),
      lossy: request.lossy,
      unclean: request.unclean,
      sessionLive: known !== undefined && sessions.isLive({ nodeId: node, brokerEpoch: known.brokerEpoch }),
    });
    if (registered.brokerEpoch === null) throw new SluiceError('INTERNAL');
    if (request.unclean) this.#sayWhatMayBeLost(node);
    return { brokerEpoch: registered.brokerEpoch, lossy: registered.lossy };
  }

  #sayWhatMayBeLost(node: NodeId): void {
    const partitions = lastInSyncCount(this.#options.image, node);
    if (partitions === 0) return;
    this.#options.logger.error('acked records may be lost: the last in-sync replica crashed', { id: node, partitions });
  }

  async #reportDamage(request: ReportDamageRequest): Promise<Partial<ReportDamageResponse>> {
    const identity = this.#check(request.identity);
    if (!isIdentity(request.topicId) || !isSmallPosition(request.partition)) {
      throw new SluiceError('INVALID_REQUEST', { message: 'A report of damage names a partition.' });
    }
    const { since } = await this.#options.decisions.ask({
      type: 'reportDamage',
      nodeId: nodeId(identity.nodeId),
      brokerEpoch: brokerEpoch(request.brokerEpoch),
      topicId: topicId(request.topicId),
      partition: partitionIndex(request.partition),
      serves: request.serves,
    });
    if (since === null) return { stays: true };
    this.#options.sessions()?.lookForLeaderless();
    return { since };
  }

  async #alterPartitions(
    request: AlterPartitionsRequest,
  ): Promise<{ partitions: readonly Partially<PartitionAlterationResult>[] }> {
    const identity = this.#check(request.identity);
    const { results } = await this.#options.decisions.ask({
      type: 'alterPartitions',
      nodeId: nodeId(identity.nodeId),
      brokerEpoch: brokerEpoch(request.brokerEpoch),
      partitions: request.partitions.map(alterationOf),
    });
    return { partitions: results.map(resultMessage) };
  }

  /** A refusal may come from a leader that was replaced; what is indefinite it knows to be over itself. */
  async #confirmed<Answer>(asked: Promise<Answer>): Promise<Answer> {
    try {
      return await asked;
    } catch (error) {
      if (isSluiceError(error) && error.definite) await this.#options.decisions.confirm();
      throw error;
    }
  }

  #leading(): BrokerSessions {
    const sessions = this.#options.sessions();
    if (sessions === undefined) throw new SluiceError('NOT_CONTROLLER');
    return sessions;
  }

  #forwarded<Request>({ identity, request }: Forwarded<Request>): Request {
    this.#check(identity);
    if (request === null) throw new SluiceError('INVALID_REQUEST', { message: 'A forwarded request is not there.' });
    return request;
  }

  #check(identity: Identity | null): Identity {
    const refusal = peerRefusal(this.#options.self, identity);
    if (refusal !== undefined) throw refusal;
    if (identity === null) throw new SluiceError('INVALID_REQUEST');
    nodeOf(identity.nodeId);
    return identity;
  }
}

function nodeOf(value: number): NodeId {
  if (!isNodeNumber(value)) throw new SluiceError('INVALID_REQUEST', { message: 'A node id is 1 to 2^31 − 1.' });
  return nodeId(value);
}

function alterationOf(message: PartitionAlteration): Alteration {
  const { partition, leaderEpoch: leader, partitionEpoch: basedOn } = message;
  const whole =
    isIdentity(message.topicId) &&
    [partition, leader, basedOn].every(isSmallPosition) &&
    message.isr.every((member) => isNodeNumber(member.nodeId) && isSmallPosition(member.statedEpoch));
  if (!whole) {
    throw new SluiceError('INVALID_REQUEST', {
      message: 'A partition change names a partition, its epochs and its members.',
    });
  }
  return {
    topicId: topicId(message.topicId),
    partition: partitionIndex(message.partition),
    leaderEpoch: leaderEpoch(message.leaderEpoch),
    partitionEpoch: partitionEpoch(message.partitionEpoch),
    isr: message.isr.map((member) => ({
      nodeId: nodeId(member.nodeId),
      brokerEpoch: brokerEpoch(member.brokerEpoch),
      statedEpoch: partitionEpoch(member.statedEpoch),
    })),
  };
}

function resultMessage({ result }: AlterPartitionResult): Partially<PartitionAlterationResult> {
  if (result.ok) {
    const { leaderEpoch: leader, partitionEpoch: partition, isr } = result.value;
    return { leaderEpoch: leader, partitionEpoch: partition, isr };
  }
  const { code, message, details } = result.error;
  return { error: encodeError(new SluiceError(code, { message, details })) };
}
