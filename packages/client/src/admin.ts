/** Administration: creating, deleting and describing topics, and the cluster in figures. Keeps no state. */
import { SluiceError, toSluiceError } from '@sluice/base';
import type { ErrorCode } from '@sluice/base';
import type {
  ControllerMember as WireMember,
  VoterChangeResponse,
  MetadataUpdate,
  NodeStatus,
  PartitionOffsets,
  RpcClient,
  TopicMetadata,
} from '@sluice/wire';
import { decodeError, methods } from '@sluice/wire';
import { Backoff } from './backoff.ts';
import type { SignalOption } from './consumer-options.ts';
import { Deadline } from './deadline.ts';
import type {
  ClusterDescription,
  ControllerMember,
  NewTopic,
  NodeDescription,
  PartitionBounds,
  PartitionDescription,
  TopicDescription,
  TopicListing,
  VoterChange,
} from './descriptions.ts';
import type { Metadata } from './metadata.ts';
import type { CallLimits, NodeCalls } from './node-calls.ts';
import type { ClientPorts } from './ports.ts';
import { electPreferred } from './preferred-election.ts';
import type { PreferredElectionProgress } from './preferred-election.ts';
import { unknownPartition } from './producer-topic.ts';
import { checkTrims, Trimming } from './trimming.ts';
import type { PartitionTrimRequest, TrimOutcome } from './trimming.ts';
import { orAborted, pause } from './waiting.ts';

export interface AdminCallOptions extends SignalOption {
  /** Default: `requestTimeoutMs` of the client. */
  readonly timeoutMs?: number;
}

export interface VoterCallOptions extends AdminCallOptions {
  /** Called with the reason each time it is not possible yet and will be tried again. */
  readonly onWait?: (reason: SluiceError) => void;
}

export interface ListOffsetsOptions extends AdminCallOptions {
  /** Only these; the leaders of the others are not waited for. Default: all. */
  readonly partitions?: readonly number[];
  /** For `sinceOffset`: ms since 1970, by the clocks of producers. */
  readonly sinceMs?: number;
}

export interface AdminContext {
  readonly ports: ClientPorts;
  readonly rpc: RpcClient;
  readonly metadata: Metadata;
  readonly calls: NodeCalls;
  readonly clientId: string;
  readonly requestTimeoutMs: number;
}

/** The answer of one leader for one partition, or why there is none. */
type Bounds = PartitionBounds | SluiceError;

interface BoundsSought {
  readonly partitions?: readonly number[] | undefined;
  readonly sinceMs?: number | undefined;
  readonly wanted?: (bounds: PartitionBounds) => boolean;
}

interface LedPartitions {
  readonly topic: TopicMetadata;
  readonly leader: number;
  readonly partitions: readonly number[];
  readonly sinceMs: number | undefined;
}

export class Admin {
  readonly #context: AdminContext;

  constructor(context: AdminContext) {
    this.#context = context;
  }

  /**
   * Resolves once every leader serves. Rejects with `TOPIC_EXISTS`, `INVALID_TOPIC`, `INVALID_CONFIG`,
   * `NOT_ENOUGH_NODES`; with an indefinite error the topic may exist all the same.
   */
  async createTopic(topic: NewTopic, options: AdminCallOptions = {}): Promise<TopicDescription> {
    const deadline = this.#deadline(options);
    const { name, partitions = 0, replication = 0, config = {} } = topic;
    const request = { name, partitions, replication, config };
    const created = await this.#context.calls.change(methods.admin.createTopic, request, deadline.limits);
    try {
      await this.#known(name, created.topic?.topicId, deadline);
      const bounds = await this.#allBounds(name, deadline, { wanted: (each) => each.writable });
      return describe(await this.#topic(name, deadline), bounds);
    } catch (thrown) {
      const { code, message } = toSluiceError(thrown);
      if (code === 'CANCELLED') throw thrown;
      // Whatever kept it from being served, the creation is committed.
      throw new SluiceError('TIMEOUT', {
        message: `Topic ${name} was created, and is not served yet: ${message}`,
        cause: thrown,
      });
    }
  }

  /** Deletes the topic and its data. Rejects with `UNKNOWN_TOPIC`. */
  async deleteTopic(name: string, options: AdminCallOptions = {}): Promise<void> {
    const { limits } = this.#deadline(options);
    await this.#context.calls.change(methods.admin.deleteTopic, { name }, limits);
  }

  async listTopics(options: AdminCallOptions = {}): Promise<readonly TopicListing[]> {
    const topics = await this.#look({ allTopics: true }, this.#deadline(options));
    return topics
      .map((topic) => ({
        name: topic.name,
        id: topic.topicId,
        partitions: topic.partitions.length,
        replication: topic.partitions[0]?.replicas.length ?? 0,
      }))
      .toSorted((one, other) => (one.name < other.name ? -1 : 1));
  }

  /** With nulls for partitions whose leader does not answer. Rejects with `UNKNOWN_TOPIC`. */
  async describeTopic(name: string, options: AdminCallOptions = {}): Promise<TopicDescription> {
    const deadline = this.#deadline(options);
    await this.#topic(name, deadline);
    // The watch tells of changes a moment later; this asks a node for what it knows now.
    const [fresh] = await this.#look({ topicNames: [name] }, deadline);
    const topic = fresh ?? (await this.#topic(name, deadline));
    return describe(topic, await this.#boundsOf(topic, deadline));
  }

  async describeCluster(options: AdminCallOptions = {}): Promise<ClusterDescription> {
    const { limits } = this.#deadline(options);
    const { nodes, controllerLeader, voters, observers, ...figures } = await this.#context.calls.ask(
      methods.admin.describeCluster,
      {},
      limits,
    );
    return {
      ...figures,
      controllerLeader: controllerLeader || null,
      nodes: nodes.map(describeNode),
      voters: voters.map(describeMember),
      observers: figures.membersCurrent ? observers.map(describeMember) : null,
    };
  }

  /**
   * Makes the present directory of a node a voter of the controller; resolves when that is committed. Waits as long as it
   * may for the node to catch up. Rejects with `UNKNOWN_NODE`, `ALREADY_A_VOTER`, `OTHER_DIRECTORY_VOTES`,
   * `WRONG_ROLE`, `ROLLED_BACK`, `NOT_ENOUGH_VOTERS`, `VOTER_NOT_CAUGHT_UP`, `VOTER_CHANGE_UNDER_WAY`.
   */
  addVoter(node: number, options: VoterCallOptions = {}): Promise<VoterChange> {
    const request = { nodeId: node };
    return this.#changeVoters((limits) => this.#context.calls.change(methods.admin.addVoter, request, limits), options);
  }

  /**
   * Makes a voter of the controller an observer; resolves when that is committed. Of two directories of the node the one
   * that does not answer is meant, unless `directory` names one. Rejects with `NOT_A_VOTER`, `LAST_VOTER`,
   * `NOT_ENOUGH_VOTERS`, `VOTER_CHANGE_UNDER_WAY`, and with `INVALID_REQUEST` when it is not clear which one is meant.
   */
  removeVoter(node: number, options: VoterCallOptions & { readonly directory?: string } = {}): Promise<VoterChange> {
    const request = { nodeId: node, directoryId: options.directory ?? '' };
    const { removeVoter } = methods.admin;
    return this.#changeVoters((limits) => this.#context.calls.change(removeVoter, request, limits), options);
  }

  /** Again while the cluster says that it had no effect and that waiting helps. */
  async #changeVoters(
    attempt: (limits: CallLimits) => Promise<VoterChangeResponse>,
    options: VoterCallOptions,
  ): Promise<VoterChange> {
    const { clock } = this.#context.ports;
    const deadline = this.#deadline(options);
    for (;;) {
      try {
        return voterChange(await attempt(deadline.limits));
      } catch (thrown) {
        const error = toSluiceError(thrown);
        if (!voterWaits.has(error.code) || deadline.leftMs <= voterWaitMs) throw error;
        options.onWait?.(error);
        await pause(clock, voterWaitMs, deadline.signal);
      }
    }
  }

  /**
   * Gives leaderships back to the preferred replicas, those that are in sync; resolves to the number of partitions that
   * moved. It happens by itself every `preferredElectionMs`. Rejects with `TIMEOUT` when not all have moved in time.
   */
  electPreferred(
    options: AdminCallOptions & { readonly onBatch?: (progress: PreferredElectionProgress) => void } = {},
  ): Promise<number> {
    const { onBatch = () => undefined } = options;
    return electPreferred(this.#context.calls, this.#deadline(options), onBatch);
  }

  /**
   * Of every partition, in order, from its leader; waits for leaders as long as it may. Rejects with `UNKNOWN_TOPIC`,
   * `UNKNOWN_PARTITION`.
   */
  async listOffsets(topic: string, options: ListOffsetsOptions = {}): Promise<readonly PartitionBounds[]> {
    return this.#allBounds(topic, this.#deadline(options), options);
  }

  /**
   * Deletes the records before an offset of each partition, for ever; resolves once no failover can bring them back. An
   * offset may be in the middle of a batch; `end` is the committed end as of the call. What is at or below the log start
   * already is done. Tried again until the time is up: an outcome then has the last error, which is indefinite if an
   * attempt may have had an effect. Rejects with `UNKNOWN_TOPIC`, `UNKNOWN_PARTITION`, `INVALID_REQUEST`.
   */
  async trim(
    topic: string,
    trims: readonly PartitionTrimRequest[],
    options: AdminCallOptions = {},
  ): Promise<readonly TrimOutcome[]> {
    checkTrims(trims);
    const deadline = this.#deadline(options);
    const ends = trims.filter(({ before }) => before === 'end').map(({ partition }) => partition);
    const bounds = ends.length === 0 ? [] : await this.#allBounds(topic, deadline, { partitions: ends });
    const offsets = trims.map(({ partition, before }) => {
      const end = bounds.find((each) => each.partition === partition)?.highWatermark ?? 0;
      return { partition, before: before === 'end' ? end : before };
    });
    return new Trimming(this.#context, await this.#topic(topic, deadline), deadline).run(offsets);
  }

  #deadline(options: AdminCallOptions): Deadline {
    const { ports, requestTimeoutMs } = this.#context;
    return new Deadline(ports.clock, options.timeoutMs ?? requestTimeoutMs, options.signal);
  }

  async #topic(name: string, deadline: Deadline): Promise<TopicMetadata> {
    const { metadata, ports } = this.#context;
    const found = orAborted(metadata.topic(name), deadline.signal);
    return new Promise((resolve, reject) => {
      const timer = ports.clock.setTimer(deadline.leftMs, () =>
        reject(
          metadata.contactError ??
            new SluiceError('TIMEOUT', { message: `No node told of topic ${name} in time.`, definite: true }),
        ),
      );
      found.then(resolve, reject).finally(() => timer.cancel());
    });
  }

  /** The watched node may not have heard yet of what another one committed, or still show what had the name before. */
  async #known(name: string, id: string | undefined, deadline: Deadline): Promise<void> {
    const { clock, random } = this.#context.ports;
    const backoff = new Backoff(random, 20, 500);
    for (;;) {
      const topic = await this.#topic(name, deadline).catch((thrown: unknown) => {
        const error = toSluiceError(thrown);
        if (error.code !== 'UNKNOWN_TOPIC') throw error;
      });
      if (topic !== undefined && (id === undefined || topic.topicId === id)) return;
      if (deadline.leftMs <= 0) {
        throw new SluiceError('TIMEOUT', { message: `Topic ${name} is created; no node serves it yet.` });
      }
      await pause(clock, Math.min(backoff.nextMs(), deadline.leftMs), deadline.signal);
    }
  }

  /** Asks again, as leaders change, until all partitions answer as wanted. */
  async #allBounds(
    name: string,
    deadline: Deadline,
    { wanted = () => true, ...sought }: BoundsSought,
  ): Promise<readonly PartitionBounds[]> {
    const { clock, random } = this.#context.ports;
    const backoff = new Backoff(random, 20, 500);
    for (;;) {
      const all = await this.#boundsOf(await this.#topic(name, deadline), deadline, sought);
      const known = all.filter((each): each is PartitionBounds => !(each instanceof SluiceError));
      if (known.length === all.length && known.every(wanted)) return known;
      const last = all.find((each) => each instanceof SluiceError);
      const final = last !== undefined && !last.retryable && last.code !== 'TIMEOUT';
      if (final || deadline.leftMs <= 0) {
        throw last ?? new SluiceError('TIMEOUT', { message: `Not all leaders of ${name} serve yet.` });
      }
      if (last !== undefined) this.#context.metadata.refresh(name);
      await pause(clock, Math.min(backoff.nextMs(), deadline.leftMs), deadline.signal);
    }
  }

  /** One answer for each partition, or each of `only`, by one call to each leader. */
  async #boundsOf(
    topic: TopicMetadata,
    deadline: Deadline,
    { partitions: only, sinceMs }: BoundsSought = {},
  ): Promise<readonly Bounds[]> {
    const missing = only?.find((partition) => topic.partitions[partition] === undefined);
    if (missing !== undefined) throw unknownPartition(topic.name, missing, topic.partitions.length);
    const leaders = new Map<number, number[]>();
    for (const { partition, leader } of topic.partitions) {
      if (only?.includes(partition) === false) continue;
      leaders.set(leader, [...(leaders.get(leader) ?? []), partition]);
    }
    const answers = await Promise.all(
      [...leaders].map(([leader, partitions]) => this.#askLeader({ topic, leader, partitions, sinceMs }, deadline)),
    );
    return answers
      .flat()
      .toSorted((one, other) => one.partition - other.partition)
      .map(({ bounds }) => bounds);
  }

  async #askLeader(
    { topic, leader, partitions, sinceMs = 0 }: LedPartitions,
    deadline: Deadline,
  ): Promise<readonly { readonly partition: number; readonly bounds: Bounds }[]> {
    const { metadata, calls } = this.#context;
    const address = metadata.view.addressOf(leader);
    const all = (error: SluiceError) => partitions.map((partition) => ({ partition, bounds: error }));
    if (address === undefined) return all(new SluiceError('LEADER_NOT_AVAILABLE'));
    const request = { partitions: partitions.map((partition) => ({ topicId: topic.topicId, partition })), sinceMs };
    try {
      const answer = await calls.at(address, methods.broker.listOffsets, request, deadline.limits);
      return partitions.map((partition, at) => ({ partition, bounds: boundsOf(partition, answer.partitions[at]) }));
    } catch (thrown) {
      const error = toSluiceError(thrown);
      if (error.code === 'CANCELLED') throw error;
      return all(error);
    }
  }

  /** The first answer of a metadata watch of its own, from the first node that gives one. */
  async #look(
    request: { readonly allTopics?: boolean; readonly topicNames?: readonly string[] },
    deadline: Deadline,
  ): Promise<readonly TopicMetadata[]> {
    const { ports, metadata } = this.#context;
    const backoff = new Backoff(ports.random, 50, 1_000);
    let last = new SluiceError('TIMEOUT', { definite: true });
    for (;;) {
      for (const address of metadata.addresses()) {
        if (deadline.leftMs <= 0) throw last;
        try {
          const update = await orAborted(this.#firstUpdate(address, request, deadline.leftMs), deadline.signal);
          if (update.clusterId !== '') return update.topics;
          last = new SluiceError('LEADER_NOT_AVAILABLE', { message: 'The cluster is not born yet.' });
        } catch (thrown) {
          last = toSluiceError(thrown);
          if (!last.retryable && last.code !== 'TIMEOUT') throw last;
        }
      }
      if (deadline.leftMs <= 0) throw last;
      await pause(ports.clock, Math.min(backoff.nextMs(), deadline.leftMs), deadline.signal);
    }
  }

  #firstUpdate(
    address: string,
    request: { readonly allTopics?: boolean; readonly topicNames?: readonly string[] },
    leftMs: number,
  ): Promise<MetadataUpdate> {
    const { rpc, clientId } = this.#context;
    return new Promise((resolve, reject) => {
      const receiver = {
        onMessage: (update: MetadataUpdate) => {
          resolve(update);
          sender.close();
        },
        onClose: (error: SluiceError | undefined) => reject(error ?? new SluiceError('CONNECTION_LOST')),
      };
      const options = { timeoutMs: Math.min(leftMs, lookTimeoutMs) };
      const sender = rpc.stream(methods.admin.watchMetadata, address, receiver, options);
      sender.send({ clientId, ...request });
    });
  }
}

const lookTimeoutMs = 5_000;

function boundsOf(partition: number, answer: PartitionOffsets | undefined): Bounds {
  if (answer === undefined) return new SluiceError('INTERNAL');
  if (answer.error !== null) return decodeError(answer.error);
  const { logStart, highWatermark, logEnd, writable, sinceOffset } = answer;
  return { partition, logStart, highWatermark, logEnd, writable, sinceOffset };
}

function describe(topic: TopicMetadata, bounds: readonly Bounds[]): TopicDescription {
  const partitions = topic.partitions.map((metadata, at): PartitionDescription => {
    const { partition, leader, leaderEpoch, replicas, isr, elr } = metadata;
    const found = bounds[at];
    const known = found === undefined || found instanceof SluiceError ? undefined : found;
    return {
      partition,
      leader: leader || null,
      leaderEpoch,
      replicas,
      isr,
      elr,
      logStart: known?.logStart ?? null,
      highWatermark: known?.highWatermark ?? null,
      logEnd: known?.logEnd ?? null,
    };
  });
  return { name: topic.name, id: topic.topicId, config: topic.config, partitions };
}

/** What passes by itself. */
const voterWaits: ReadonlySet<ErrorCode> = new Set(['VOTER_NOT_CAUGHT_UP', 'VOTER_CHANGE_UNDER_WAY']);
const voterWaitMs = 200;

const describeMember = ({ nodeId, directoryId, address, state, lag, mayVote }: WireMember): ControllerMember => ({
  id: nodeId,
  directory: directoryId,
  address,
  state,
  lag: state === 'unknown' ? null : lag,
  mayVote: state === 'unknown' ? null : mayVote,
});

function voterChange({ changed, voters, metadataOffset }: VoterChangeResponse): VoterChange {
  if (changed === null) throw new SluiceError('INTERNAL', { message: 'The controller did not say what it changed.' });
  return { changed: describeMember(changed), voters: voters.map(describeMember), metadataOffset };
}

const describeNode = (node: NodeStatus): NodeDescription => ({
  id: node.nodeId,
  state: node.state,
  version: node.version,
  rack: node.rack,
  client: node.clientAddress,
  peer: node.peerAddress,
  admin: node.adminAddress,
  leaders: node.leaders,
  replicas: node.replicas,
  diskBytes: node.diskBytes,
});
