/**
 * This broker's standing with the controller leader: its registration, its heartbeats, and its calls. Owned by
 * `BrokerNode`; the leader's address comes from the metadata feed.
 *
 * K1. A granted epoch is durable in the directory before a heartbeat speaks with it (P9).
 * K2. One registration or one heartbeat stream at a time; a new leader, a stale epoch or silence starts over.
 * K3. `heardAtMs` moves only on an answer of the leader: an isolated leader sees it age and refuses appends.
 * K4. A heartbeat that is late takes that off the age of the oldest write: the process stood still, and has not been told
 *     yet what the disk did meanwhile. A disk that does hang the next one tells of.
 */
import { brokerEpoch, SluiceError, toSluiceError } from '@sluice/base';
import type { BrokerEpoch, Clock, Halt, Logger, Timer } from '@sluice/base';
import type { ControllerAddress, MetadataFeed } from '@sluice/metadata';
import { decodeError, identityMessage, methods } from '@sluice/wire';
import type {
  HeartbeatRequest,
  HeartbeatResponse,
  Method,
  Partially,
  RegisterRequest,
  RegisterResponse,
  RpcClient,
  StreamSender,
} from '@sluice/wire';
import type { NodeIdentity } from './node-identity.ts';

/** What registration says of this broker besides its identity. */
export type Registration = Omit<RegisterRequest, 'identity' | 'lossy'>;

export interface ControllerLinkOptions {
  readonly identity: NodeIdentity;
  readonly registration: Registration;
  readonly feed: MetadataFeed;
  readonly rpc: RpcClient;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly halt: Halt;
  readonly heartbeatMs: number;
  readonly sessionTimeoutMs: number;
  /** True while the directory is known to have lost records. */
  readonly isLossy: () => boolean;
  readonly oldestUnsyncedMs: () => number;
}

/** Between two attempts to reach a leader. */
const retryMs = 50;

/** A refusal that is definite reaches the caller before its own patience ends, after which it could not tell. */
const answerMs = 250;

/** Longer than any election: who hears nothing for so long is cut off, or a majority of the voters is gone. */
const silenceMs = 10_000;

export class ControllerLink {
  readonly #options: ControllerLinkOptions;
  /** Granted in this incarnation. */
  #epoch: BrokerEpoch | undefined;
  #heardAtMs = Number.NEGATIVE_INFINITY;
  #up = false;
  #clocksAgree = false;
  #draining = false;
  #mayStop: ((applyIndex: number) => void) | undefined;
  #stream: StreamSender<HeartbeatRequest> | undefined;
  #attempt = 0;
  #beat: Timer | undefined;
  #retry: Timer | undefined;
  /** Runs while a silence would be news. */
  #silence: Timer | undefined;
  #stopped = false;
  #unsubscribe: (() => void) | undefined;
  /** Called after each grant of an epoch. */
  onRegistered: () => void = () => undefined;

  constructor(options: ControllerLinkOptions) {
    this.#options = options;
  }

  /** Granted to this incarnation; undefined before. */
  get epoch(): BrokerEpoch | undefined {
    return this.#epoch;
  }

  /** When the controller leader last answered, on the monotonic clock. */
  get heardAtMs(): number {
    return this.#heardAtMs;
  }

  /** True when the leader's last answer said that this broker may serve. */
  get up(): boolean {
    return this.#up;
  }

  /** What the leader says of the wall clocks of all brokers; undefined while it has not answered of late. */
  get clocksAgree(): boolean | undefined {
    const { clock, sessionTimeoutMs } = this.#options;
    return clock.monotonicMs() - this.#heardAtMs <= sessionTimeoutMs ? this.#clocksAgree : undefined;
  }

  start(): void {
    this.#unsubscribe = this.#options.feed.subscribe({
      onApplied: () => undefined,
      onController: () => this.#restart(0),
    });
    this.#restart(0);
    this.#sayWhenSilentSince(this.#options.clock.monotonicMs());
  }

  stop(): void {
    this.#stopped = true;
    this.#silence?.cancel();
    this.#unsubscribe?.();
    this.#dropStream();
    this.#retry?.cancel();
  }

  /**
   * Asks the controller to move leaderships away; resolves when it did, with the metadata index that says so. The caller
   * bounds the wait, and the broker serves what it leads meanwhile.
   */
  drain(): Promise<number> {
    const { promise, resolve } = Promise.withResolvers<number>();
    this.#draining = true;
    this.#mayStop = resolve;
    this.#sendHeartbeat();
    return promise;
  }

  /**
   * Calls the controller leader. While no leader is known, and on `NOT_CONTROLLER` or a refused connection, it goes on
   * trying until `timeoutMs` is over; an indefinite failure is the caller's to judge.
   */
  async call<Req, Res>(method: Method<Req, Res>, request: Partially<Req>, timeoutMs: number): Promise<Res> {
    const { clock, feed, rpc } = this.#options;
    const deadlineMs = clock.monotonicMs() + timeoutMs;
    for (;;) {
      const leftMs = deadlineMs - clock.monotonicMs();
      const leader = feed.controller;
      let failure = new SluiceError('NOT_CONTROLLER', {
        message: 'No controller leader is known; a quorum must be up.',
      });
      if (leader !== undefined && leftMs > 0) {
        try {
          return await rpc.unary(method, leader.address, request, { timeoutMs: leftMs });
        } catch (error) {
          failure = toSluiceError(error);
          if (failure.code !== 'NOT_CONTROLLER' && failure.code !== 'UNREACHABLE') throw failure;
        }
      }
      if (this.#stopped || deadlineMs - clock.monotonicMs() < retryMs + answerMs) throw failure;
      await this.#anotherLeader();
    }
  }

  /** Known now, or a while has passed. */
  async #anotherLeader(): Promise<void> {
    const { clock, feed } = this.#options;
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = clock.setTimer(retryMs, resolve);
    const unsubscribe = feed.subscribe({
      onApplied: () => undefined,
      onController: (controller) => {
        if (controller !== undefined) resolve();
      },
    });
    await promise;
    timer.cancel();
    unsubscribe();
  }

  #restart(afterMs: number): void {
    this.#dropStream();
    this.#retry?.cancel();
    if (this.#stopped) return;
    this.#retry = this.#options.clock.setTimer(afterMs, () => {
      const leader = this.#options.feed.controller;
      // Without a leader the feed tells when there is one.
      if (leader === undefined) return;
      this.#attempt += 1;
      if (this.#epoch === undefined) void this.#register(leader, this.#attempt);
      else this.#openHeartbeat(leader, this.#epoch, this.#attempt);
    });
  }

  async #register(leader: ControllerAddress, attempt: number): Promise<void> {
    const { identity, registration, rpc, logger } = this.#options;
    const current = (): boolean => attempt === this.#attempt && !this.#stopped;
    try {
      const granted = await rpc.unary(
        methods.controller.register,
        leader.address,
        { identity: identityMessage(identity), ...registration, lossy: this.#options.isLossy() },
        { timeoutMs: this.#options.sessionTimeoutMs * 2 },
      );
      if (current()) await this.#registered(leader, granted, current);
    } catch (error) {
      if (!current()) return;
      const failure = toSluiceError(error);
      const phrase = 'broker not registered yet';
      if (failure.retryable) logger.debug(phrase, { err: failure });
      else logger.error(phrase, { err: failure, code: failure.code });
      this.#restart(failure.retryable ? retryMs : this.#options.sessionTimeoutMs);
    }
  }

  async #registered(leader: ControllerAddress, granted: RegisterResponse, current: () => boolean): Promise<void> {
    const { identity, logger, halt } = this.#options;
    const epoch = brokerEpoch(granted.brokerEpoch);
    try {
      if (granted.lossy) {
        logger.error('directory is incomplete: an older copy of itself or another than before', { epoch });
        await identity.onIncomplete();
      }
      await identity.saveBrokerEpoch(epoch);
    } catch (thrown) {
      // What the directory remembers is not known any more (S2).
      halt.halt(toSluiceError(thrown));
      return;
    }
    if (!current()) return;
    this.#epoch = epoch;
    logger.info('broker registered', { epoch, controller: leader.nodeId });
    this.onRegistered();
    this.#openHeartbeat(leader, epoch, this.#attempt);
  }

  #openHeartbeat(leader: ControllerAddress, epoch: BrokerEpoch, attempt: number): void {
    const { rpc, clock, identity, sessionTimeoutMs, heartbeatMs } = this.#options;
    const openedAtMs = clock.monotonicMs();
    const current = (): boolean => attempt === this.#attempt && !this.#stopped;
    const stream = rpc.stream(methods.controller.heartbeat, leader.address, {
      onMessage: (answer) => {
        if (current()) this.#onAnswer(answer);
      },
      onClose: (error) => {
        if (!current()) return;
        this.#options.logger.debug('heartbeat stream closed', { err: error });
        this.#restart(retryMs);
      },
    });
    const beat = (first: boolean, lateMs = 0): void => {
      const silentMs = clock.monotonicMs() - Math.max(this.#heardAtMs, openedAtMs);
      if (silentMs > sessionTimeoutMs) return this.#restart(0);
      stream.send({
        identity: first ? identityMessage(identity) : null,
        brokerEpoch: epoch,
        metadataIndex: this.#options.feed.image.appliedIndex,
        oldestUnsyncedMs: Math.max(0, Math.floor(this.#options.oldestUnsyncedMs() - lateMs)),
        draining: this.#draining,
        wallMs: Math.max(0, Math.floor(clock.wallMs())),
      });
      this.#beat?.cancel();
      const dueMs = clock.monotonicMs() + heartbeatMs;
      this.#beat = clock.setTimer(heartbeatMs, () => beat(false, Math.max(0, clock.monotonicMs() - dueMs)));
    };
    this.#stream = stream;
    this.#sendHeartbeat = () => beat(false);
    beat(true);
  }

  /** Once for each silence: a node that waits for a majority looks like one that has nothing to do. */
  #sayWhenSilentSince(sinceMs: number): void {
    const { clock, feed, logger } = this.#options;
    this.#silence = clock.setTimer(sinceMs + silenceMs - clock.monotonicMs(), () => {
      if (this.#heardAtMs > sinceMs) return this.#sayWhenSilentSince(this.#heardAtMs);
      this.#silence = undefined;
      logger.warn('no controller leader answers', { known: feed.controller?.nodeId ?? null });
    });
  }

  /** Sends one now; replaced while a stream is open. */
  #sendHeartbeat: () => void = () => undefined;

  #onAnswer(answer: HeartbeatResponse): void {
    if (answer.error !== null) {
      const failure = decodeError(answer.error);
      if (failure.code === 'STALE_BROKER_EPOCH') {
        this.#options.logger.warn('broker epoch is stale, registering again', { epoch: this.#epoch });
        this.#epoch = undefined;
        this.#up = false;
      }
      return this.#restart(retryMs);
    }
    this.#heardAtMs = this.#options.clock.monotonicMs();
    if (this.#silence === undefined) this.#sayWhenSilentSince(this.#heardAtMs);
    const wasUp = this.#up;
    this.#up = answer.up;
    this.#clocksAgree = answer.clocksAgree;
    if (answer.up && !wasUp) {
      this.#options.logger.info('broker serves', { epoch: this.#epoch });
    }
    if (answer.mayStop && this.#draining) this.#mayStop?.(answer.applyIndex);
  }

  #dropStream(): void {
    this.#attempt += 1;
    this.#beat?.cancel();
    this.#sendHeartbeat = () => undefined;
    this.#stream?.close(new SluiceError('CANCELLED'));
    this.#stream = undefined;
  }
}
