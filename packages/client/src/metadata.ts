/**
 * Follows the cluster over one metadata watch: at some node, and at another when that one is lost. Owns the view and the
 * watch; the producers, consumers and administration of one client share it.
 *
 * W1 While the client is used a watch is open or being opened; a node that says nothing is given up, because a
 *    connection that was cut without a word looks like a cluster in which nothing happens. Before that another node is
 *    asked beside it, one at a time, and whoever speaks first is watched: leaders of a node that hangs move when the
 *    controller misses it, and the client must be listening elsewhere by then.
 * W2 A name is unknown when a node says so and nobody contradicts within the grace time: a topic that was created a
 *    moment ago at one node may be news to another.
 * W3 A node that knows no controller leader may be the only one: cut off from the others, it tells of leaders that were
 *    replaced long ago. It is left for another after a while; when nobody knows one, all are asked in turn. One whose
 *    disk hangs applies nothing and says so: it is left soon, what it tells of leaders is old already.
 * W4 A node of another cluster is never listened to: its offsets and producer ids mean something else.
 */
import type { Clock, Timer } from '@sluice/base';
import { SluiceError } from '@sluice/base';
import type { MetadataUpdate, RpcClient, StreamSender, TopicMetadata, WatchMetadataRequest } from '@sluice/wire';
import { methods } from '@sluice/wire';
import { Backoff } from './backoff.ts';
import { ClusterView } from './cluster-view.ts';
import type { ClientPorts } from './ports.ts';
import type { OnStatus } from './status.ts';

export interface MetadataListener {
  onTopic(topic: TopicMetadata): void;
  onTopicDeleted(topic: TopicMetadata): void;
  /** Nodes came, went or moved. */
  onNodes(): void;
}

export interface MetadataOptions {
  readonly bootstrap: readonly string[];
  readonly clientId: string;
  readonly ports: ClientPorts;
  readonly rpc: RpcClient;
  /** How long the first contact with the cluster may take. */
  readonly contactTimeoutMs: number;
  readonly onStatus: OnStatus;
}

interface TopicWaiter {
  resolve(topic: TopicMetadata): void;
  reject(error: SluiceError): void;
}

interface Watch {
  readonly address: string;
  readonly sender: StreamSender<WatchMetadataRequest>;
  openedMs: number | undefined;
  heardMs: number;
  /** Since when the node knows no controller leader. */
  leaderlessSinceMs: number | undefined;
  /** For how long that is borne; undefined while it knows one. */
  leaderlessMsMax: number | undefined;
}

/**
 * After so much silence the node is asked; without an answer another one is asked beside it, and it is given up, whatever
 * the other says, when the silence was so long. All of it but the last is over before a session of a node is (1.5 s).
 */
const quietMs = 1_000;
const unansweredMs = 1_250;
const silentMs = 2_000;
/** How long one that is asked beside a silent one has, before the next is. */
const besideMs = 500;
/** Longer than a controller election takes when the last leader is known to be gone. */
const leaderlessMs = 1_000;
/** Of a node that says that its disk hangs: no election helps it. Enough that a disk which goes on costs no new watch. */
const stalledMs = 300;
const unknownGraceMs = 1_000;
const absentMax = 1_000;
/** A watch that lasted so long was a good one: the next may begin at once. */
const goodWatchMs = 1_000;

export class Metadata {
  readonly view = new ClusterView();
  readonly #options: MetadataOptions;
  readonly #clock: Clock;
  readonly #backoff: Backoff;
  readonly #listeners = new Set<MetadataListener>();
  readonly #names = new Set<string>();
  readonly #waiters = new Map<string, TopicWaiter[]>();
  readonly #graceTimers = new Map<string, Timer>();
  /** Names whose grace time is over, the oldest first; no more than `absentMax`. */
  readonly #absent = new Set<string>();
  readonly #toAsk = new Set<string>();
  /** Addresses that failed since the last good watch or pause. */
  readonly #failed = new Set<string>();
  #watch: Watch | undefined;
  /** Asked beside one that is silent; and all that were, since it last spoke. */
  #beside: Watch | undefined;
  #besideTimer: Timer | undefined;
  readonly #askedBeside = new Set<string>();
  #timer: Timer | undefined;
  #leaderlessTimer: Timer | undefined;
  #contactTimer: Timer | undefined;
  #contacted = false;
  #lastError: SluiceError | undefined;
  #closed = false;

  constructor(options: MetadataOptions) {
    this.#options = options;
    this.#clock = options.ports.clock;
    this.#backoff = new Backoff(options.ports.random, 100, 2_000);
  }

  subscribe(listener: MetadataListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Rejects with `UNKNOWN_TOPIC`, `CLOSED`, or, as long as no node ever answered, `UNREACHABLE` after a while. */
  topic(name: string): Promise<TopicMetadata> {
    const known = this.view.topicNamed(name);
    if (known !== undefined) return Promise.resolve(known);
    if (this.#closed) return Promise.reject(new SluiceError('CLOSED'));
    return new Promise((resolve, reject) => {
      const waiters = this.#waiters.get(name) ?? [];
      waiters.push({ resolve, reject });
      this.#waiters.set(name, waiters);
      this.#want(name);
    });
  }

  /** Asks the watched node for the present state of a topic; news arrives through the listeners. */
  refresh(name: string): void {
    if (this.#toAsk.size === 0) this.#clock.defer(() => this.#ask());
    this.#toAsk.add(name);
  }

  /** Why nothing is known, as long as no node ever answered. */
  get contactError(): SluiceError | undefined {
    return this.#contacted ? undefined : this.#unreachable();
  }

  /** Where any node may be asked, the one that answered last first. */
  addresses(): readonly string[] {
    const watched = this.#watch?.openedMs === undefined ? [] : [this.#watch.address];
    return [...new Set([...watched, ...this.view.addresses(), ...this.#options.bootstrap])];
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#timer?.cancel();
    this.#leaderlessTimer?.cancel();
    this.#contactTimer?.cancel();
    for (const timer of this.#graceTimers.values()) timer.cancel();
    this.#dropBeside(new SluiceError('CLOSED'));
    this.#watch?.sender.close(new SluiceError('CLOSED'));
    this.#watch = undefined;
    this.#rejectAll(new SluiceError('CLOSED'));
  }

  #want(name: string): void {
    if (!this.#contacted) this.#startContactTimer();
    if (this.#names.has(name)) {
      // Both are told by the live watch as soon as they change.
      if (this.#watch?.openedMs !== undefined && this.#absent.has(name)) this.#rejectUnknown(name);
      return;
    }
    this.#names.add(name);
    if (this.#watch === undefined && this.#timer === undefined) this.#connect();
    else this.#say({ topicNames: [name] });
  }

  #say(request: { readonly topicNames: readonly string[] }): void {
    this.#watch?.sender.send(request);
    this.#beside?.sender.send(request);
  }

  #ask(): void {
    const topicNames = [...this.#toAsk];
    this.#toAsk.clear();
    this.#say({ topicNames });
  }

  #startContactTimer(): void {
    this.#contactTimer ??= this.#clock.setTimer(this.#options.contactTimeoutMs, () => {
      this.#contactTimer = undefined;
      this.#rejectAll(this.#unreachable());
    });
  }

  #unreachable(): SluiceError {
    const { bootstrap } = this.#options;
    const cause = this.#lastError;
    const message = `None of ${bootstrap.join(', ')} could be reached; the last one said: ${cause?.message ?? 'nothing'}`;
    const code = cause?.code === 'PERMISSION_DENIED' || cause?.code === 'WRONG_CLUSTER' ? cause.code : 'UNREACHABLE';
    return new SluiceError(code, { message, cause, details: { bootstrap }, definite: true });
  }

  #connect(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    if (this.#closed) return;
    const candidates = this.addresses();
    const address = candidates.find((each) => !this.#failed.has(each));
    if (address === undefined) {
      this.#failed.clear();
      this.#timer = this.#clock.setTimer(this.#backoff.nextMs(), () => this.#connect());
      return;
    }
    this.#watch = this.#open(address);
    this.#listen(this.#watch);
  }

  #open(address: string): Watch {
    const { rpc, clientId } = this.#options;
    const sender = rpc.stream(methods.admin.watchMetadata, address, {
      onMessage: (update) => this.#onUpdate(watch, update),
      onClose: (error) => this.#onLost(watch, error),
    });
    const heardMs = this.#clock.monotonicMs();
    const watch: Watch = {
      address,
      sender,
      openedMs: undefined,
      heardMs,
      leaderlessSinceMs: undefined,
      leaderlessMsMax: undefined,
    };
    sender.send({ clientId, topicNames: [...this.#names] });
    return watch;
  }

  /** W1 */
  #listen(watch: Watch, afterMs = quietMs): void {
    this.#timer?.cancel();
    this.#timer = this.#clock.setTimer(afterMs, () => {
      if (this.#watch !== watch) return;
      const quietForMs = this.#clock.monotonicMs() - watch.heardMs;
      if (quietForMs < quietMs) return this.#listen(watch, quietMs - quietForMs);
      if (quietForMs >= silentMs) return this.#leave(watch, saidNothing(watch, quietForMs));
      if (quietForMs >= unansweredMs) {
        this.#askBeside(watch);
        return this.#listen(watch, silentMs - quietForMs);
      }
      if (watch.openedMs !== undefined) watch.sender.send({});
      this.#listen(watch, unansweredMs - quietForMs);
    });
  }

  #askBeside(silent: Watch): void {
    const others = this.addresses().filter((each) => each !== silent.address && !this.#failed.has(each));
    const address = others.find((each) => !this.#askedBeside.has(each));
    if (address === undefined || this.#beside !== undefined) return;
    this.#askedBeside.add(address);
    const beside = this.#open(address);
    this.#beside = beside;
    this.#besideTimer = this.#clock.setTimer(besideMs, () => {
      this.#dropBeside(saidNothing(beside, besideMs));
      this.#askBeside(silent);
    });
  }

  #dropBeside(error: SluiceError): void {
    this.#takeBeside()?.sender.close(error);
  }

  #takeBeside(): Watch | undefined {
    const beside = this.#beside;
    this.#besideTimer?.cancel();
    this.#beside = undefined;
    return beside;
  }

  #leave(watch: Watch, error: SluiceError): void {
    watch.sender.close(error);
    this.#onLost(watch, error);
  }

  #onLost(watch: Watch, error: SluiceError | undefined): void {
    if (this.#beside === watch && this.#watch !== undefined) {
      this.#lastError = error ?? this.#lastError;
      this.#takeBeside();
      return this.#askBeside(this.#watch);
    }
    if (this.#watch !== watch) return;
    this.#watch = undefined;
    this.#askedBeside.clear();
    this.#leaderlessTimer?.cancel();
    this.#lastError = error ?? this.#lastError;
    const endedMs = watch.leaderlessSinceMs ?? this.#clock.monotonicMs();
    const lastedMs = watch.openedMs === undefined ? 0 : endedMs - watch.openedMs;
    if (lastedMs >= goodWatchMs) {
      this.#failed.clear();
      this.#backoff.reset();
    }
    this.#failed.add(watch.address);
    this.#options.onStatus({ kind: 'disconnected', address: watch.address, error });
    const beside = this.#takeBeside();
    if (beside === undefined) return this.#connect();
    this.#watch = beside;
    this.#listen(beside);
  }

  #onUpdate(watch: Watch, update: MetadataUpdate): void {
    if (watch !== this.#watch && watch !== this.#beside) return;
    const { clusterId } = this.view;
    if (clusterId !== '' && update.clusterId !== '' && update.clusterId !== clusterId) {
      const message = `${watch.address} belongs to cluster ${update.clusterId}, this client to ${clusterId}.`;
      return this.#leave(watch, new SluiceError('WRONG_CLUSTER', { message }));
    }
    watch.heardMs = this.#clock.monotonicMs();
    this.#prefer(watch);
    this.#judgeLeaderless(watch, update);
    // A cluster that is not born yet knows nothing, not even that a topic does not exist.
    if (update.clusterId === '') return;
    if (watch.openedMs === undefined) this.#onOpened(watch, update.clusterId);
    const change = this.view.apply(update);
    for (const topic of change.deleted) for (const listener of this.#listeners) listener.onTopicDeleted(topic);
    for (const topic of change.topics) this.#tell(topic);
    if (change.nodesChanged) for (const listener of this.#listeners) listener.onNodes();
    for (const name of this.#names) this.#judge(name);
  }

  /** W1. It spoke first. */
  #prefer(watch: Watch): void {
    const silent = this.#watch;
    if (watch === this.#beside && silent !== undefined) {
      this.#leave(silent, saidNothing(silent, watch.heardMs - silent.heardMs));
    } else if (this.#beside !== undefined) {
      this.#dropBeside(new SluiceError('CANCELLED', { message: `${watch.address} speaks again.` }));
    }
    this.#askedBeside.clear();
  }

  /** W3 */
  #judgeLeaderless(watch: Watch, { controllerLeader, isStalled }: MetadataUpdate): void {
    const ofLeaderless = controllerLeader === 0 ? leaderlessMs : undefined;
    const msMax = isStalled ? stalledMs : ofLeaderless;
    if (msMax === watch.leaderlessMsMax) return;
    this.#leaderlessTimer?.cancel();
    watch.leaderlessMsMax = msMax;
    watch.leaderlessSinceMs = msMax === undefined ? undefined : (watch.leaderlessSinceMs ?? watch.heardMs);
    if (msMax === undefined) return;
    this.#leaderlessTimer = this.#clock.setTimer(msMax, () => {
      if (this.#watch !== watch) return;
      const why = isStalled
        ? 'says that its disk hangs, so it does not hear of new leaders'
        : 'knows no controller leader, and may be cut off from the other nodes';
      const message = `${watch.address} ${why}.`;
      this.#leave(watch, new SluiceError('LEADER_NOT_AVAILABLE', { message }));
    });
  }

  #onOpened(watch: Watch, clusterId: string): void {
    watch.openedMs = watch.heardMs;
    this.#contacted = true;
    this.#contactTimer?.cancel();
    this.#contactTimer = undefined;
    this.#options.onStatus({ kind: 'connected', address: watch.address, clusterId });
  }

  #tell(topic: TopicMetadata): void {
    const waiters = this.#waiters.get(topic.name) ?? [];
    this.#waiters.delete(topic.name);
    for (const listener of this.#listeners) listener.onTopic(topic);
    for (const waiter of waiters) waiter.resolve(topic);
  }

  /** W2 */
  #judge(name: string): void {
    if (!this.view.isUnknown(name)) {
      this.#absent.delete(name);
      this.#graceTimers.get(name)?.cancel();
      this.#graceTimers.delete(name);
    } else if (this.#absent.has(name)) {
      this.#rejectUnknown(name);
    } else if (!this.#graceTimers.has(name)) {
      const timer = this.#clock.setTimer(unknownGraceMs, () => {
        this.#graceTimers.delete(name);
        this.#absent.add(name);
        this.#rejectUnknown(name);
        this.#forgetOldest();
      });
      this.#graceTimers.set(name, timer);
    }
  }

  /** Names of topics long gone must not pile up, here or at the node: whoever wants one again asks again. */
  #forgetOldest(): void {
    const [oldest] = this.#absent;
    if (oldest === undefined || this.#absent.size <= absentMax) return;
    this.#absent.delete(oldest);
    this.#names.delete(oldest);
    this.view.forgetUnknown(oldest);
  }

  #rejectUnknown(name: string): void {
    const waiters = this.#waiters.get(name) ?? [];
    this.#waiters.delete(name);
    for (const waiter of waiters) waiter.reject(unknownTopic(name));
  }

  #rejectAll(error: SluiceError): void {
    const waiters = [...this.#waiters.values()].flat();
    this.#waiters.clear();
    for (const waiter of waiters) waiter.reject(error);
  }
}

const saidNothing = ({ address }: Watch, quietForMs: number): SluiceError =>
  new SluiceError('CONNECTION_LOST', { message: `${address} said nothing for ${Math.round(quietForMs)} ms.` });

export const unknownTopic = (name: string): SluiceError =>
  new SluiceError('UNKNOWN_TOPIC', {
    message: `There is no topic ${JSON.stringify(name)}; create it first: producing and consuming never create topics.`,
    details: { topic: name },
  });
