/** When this node last heard from each other node: the facts that all its partitions share (`ReplicaLiveness`). */
import type { Clock, NodeId } from '@sluice/base';
import type { ReplicaLiveness } from '@sluice/partition';
import type { ControllerLink } from './controller-link.ts';

export class NodeLiveness implements ReplicaLiveness {
  readonly #clock: Clock;
  readonly #heardAtMs = new Map<NodeId, number>();
  readonly #link: ControllerLink;

  constructor(clock: Clock, link: ControllerLink) {
    this.#clock = clock;
    this.#link = link;
  }

  heardAtMs(nodeId: NodeId): number {
    return this.#heardAtMs.get(nodeId) ?? Number.NEGATIVE_INFINITY;
  }

  controllerHeardAtMs(): number {
    return this.#link.heardAtMs;
  }

  heard(nodeId: NodeId): void {
    this.#heardAtMs.set(nodeId, this.#clock.monotonicMs());
  }

  /** Its stream is closed: it counts as not heard of until it is back. */
  lost(nodeId: NodeId): void {
    this.#heardAtMs.delete(nodeId);
  }
}
