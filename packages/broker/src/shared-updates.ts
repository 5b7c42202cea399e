/**
 * What several metadata watches are told alike is made, and encoded, once: after a change as many clients watch hear the
 * same, a topic with thousands of partitions each. Owned by `AdminService`, asked by its watches.
 *
 * U1. An update is shared only while all that it says is so: of one index of the image, one controller leader, one state
 *     of the disk. The parts that differ by watch are its key.
 * U2. It is kept for a moment, and only the last few: who is told alike is told at about the same time.
 */
import type { Clock, Timer, TopicId } from '@sluice/base';
import { clientAddress } from '@sluice/metadata';
import type { MetadataFeed, TopicState } from '@sluice/metadata';
import { encodedOnce } from '@sluice/wire';
import type { MetadataUpdate, NodeEndpoint, Partially } from '@sluice/wire';
import { topicMessage } from './topic-message.ts';

/** U2 */
const keptMs = 10;
const updatesMax = 16;

export interface SharedUpdatesOptions {
  readonly feed: MetadataFeed;
  readonly clock: Clock;
  /** The disk of this node hangs: it applies nothing, so it knows no controller leader. */
  readonly isStalled: () => boolean;
}

/** What an update says besides where this node stands. */
export interface UpdateParts {
  /** Set: all nodes, by their addresses on this listener. */
  readonly nodesOn?: string;
  readonly topics?: readonly TopicState[];
  readonly deletedTopicIds?: readonly TopicId[];
  readonly unknownTopicNames?: readonly string[];
}

export class SharedUpdates {
  readonly #options: SharedUpdatesOptions;
  readonly #made = new Map<string, Partially<MetadataUpdate>>();
  #timer: Timer | undefined;

  constructor(options: SharedUpdatesOptions) {
    this.#options = options;
  }

  stop(): void {
    this.#timer?.cancel();
    this.#made.clear();
  }

  /** The same object for the same update. It must not be changed. */
  of(parts: UpdateParts): Partially<MetadataUpdate> {
    const { feed, isStalled } = this.#options;
    const { image, controller } = feed;
    const stalled = isStalled();
    const stands = {
      clusterId: image.clusterId ?? '',
      metadataIndex: image.appliedIndex,
      controllerLeader: stalled ? 0 : (controller?.nodeId ?? 0),
      isStalled: stalled,
    };
    const { nodesOn, topics = [], deletedTopicIds = [], unknownTopicNames = [] } = parts;
    const ids = topics.map(({ topicId }) => topicId);
    const key = JSON.stringify([stands, nodesOn, ids, deletedTopicIds, unknownTopicNames]);
    const known = this.#made.get(key);
    if (known !== undefined) return known;
    const made = encodedOnce<Partially<MetadataUpdate>>({
      ...stands,
      nodes: nodesOn === undefined ? [] : this.#nodesOn(nodesOn),
      topics: topics.map(topicMessage),
      deletedTopicIds,
      unknownTopicNames,
    });
    this.#keep(key, made);
    return made;
  }

  #keep(key: string, made: Partially<MetadataUpdate>): void {
    if (this.#made.size >= updatesMax) this.#made.clear();
    this.#made.set(key, made);
    this.#timer ??= this.#options.clock.setTimer(keptMs, () => {
      this.#timer = undefined;
      this.#made.clear();
    });
  }

  #nodesOn(listener: string): readonly NodeEndpoint[] {
    return [...this.#options.feed.image.nodes.values()].map((node) => ({
      nodeId: node.nodeId,
      address: clientAddress(node, listener) ?? '',
      rack: node.rack ?? '',
      up: node.state === 'up',
    }));
  }
}
