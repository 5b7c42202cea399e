/**
 * One client's metadata watch: what it asked for, and what it was told. Pushes whole topics when they change.
 *
 * W1. The first update after a request holds all that the request asked for, existing or not.
 * W2. A watcher that does not read is closed instead of remembered: it asks again and gets the present.
 * W3. Who leads is told at once. What only describes a partition, its in-sync replicas, waits a moment for more of it: of a
 *     topic with a thousand partitions whose replicas come back, each entry would be told as the whole topic.
 * W4. A node whose disk hangs says so, and that it knows no controller leader (`SharedUpdates`): it applies nothing, so it
 *     may not have heard that others lead now.
 */
import { SluiceError } from '@sluice/base';
import type { Clock, Timer, TopicId } from '@sluice/base';
import { defaultNamespace } from '@sluice/metadata';
import type { ImageChange, MetadataFeed, TopicState } from '@sluice/metadata';
import type { MetadataUpdate, StreamReceiver, StreamSender, WatchMetadataRequest } from '@sluice/wire';
import type { SharedUpdates, UpdateParts } from './shared-updates.ts';

const bufferedBytesMax = 16 * 1024 * 1024;
const namesMax = 10_000;
/** W3 */
const describeAfterMs = 100;

export interface MetadataWatchOptions {
  readonly feed: MetadataFeed;
  readonly clock: Clock;
  /** Name of the one that the client came in on. */
  readonly listener: string;
  readonly sender: StreamSender<MetadataUpdate>;
  readonly updates: SharedUpdates;
  readonly onEnd: (watch: MetadataWatch) => void;
}

export class MetadataWatch implements StreamReceiver<WatchMetadataRequest> {
  readonly #options: MetadataWatchOptions;
  readonly #feed: MetadataFeed;
  readonly #sender: StreamSender<MetadataUpdate>;
  readonly #names = new Set<string>();
  /** Of each topic that was told: the leadership of its partitions, as one number that goes up with each change. */
  readonly #told = new Map<TopicId, number>();
  /** W3: changed since, but for who leads. */
  readonly #undescribed = new Set<TopicId>();
  #describing: Timer | undefined;
  #all = false;
  #greeted = false;

  constructor(options: MetadataWatchOptions) {
    this.#options = options;
    this.#feed = options.feed;
    this.#sender = options.sender;
  }

  onMessage(request: WatchMetadataRequest): void {
    const { image } = this.#feed;
    for (const name of request.topicNames) this.#names.add(name);
    if (this.#names.size > namesMax) {
      throw new SluiceError('LIMIT_EXCEEDED', {
        message: `A watch names at most ${namesMax} topics; watch all instead.`,
      });
    }
    this.#all ||= request.allTopics;
    const asked = request.allTopics
      ? [...image.topics.values()]
      : request.topicNames.flatMap((name) => image.topicNamed(defaultNamespace, name) ?? []);
    this.#send({
      ...(!this.#greeted && this.#nodes),
      topics: this.#tell(asked),
      unknownTopicNames: request.topicNames.filter((name) => image.topicNamed(defaultNamespace, name) === undefined),
    });
    this.#greeted = true;
  }

  close(error: SluiceError): void {
    this.#sender.close(error);
  }

  onEnd(): void {
    this.#sender.end();
  }

  onClose(): void {
    this.#describing?.cancel();
    this.#options.onEnd(this);
  }

  onApplied(change: ImageChange): void {
    if (!this.#greeted) return;
    const { image } = this.#feed;
    const touched = new Set<TopicId>([...change.topicsCreated, ...change.partitions.map(({ topicId }) => topicId)]);
    const topics = [...touched].flatMap((id) => image.topic(id) ?? []).filter((topic) => this.#watches(topic));
    const deleted = change.topicsDeleted.filter((topic) => this.#watches(topic));
    for (const { topicId } of deleted) this.#forget(topicId);
    const led: TopicState[] = [];
    for (const topic of topics) {
      if (this.#told.get(topic.topicId) === leadershipOf(topic)) this.#describeLater(topic.topicId);
      else led.push(topic);
    }
    if (led.length === 0 && deleted.length === 0 && change.nodes.length === 0) return;
    this.#send({
      ...(change.nodes.length > 0 && this.#nodes),
      topics: this.#tell(led),
      deletedTopicIds: deleted.map(({ topicId }) => topicId),
    });
  }

  /** Another controller leader, or none; or the disk of this node hangs, or does no more. */
  onStanding(): void {
    if (this.#greeted) this.#send({});
  }

  #tell(topics: readonly TopicState[]): readonly TopicState[] {
    for (const topic of topics) {
      this.#told.set(topic.topicId, leadershipOf(topic));
      this.#undescribed.delete(topic.topicId);
    }
    return topics;
  }

  #forget(topic: TopicId): void {
    this.#told.delete(topic);
    this.#undescribed.delete(topic);
  }

  #describeLater(topic: TopicId): void {
    this.#undescribed.add(topic);
    this.#describing ??= this.#options.clock.setTimer(describeAfterMs, () => {
      this.#describing = undefined;
      const topics = [...this.#undescribed].flatMap((id) => this.#feed.image.topic(id) ?? []);
      if (topics.length > 0) this.#send({ topics: this.#tell(topics) });
    });
  }

  #watches(topic: TopicState): boolean {
    return this.#all || this.#names.has(topic.name);
  }

  get #nodes(): UpdateParts {
    return { nodesOn: this.#options.listener };
  }

  #send(parts: UpdateParts): void {
    if (this.#sender.bufferedBytes > bufferedBytesMax) {
      this.#sender.close(new SluiceError('LIMIT_EXCEEDED', { message: 'The watcher does not read; watch again.' }));
      return;
    }
    this.#sender.send(this.#options.updates.of(parts));
  }
}

/** A leader epoch goes up whenever the leader changes. */
const leadershipOf = (topic: TopicState): number =>
  topic.partitions.reduce((sum, { leaderEpoch }) => sum + leaderEpoch + 1, 0);
