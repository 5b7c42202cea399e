/**
 * Nodes that shut down in order (D20), as the controller leader sees them. Owned by `BrokerSessions`.
 *
 * S1. Leaderships move in batches, one after the other: a partition pauses while it moves, and clients are told of each
 *     batch while the next one is decided.
 * S2. A node may stop when it leads nothing that another could lead, and every node that serves has applied the metadata
 *     that says so: clients learn from any node who leads, and none is to send them to one that is gone. Who drains itself,
 *     is fenced or silent, or has a disk that hangs, is not waited for.
 */
import type { BrokerEpoch, Clock, LogIndex, NodeId } from '@sluice/base';
import type { MetadataImage, NodeIdentity, SessionBook } from '@sluice/metadata';
import type { HeartbeatResponse, Partially } from '@sluice/wire';
import type { Decisions } from './decisions.ts';

export interface DrainsOptions {
  readonly image: MetadataImage;
  readonly decisions: Decisions;
  readonly book: SessionBook;
  readonly clock: Clock;
}

type Answer = (response: Partially<HeartbeatResponse>) => void;

interface Drained {
  readonly brokerEpoch: BrokerEpoch;
  /** Of the metadata in which it leads nothing. */
  readonly index: LogIndex;
  /** Undefined once it was told. */
  answer: Answer | undefined;
}

const batchPartitionsMax = 100;

export class Drains {
  readonly #options: DrainsOptions;
  readonly #drained = new Map<NodeId, Drained>();

  constructor(options: DrainsOptions) {
    this.#options = options;
  }

  /** A draining node asks, with every heartbeat. */
  async onHeartbeat(identity: NodeIdentity, answer: Answer): Promise<void> {
    const known = this.#drained.get(identity.nodeId);
    if (known?.brokerEpoch !== identity.brokerEpoch && !(await this.#moveAll(identity))) {
      answer({ up: true });
      return;
    }
    const { image } = this.#options;
    const index = known?.brokerEpoch === identity.brokerEpoch ? known.index : image.appliedIndex;
    this.#drained.set(identity.nodeId, { brokerEpoch: identity.brokerEpoch, index, answer });
    answer({ up: true });
    this.look();
  }

  /** After whatever may have ended a wait (S2). */
  look(): void {
    for (const drained of this.#drained.values()) {
      if (drained.answer === undefined || !this.#isApplied(drained.index)) continue;
      drained.answer({ up: true, mayStop: true, applyIndex: drained.index });
      drained.answer = undefined;
    }
  }

  /** S1. False: it leads on, and the next heartbeat tries again. */
  async #moveAll(identity: NodeIdentity): Promise<boolean> {
    for (;;) {
      const request = { type: 'drainNode', ...identity, partitionsMax: batchPartitionsMax } as const;
      const { leading, moved } = await this.#options.decisions.ask(request);
      if (moved === 0) return leading === 0;
    }
  }

  #isApplied(index: LogIndex): boolean {
    const { image, book, clock } = this.#options;
    const nowMs = clock.monotonicMs();
    return [...image.nodes.values()].every(({ nodeId, brokerEpoch, state, stalled }) => {
      if (state !== 'up' || stalled || !book.isLive({ nodeId, brokerEpoch }, nowMs)) return true;
      return (book.session(nodeId)?.metadataIndex ?? 0) >= index;
    });
  }
}
