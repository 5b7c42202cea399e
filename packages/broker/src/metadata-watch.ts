/**
 * One client's metadata watch: what it asked for, and what it was told. Pushes whole topics when they change.
 *
 * W1. The first update after a request holds all that the request asked for, existing or not.
 * W2. A watcher that does not read is closed instead of remembered: it asks again and gets the present.
 */
import { SluiceError } from '@sluice/base';
import type { TopicId } from '@sluice/base';
import { clientAddress, defaultNamespace } from '@sluice/metadata';
import type { ImageChange, MetadataFeed, TopicState } from '@sluice/metadata';
import type {
  MetadataUpdate,
  NodeEndpoint,
  Partially,
  StreamReceiver,
  StreamSender,
  WatchMetadataRequest,
} from '@sluice/wire';
import { topicMessage } from './topic-message.ts';

const bufferedBytesMax = 16 * 1024 * 1024;
const namesMax = 10_000;

export class MetadataWatch implements StreamReceiver<WatchMetadataRequest> {
  readonly #feed: MetadataFeed;
  readonly #listener: string;
  readonly #sender: StreamSender<MetadataUpdate>;
  readonly #onEnd: (watch: MetadataWatch) => void;
  readonly #names = new Set<string>();
  #all = false;
  #greeted = false;

  constructor(
    feed: MetadataFeed,
    listener: string,
    sender: StreamSender<MetadataUpdate>,
    onEnd: (watch: MetadataWatch) => void,
  ) {
    this.#feed = feed;
    this.#listener = listener;
    this.#sender = sender;
    this.#onEnd = onEnd;
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
      nodes: this.#greeted ? [] : this.#nodes(),
      topics: asked.map(topicMessage),
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
    this.#onEnd(this);
  }

  onApplied(change: ImageChange): void {
    if (!this.#greeted) return;
    const { image } = this.#feed;
    const touched = new Set<TopicId>([...change.topicsCreated, ...change.partitions.map(({ topicId }) => topicId)]);
    const topics = [...touched].flatMap((id) => image.topic(id) ?? []).filter((topic) => this.#watches(topic));
    const deleted = change.topicsDeleted.filter((topic) => this.#watches(topic));
    if (topics.length === 0 && deleted.length === 0 && change.nodes.length === 0) return;
    this.#send({
      nodes: change.nodes.length === 0 ? [] : this.#nodes(),
      topics: topics.map(topicMessage),
      deletedTopicIds: deleted.map(({ topicId }) => topicId),
    });
  }

  onController(): void {
    if (this.#greeted) this.#send({});
  }

  #watches(topic: TopicState): boolean {
    return this.#all || this.#names.has(topic.name);
  }

  #nodes(): readonly NodeEndpoint[] {
    return [...this.#feed.image.nodes.values()].map((node) => ({
      nodeId: node.nodeId,
      address: clientAddress(node, this.#listener) ?? '',
      rack: node.rack ?? '',
      up: node.state === 'up',
    }));
  }

  #send(update: Partially<MetadataUpdate>): void {
    const { image, controller } = this.#feed;
    if (this.#sender.bufferedBytes > bufferedBytesMax) {
      this.#sender.close(new SluiceError('LIMIT_EXCEEDED', { message: 'The watcher does not read; watch again.' }));
      return;
    }
    this.#sender.send({
      clusterId: image.clusterId ?? '',
      metadataIndex: image.appliedIndex,
      controllerLeader: controller?.nodeId ?? 0,
      ...update,
    });
  }
}
