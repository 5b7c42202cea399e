/**
 * The controller of the model test: one partition, every decision committed at once. Members that leave an ISR below
 * `minIsr` stay eligible to lead, and the ISR may be empty (D16); a life that may have lost acked bytes is in neither (D17).
 */
import { brokerEpoch, leaderEpoch, nextLeaderEpoch, nextPartitionEpoch, partitionEpoch } from '@sluice/base';
import type { BrokerEpoch, LeaderEpoch, NodeId, PartitionEpoch } from '@sluice/base';
import type { IsrProposal } from './effects.ts';
import type { AssignedReplica, IsrChangeOutcome } from './events.ts';

export interface ModelMetadata {
  readonly leader: NodeId | undefined;
  readonly leaderEpoch: LeaderEpoch;
  readonly partitionEpoch: PartitionEpoch;
  readonly isr: readonly NodeId[];
  readonly elr: readonly NodeId[];
  readonly replicas: readonly AssignedReplica[];
}

export class ModelController {
  readonly #nodes = new Map<NodeId, { brokerEpoch: BrokerEpoch | undefined; fenced: boolean }>();
  readonly #minIsr: number;
  readonly #onChange: (metadata: ModelMetadata) => void;
  #leader: NodeId | undefined;
  #leaderEpoch: LeaderEpoch = leaderEpoch(0);
  #partitionEpoch: PartitionEpoch = partitionEpoch(0);
  #isr: readonly NodeId[];
  #elr: readonly NodeId[] = [];
  #granted = 0;
  /** Who left the ISR for damage, and when. */
  #refilling: ReadonlyMap<NodeId, PartitionEpoch> = new Map();

  constructor(nodes: readonly NodeId[], minIsr: number, onChange: (metadata: ModelMetadata) => void) {
    this.#isr = nodes;
    this.#minIsr = minIsr;
    this.#onChange = onChange;
    for (const nodeId of nodes) this.#nodes.set(nodeId, { brokerEpoch: undefined, fenced: true });
  }

  get metadata(): ModelMetadata {
    return {
      leader: this.#leader,
      leaderEpoch: this.#leaderEpoch,
      partitionEpoch: this.#partitionEpoch,
      isr: this.#isr,
      elr: this.#elr,
      replicas: [...this.#nodes].map(([nodeId, node]) => ({
        nodeId,
        brokerEpoch: node.brokerEpoch,
        eligible: !node.fenced,
      })),
    };
  }

  fenced(nodeId: NodeId): boolean {
    return this.#nodes.get(nodeId)?.fenced ?? true;
  }

  /** Everybody who holds all that is committed. */
  get complete(): readonly NodeId[] {
    return [...this.#isr, ...this.#elr];
  }

  fence(nodeId: NodeId): void {
    this.#node(nodeId).fenced = true;
    if (this.#isr.includes(nodeId)) this.#setIsr(this.#isr.filter((member) => member !== nodeId));
    if (this.#leader === nodeId) this.#elect();
    this.#onChange(this.metadata);
  }

  /**
   * D18: an earlier life is fenced first, and is a member still: it was not missed. D17, D17b: one that may have lost acked
   * bytes leaves, unless it is the last.
   */
  register(nodeId: NodeId, mayHaveLost: boolean): BrokerEpoch {
    this.#node(nodeId).fenced = true;
    this.#granted += 1;
    this.#node(nodeId).brokerEpoch = brokerEpoch(this.#granted);
    if (mayHaveLost && this.complete.some((member) => member !== nodeId)) this.#remove(nodeId);
    if (this.#leader === nodeId) this.#elect();
    this.#onChange(this.metadata);
    return brokerEpoch(this.#granted);
  }

  unfence(nodeId: NodeId): void {
    this.#node(nodeId).fenced = false;
    if (this.#leader === undefined) this.#elect();
    this.#onChange(this.metadata);
  }

  /** Moves leadership to another member that is alive, or gives the same leader a new epoch. */
  move(to: NodeId): void {
    if (!this.#isr.includes(to) || this.fenced(to)) return;
    this.#lead(to);
    this.#onChange(this.metadata);
  }

  /** E6: it leaves, if another member can lead at once, and is told the epoch. */
  damage(nodeId: NodeId): PartitionEpoch | undefined {
    const others = this.#isr.filter((member) => member !== nodeId);
    const stays = this.#isr.includes(nodeId) && !others.some((member) => !this.fenced(member));
    if (stays) return undefined;
    this.#remove(nodeId);
    if (this.#leader === nodeId) this.#elect();
    else this.#partitionEpoch = nextPartitionEpoch(this.#partitionEpoch);
    this.#refilling = new Map([...this.#refilling, [nodeId, this.#partitionEpoch]]);
    this.#onChange(this.metadata);
    return this.#partitionEpoch;
  }

  /** D12. */
  alter(from: NodeId, proposal: IsrProposal): IsrChangeOutcome {
    const failed = (
      error: 'FENCED_LEADER_EPOCH' | 'INVALID_UPDATE_VERSION' | 'INELIGIBLE_REPLICA',
    ): IsrChangeOutcome => ({
      kind: 'failed',
      error,
    });
    if (proposal.leaderEpoch !== this.#leaderEpoch || this.#leader !== from) return failed('FENCED_LEADER_EPOCH');
    if (proposal.partitionEpoch !== this.#partitionEpoch) return failed('INVALID_UPDATE_VERSION');
    const ineligible = proposal.isr.some((member) => {
      const node = this.#node(member.nodeId);
      const since = this.#refilling.get(member.nodeId) ?? 0;
      return node.fenced || node.brokerEpoch !== member.brokerEpoch || member.statedEpoch < since;
    });
    if (ineligible) return failed('INELIGIBLE_REPLICA');
    this.#setIsr(proposal.isr.map((member) => member.nodeId));
    this.#refilling = new Map([...this.#refilling].filter(([id]) => !this.#isr.includes(id)));
    this.#onChange(this.metadata);
    return {
      kind: 'applied',
      leaderEpoch: this.#leaderEpoch,
      partitionEpoch: this.#partitionEpoch,
      isr: this.#isr,
    };
  }

  /** D16. The partition epoch is raised also by the same ISR again (D13). */
  #setIsr(isr: readonly NodeId[]): void {
    const left = this.complete.filter((member) => !isr.includes(member));
    this.#isr = isr;
    this.#elr = isr.length < this.#minIsr ? left : [];
    this.#partitionEpoch = nextPartitionEpoch(this.#partitionEpoch);
  }

  #remove(nodeId: NodeId): void {
    this.#setIsr(this.#isr.filter((member) => member !== nodeId));
    this.#elr = this.#elr.filter((member) => member !== nodeId);
  }

  /** D15: a member of the ISR; where that is empty, of the ELR, which it leaves for the ISR. */
  #elect(): void {
    if (this.#isr.length === 0) {
      const eligible = this.#elr.find((nodeId) => !this.fenced(nodeId));
      if (eligible !== undefined) this.#setIsr([eligible]);
    }
    this.#lead(this.#isr.find((nodeId) => !this.fenced(nodeId)));
  }

  #lead(leader: NodeId | undefined): void {
    this.#leader = leader;
    this.#leaderEpoch = nextLeaderEpoch(this.#leaderEpoch);
    this.#partitionEpoch = nextPartitionEpoch(this.#partitionEpoch);
  }

  #node(nodeId: NodeId): { brokerEpoch: BrokerEpoch | undefined; fenced: boolean } {
    const node = this.#nodes.get(nodeId);
    if (node === undefined) throw new Error(`no node ${nodeId}`);
    return node;
  }
}
