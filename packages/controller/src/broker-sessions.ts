/**
 * Brokers as the controller leader sees them: their heartbeat streams, who is let in, who is fenced. The book of
 * sessions is `SessionBook`; here are its timers, streams and probes. Lives for one leadership, owned by
 * `ControllerNode`.
 *
 * G1. Fencing is a decision: it takes effect when it is committed, so a leader that lost its quorum fences nobody.
 *     It asks its quorum before it proposes: what it proposes while it is cut off would be committed when the cut ends,
 *     and fence nodes that were never away.
 *     Time in which no quorum was heard is forgiven, as that of the judge's own delays: brokers were not heard either.
 *     A confirmation that is only slow forgives nobody a silence that was over the limit before it was asked for.
 * G2. Nodes that are lost together are fenced in one request (rule E2 of `metadata`).
 * G3. A node whose disk hangs (B6 of `SessionBook`) hands over, and again while it leads on what another could lead. What
 *     it said in a hang of this process may lie unread, with what it said since: it is judged when a quorum has answered.
 */
import { brokerEpoch, logIndex, nodeId, SluiceError, toSluiceError } from '@sluice/base';
import type { Clock, Logger, NodeId, ProbeResult, Timer, Transport } from '@sluice/base';
import { SessionBook } from '@sluice/metadata';
import type { HeardNode, MetadataImage, NodeIdentity } from '@sluice/metadata';
import { encodeError } from '@sluice/wire';
import type { HeartbeatRequest, HeartbeatResponse, Partially, StreamReceiver, StreamSender } from '@sluice/wire';
import type { Decisions } from './decisions.ts';
import { Drains } from './drains.ts';
import type { FenceCounts } from './fence-counts.ts';
import { Recoveries } from './recoveries.ts';
import type { DescribeLogs } from './recoveries.ts';

export interface BrokerSessionsOptions {
  readonly image: MetadataImage;
  readonly decisions: Decisions;
  readonly transport: Transport;
  readonly clock: Clock;
  readonly logger: Logger;
  /** The node closed its Raft stream to this one and does not answer. */
  readonly isGone: (node: NodeId) => boolean;
  readonly describeLogs: DescribeLogs;
  readonly fenceCounts: FenceCounts;
  /** When the leader before was heard last, as by `SessionBook`, B5. */
  readonly heard: HeardNode | undefined;
  /** When a quorum was in contact last; undefined when this node does not lead any more. */
  readonly quorumContactMs: () => number | undefined;
  readonly sessionTimeoutMs: number;
  readonly preferredElectionMs: number;
  readonly diskStallMs: number;
}

/** A machine that does not answer a connection for this long, after it closed its stream, is gone (design §4). */
const unansweredMs = 250;
/** A partition pauses while it moves: so many at once, and the next ones when these are served again (D19). */
const preferredElectionMax = 100;
const preferredBatchMs = 1_000;

export class BrokerSessions {
  readonly #options: BrokerSessionsOptions;
  readonly #book: SessionBook;
  readonly #drains: Drains;
  readonly #recoveries: Recoveries;
  readonly #judgeIntervalMs: number;
  readonly #streams = new Map<NodeId, StreamSender<HeartbeatResponse>>();
  /** Requests under way for a node, so that each heartbeat does not ask again. */
  readonly #asking = new Set<string>();
  /** Their disks hang, and nobody could take over all that they lead. */
  readonly #stuck = new Set<NodeId>();
  #judgeTimer: Timer | undefined;
  #electionTimer: Timer | undefined;
  #fencing = false;
  #ended = false;

  constructor(options: BrokerSessionsOptions) {
    this.#options = options;
    const { image, clock, sessionTimeoutMs, diskStallMs, heard } = options;
    this.#judgeIntervalMs = Math.max(1, Math.floor(sessionTimeoutMs / 10));
    const times = { sessionTimeoutMs, judgeIntervalMs: this.#judgeIntervalMs, diskStallMs };
    this.#book = new SessionBook(image, clock.monotonicMs(), times, heard);
    this.#drains = new Drains({ image, decisions: options.decisions, book: this.#book, clock });
    this.#recoveries = new Recoveries(options);
    this.#judgeLater();
    this.#electLater();
    this.#lookForTheDead();
    this.#recoveries.look();
  }

  /** The leadership is over. */
  end(): void {
    this.#ended = true;
    this.#judgeTimer?.cancel();
    this.#electionTimer?.cancel();
    this.#recoveries.end();
    for (const stream of this.#streams.values()) stream.close(new SluiceError('NOT_CONTROLLER'));
    this.#streams.clear();
  }

  /** The last one that was complete may have left (E6). */
  lookForLeaderless(): void {
    this.#recoveries.look();
  }

  /** Whether the incarnation that is registered now still lives (D18). */
  isLive(node: NodeIdentity): boolean {
    return this.#book.isLive(node, this.#options.clock.monotonicMs());
  }

  /**
   * Another incarnation asks to register under a directory whose stream is closed. The directory is locked by one
   * process at a time, so the one that is registered is gone: no need to wait for its session to end.
   */
  async fenceEarlierLife(node: NodeId, directory: string, incarnation: string): Promise<void> {
    const known = this.#options.image.node(node);
    if (known === undefined || known.directoryId !== directory || known.incarnation === incarnation) return;
    if (this.#streams.has(node)) return;
    const identity = { nodeId: node, brokerEpoch: known.brokerEpoch };
    this.#book.streamClosed(identity, 'refused');
    if (known.state !== 'fenced') {
      const { fenced } = await this.#options.decisions.ask({ type: 'fenceEarlierLife', node: identity });
      for (const _ of fenced) this.#options.fenceCounts.add('earlier_life');
    }
    this.#book.forget(identity);
  }

  /** `first` was checked: it names its speaker. */
  accept(
    node: NodeId,
    sender: StreamSender<HeartbeatResponse>,
    first: HeartbeatRequest,
  ): StreamReceiver<HeartbeatRequest> {
    const before = this.#streams.get(node);
    // A process of an earlier life must not take the stream of the one that lives.
    if (this.#isStale(node, first)) return this.#refuse(sender);
    this.#streams.set(node, sender);
    before?.close(new SluiceError('CANCELLED', { message: 'A newer heartbeat stream of this node took over.' }));
    this.#onHeartbeat(node, sender, first);
    return {
      onMessage: (request) => this.#onHeartbeat(node, sender, request),
      onEnd: () => sender.end(),
      onClose: () => {
        if (this.#ended || this.#streams.get(node) !== sender) return;
        this.#streams.delete(node);
        this.#onStreamLost(node);
      },
    };
  }

  #onHeartbeat(node: NodeId, sender: StreamSender<HeartbeatResponse>, request: HeartbeatRequest): void {
    if (this.#ended) return;
    const known = this.#options.image.node(node);
    if (known === undefined || this.#isStale(node, request)) {
      sender.send(staleAnswer());
      return;
    }
    const identity = { nodeId: node, brokerEpoch: brokerEpoch(request.brokerEpoch) };
    const metadataIndex = logIndex(request.metadataIndex);
    this.#book.touch(identity, this.#options.clock.monotonicMs(), {
      oldestUnsyncedMs: request.oldestUnsyncedMs,
      metadataIndex,
      wallMs: request.wallMs,
    });
    this.#judgeDisk(identity);
    this.#drains.look();
    const answer = (response: Partially<HeartbeatResponse>): void => {
      sender.send({ ...response, clocksAgree: this.#book.clocksAgree });
    };
    if (request.draining) {
      this.#askOnce(`drain ${node}`, () => this.#drains.onHeartbeat(identity, answer));
      return;
    }
    answer({ up: known.state !== 'fenced' });
    if (known.state !== 'fenced' || metadataIndex < known.stateIndex) return;
    this.#askOnce(`unfence ${node}`, async () => {
      const { unfenced } = await this.#options.decisions.ask({ type: 'unfenceNode', ...identity, metadataIndex });
      if (unfenced) this.#options.logger.info('node let in', { nodeId: node, brokerEpoch: identity.brokerEpoch });
      answer({ up: unfenced });
      if (unfenced) this.#recoveries.look();
    });
  }

  /** G3 */
  #judgeDisk(identity: NodeIdentity): void {
    const { image, decisions, logger } = this.#options;
    const node = identity.nodeId;
    const stalled = this.#book.session(node)?.stalled === true;
    const isKnown = image.node(node)?.stalled === stalled;
    if (isKnown && !this.#stuck.has(node)) return;
    this.#askOnce(`stall ${node}`, async () => {
      await decisions.confirm();
      if (this.#book.session(node)?.stalled !== stalled) return;
      const { leading } = await decisions.ask({ type: 'stallNode', ...identity, stalled });
      if (stalled && leading > 0) this.#stuck.add(node);
      else this.#stuck.delete(node);
      if (isKnown) return;
      if (stalled) logger.error('disk of a node hangs', { nodeId: node, leading });
      else logger.warn('disk of a node answers again', { nodeId: node });
      this.#recoveries.look();
    });
  }

  #isStale(node: NodeId, request: HeartbeatRequest): boolean {
    return this.#options.image.node(node)?.brokerEpoch !== request.brokerEpoch;
  }

  #refuse(sender: StreamSender<HeartbeatResponse>): StreamReceiver<HeartbeatRequest> {
    sender.send(staleAnswer());
    return {
      onMessage: () => sender.send(staleAnswer()),
      onEnd: () => sender.end(),
      onClose: () => undefined,
    };
  }

  /**
   * A new leader has no heartbeat streams yet that could close. What the last one led may have died with it: a machine
   * that refuses a connection says so at once, and so does the Raft stream of one that is gone; any other that is silent
   * gets its whole session, or what is left of it (B5 of `SessionBook`).
   */
  #lookForTheDead(): void {
    const { image, isGone } = this.#options;
    for (const { nodeId: node, state } of image.nodes.values()) {
      if (state === 'fenced') continue;
      this.#probe(node, (result) => result === 'refused' || (result === 'unanswered' && isGone(node)));
    }
  }

  /** The other kernel closed the stream: asks it whether anybody is still there (design §4, Failure detection). */
  #onStreamLost(node: NodeId): void {
    this.#probe(node, (result) => result !== 'open');
  }

  #probe(node: NodeId, isCrash: (result: ProbeResult) => boolean): void {
    const { image, transport, logger } = this.#options;
    const known = image.node(node);
    if (known === undefined) return;
    const identity = { nodeId: node, brokerEpoch: known.brokerEpoch };
    transport.probe(known.peerAddress, unansweredMs).then(
      (result) => {
        if (this.#ended || this.#streams.has(node) || !isCrash(result)) return;
        logger.debug('node is gone', { nodeId: node, probe: result });
        this.#book.streamClosed(identity, result);
        this.#judge();
      },
      (error: unknown) => logger.warn('probe failed', { nodeId: node, err: toSluiceError(error) }),
    );
  }

  #judgeLater(): void {
    // What the last judgement led to may have ended the leadership.
    if (this.#ended) return;
    this.#judgeTimer = this.#options.clock.setTimer(this.#judgeIntervalMs, () => {
      this.#judge();
      this.#judgeLater();
    });
  }

  #judge(): void {
    const over = this.#book.judge(this.#options.clock.monotonicMs());
    this.#drains.look();
    if (over.length > 0 && !this.#fencing && !this.#ended) void this.#fence();
  }

  async #fence(): Promise<void> {
    this.#fencing = true;
    try {
      await this.#confirmLeadership();
      const nodes = this.#book.over(this.#options.clock.monotonicMs());
      if (nodes.length === 0) return;
      const causes = new Map(nodes.map((node) => [node.nodeId, this.#book.lossOf(node)]));
      const { fenced } = await this.#options.decisions.ask({ type: 'fenceNodes', nodes });
      for (const id of fenced) this.#options.fenceCounts.add(causes.get(id) ?? 'silence');
      for (const node of nodes) this.#book.forget(node);
      if (fenced.length > 0) this.#options.logger.warn('nodes fenced', { nodes: fenced });
      this.#recoveries.look();
    } catch (error) {
      // Leadership ended, or the quorum is slow: whoever leads next judges anew.
      this.#options.logger.debug('nodes not fenced', { err: toSluiceError(error) });
    } finally {
      this.#fencing = false;
    }
  }

  /** G1: of the time without a quorum an interval of the judge is nothing unusual. */
  async #confirmLeadership(): Promise<void> {
    const { clock, decisions, quorumContactMs } = this.#options;
    const contactMs = quorumContactMs() ?? clock.monotonicMs();
    await decisions.confirm();
    const nowMs = clock.monotonicMs();
    const cutMs = nowMs - contactMs - this.#judgeIntervalMs;
    if (cutMs > 0) this.#book.forgive(cutMs, nowMs);
  }

  /** Leaderships go back to the preferred replicas, a few at a time (D19). */
  #electLater(afterMs = this.#options.preferredElectionMs): void {
    if (this.#ended) return;
    this.#electionTimer = this.#options.clock.setTimer(afterMs, () => void this.#elect());
  }

  async #elect(): Promise<void> {
    const { decisions, preferredElectionMs, logger } = this.#options;
    let left = 0;
    try {
      const { remaining } = await decisions.ask({ type: 'electPreferred', partitionsMax: preferredElectionMax });
      left = remaining;
    } catch (error) {
      logger.debug('preferred leaders not elected', { err: toSluiceError(error) });
    }
    this.#electLater(left > 0 ? Math.min(preferredBatchMs, preferredElectionMs) : preferredElectionMs);
  }

  #askOnce(what: string, ask: () => Promise<void>): void {
    if (this.#asking.has(what)) return;
    this.#asking.add(what);
    ask()
      .catch((error: unknown) => {
        // The next heartbeat or timer asks again.
        this.#options.logger.debug('controller request failed', { what, err: toSluiceError(error) });
      })
      .finally(() => this.#asking.delete(what));
  }
}

const staleAnswer = (): Partially<HeartbeatResponse> => ({
  up: false,
  error: encodeError(new SluiceError('STALE_BROKER_EPOCH')),
});

/** The speaker of a heartbeat stream. */
export const heartbeatNode = (request: HeartbeatRequest): NodeId => nodeId(request.identity?.nodeId ?? 0);
