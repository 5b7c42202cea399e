/**
 * What invariants see of the processes of a cluster: one object for each life of a node, whose figures are those of the
 * moment in which they are read. Asked by the run of a seed after every event, so that a look makes nothing anew.
 */
import { imageDigest } from '@sluice/metadata';
import type { NodeInspection } from '@sluice/server';
import type { ObservedBroker } from './partition-invariants.ts';
import type { ObservedMember } from './raft-invariants.ts';

interface Observed {
  readonly seen: NodeInspection;
  readonly member: ObservedMember;
  readonly broker: ObservedBroker | undefined;
}

export interface ObservedNodesOptions {
  /** Undefined while the node does not run. */
  readonly inspect: (node: number) => NodeInspection | undefined;
  /** Nodes whose disk was wiped or damaged. */
  readonly damaged: ReadonlySet<number>;
}

export class ObservedNodes {
  readonly #options: ObservedNodesOptions;
  readonly #observed = new Map<number, Observed>();

  constructor(options: ObservedNodesOptions) {
    this.#options = options;
  }

  /** Of those that run and are part of a cluster. */
  members(nodes: Iterable<number>): readonly ObservedMember[] {
    const members: ObservedMember[] = [];
    for (const node of nodes) {
      const observed = this.#of(node);
      if (observed?.seen.raft !== undefined) members.push(observed.member);
    }
    return members;
  }

  brokers(nodes: Iterable<number>): readonly ObservedBroker[] {
    const brokers: ObservedBroker[] = [];
    for (const node of nodes) {
      const broker = this.#of(node)?.broker;
      if (broker !== undefined) brokers.push(broker);
    }
    return brokers;
  }

  #of(node: number): Observed | undefined {
    const seen = this.#options.inspect(node);
    if (seen === undefined) return undefined;
    let observed = this.#observed.get(node);
    if (observed?.seen !== seen) {
      observed = { seen, member: memberOf(node, seen, this.#options.damaged), broker: brokerOf(node, seen) };
      this.#observed.set(node, observed);
    }
    return observed;
  }
}

const memberOf = (node: number, seen: NodeInspection, damaged: ReadonlySet<number>): ObservedMember => ({
  node,
  get raft() {
    if (seen.raft === undefined) throw new Error(`node ${node} is part of no cluster yet`);
    return seen.raft;
  },
  get appliedIndex() {
    return seen.image.appliedIndex;
  },
  digest: () => imageDigest(seen.image),
  get isDamaged() {
    return damaged.has(node);
  },
});

function brokerOf(node: number, seen: NodeInspection): ObservedBroker | undefined {
  const { broker } = seen;
  if (broker === undefined) return undefined;
  return {
    node,
    get hosts() {
      return broker.hosts;
    },
    get image() {
      return seen.image;
    },
  };
}
