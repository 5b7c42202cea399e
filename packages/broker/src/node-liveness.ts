/**
 * When this node last heard from each other node: the facts that all its partitions share (`ReplicaLiveness`).
 *
 * What counts is the newest that was heard on any open stream of the peer. A stream that closes takes with it what was
 * heard on it and nothing else: the other direction still tells that the peer lives.
 */
import type { Clock, NodeId } from '@sluice/base';
import type { ReplicaLiveness } from '@sluice/partition';
import type { ControllerLink } from './controller-link.ts';

/** One replication stream of a peer, of either direction. */
export interface HeardStream {
  heard(): void;
  /** What was heard on it counts no more. */
  closed(): void;
}

interface KnownStream extends HeardStream {
  readonly heardAtMs: number;
}

export class NodeLiveness implements ReplicaLiveness {
  readonly #clock: Clock;
  readonly #link: Pick<ControllerLink, 'heardAtMs'>;
  /** Two of a peer, and those that are being replaced. */
  readonly #streams = new Map<NodeId, Set<KnownStream>>();

  constructor(clock: Clock, link: Pick<ControllerLink, 'heardAtMs'>) {
    this.#clock = clock;
    this.#link = link;
  }

  heardAtMs(nodeId: NodeId): number {
    let newestMs = Number.NEGATIVE_INFINITY;
    for (const { heardAtMs } of this.#streams.get(nodeId) ?? none) newestMs = Math.max(newestMs, heardAtMs);
    return newestMs;
  }

  controllerHeardAtMs(): number {
    return this.#link.heardAtMs;
  }

  /** A stream of this peer is there; nothing was heard on it yet. */
  open(nodeId: NodeId): HeardStream {
    const streams = this.#streams.get(nodeId) ?? new Set();
    this.#streams.set(nodeId, streams);
    const stream = {
      heardAtMs: Number.NEGATIVE_INFINITY,
      heard: (): void => {
        stream.heardAtMs = this.#clock.monotonicMs();
      },
      closed: (): void => void streams.delete(stream),
    };
    streams.add(stream);
    return stream;
  }
}

const none: ReadonlySet<KnownStream> = new Set();
