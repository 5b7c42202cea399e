/**
 * Partitions of which nobody is left who is known to be complete (D17b, `recovery.ts` of `metadata`): when all are back who
 * may hold most of one, they are asked what they hold, and the longest log leads. Owned by `BrokerSessions`.
 *
 * V1. Asked as soon as somebody came back, left as damaged, or is not waited for any more, and every `againMs` while there
 *     is such a partition; nothing runs while there is none.
 * V2. Who was complete last must be up, each of them. A log that its node does not tell of is asked for again.
 * V3. Where all that was found is empty, and all who were complete last lost their directories, nobody is elected: an empty
 *     directory may be a disk that was not mounted, and what it lacks may come back with it. One of them that kept its own
 *     and holds nothing tells what there is: nothing.
 * V4. Where there are more than fit into one look, those that were not asked for come first: one that cannot be recovered
 *     keeps no other from it.
 */
import { isPosition, isSmallPosition, leaderEpoch, offset, toSluiceError } from '@sluice/base';
import type { Clock, Logger, NodeId, Timer } from '@sluice/base';
import type { FoundLog, MetadataImage, NodeState, PartitionState } from '@sluice/metadata';
import { isElectable } from '@sluice/metadata';
import type { DescribeLogsResponse, LogName } from '@sluice/wire';
import type { Decisions } from './decisions.ts';

export type DescribeLogs = (node: NodeState, partitions: readonly LogName[]) => Promise<DescribeLogsResponse>;

export interface RecoveriesOptions {
  readonly image: MetadataImage;
  readonly decisions: Decisions;
  readonly clock: Pick<Clock, 'setTimer'>;
  readonly logger: Logger;
  readonly describeLogs: DescribeLogs;
}

const againMs = 1_000;
/** Of one look; a node tells of no more in one answer. */
const partitionsMax = 1_000;

export class Recoveries {
  readonly #options: RecoveriesOptions;
  readonly #asked = new Set<string>();
  #timer: Timer | undefined;
  #looking = false;
  #again = false;
  #ended = false;

  constructor(options: RecoveriesOptions) {
    this.#options = options;
  }

  end(): void {
    this.#ended = true;
    this.#timer?.cancel();
  }

  /** V1 */
  look(): void {
    if (this.#ended) return;
    this.#again = this.#looking;
    if (this.#looking) return;
    this.#timer?.cancel();
    const all = this.#leaderless();
    if (all.length === 0) return;
    this.#looking = true;
    void this.#recover(this.#turn(all)).finally(() => {
      this.#looking = false;
      if (this.#ended) return;
      if (this.#again) this.look();
      else this.#timer = this.#options.clock.setTimer(againMs, () => this.look());
    });
  }

  #leaderless(): readonly PartitionState[] {
    const { image } = this.#options;
    const all = [...image.topics.values()].flatMap(({ partitions }) => partitions);
    return all.filter(({ leader, isr, elr }) => leader === null && isr.length + elr.length === 0);
  }

  /** V4 */
  #turn(all: readonly PartitionState[]): readonly PartitionState[] {
    const back = all.filter((partition) => this.#isBack(partition));
    const waiting = back.filter((partition) => !this.#asked.has(keyOf(partition)));
    const again = back.filter((partition) => this.#asked.has(keyOf(partition)));
    const turn = [...waiting, ...again].slice(0, partitionsMax);
    if (waiting.length <= turn.length) this.#asked.clear();
    for (const partition of turn) this.#asked.add(keyOf(partition));
    return turn;
  }

  /** V2 */
  #isBack({ lastKnownElr }: PartitionState): boolean {
    return lastKnownElr.every((id) => {
      const node = this.#options.image.node(id);
      return node !== undefined && isElectable(node);
    });
  }

  async #recover(partitions: readonly PartitionState[]): Promise<void> {
    const found = await this.#ask(partitions);
    for (const partition of partitions) {
      if (this.#ended) return;
      await this.#elect(partition, found.get(keyOf(partition)) ?? []);
    }
  }

  /** What each of their replicas holds, as far as it can be told now. */
  async #ask(partitions: readonly PartitionState[]): Promise<ReadonlyMap<string, readonly FoundLog[]>> {
    const { image, describeLogs, logger } = this.#options;
    const byNode = new Map<NodeId, PartitionState[]>();
    for (const partition of partitions) {
      for (const id of partition.replicas) byNode.set(id, [...(byNode.get(id) ?? []), partition]);
    }
    const found = new Map<string, FoundLog[]>();
    const asked = [...byNode].map(async ([id, held]) => {
      const node = image.node(id);
      if (node === undefined || node.state === 'fenced') return;
      try {
        const answer = await describeLogs(
          node,
          held.map(({ topicId, partition }) => ({ topicId, partition })),
        );
        for (const [at, partition] of held.entries()) {
          const log = foundLog(node, answer, at);
          if (log !== undefined) found.set(keyOf(partition), [...(found.get(keyOf(partition)) ?? []), log]);
        }
      } catch (error) {
        logger.debug('logs not described', { nodeId: id, err: toSluiceError(error) });
      }
    });
    await Promise.all(asked);
    return found;
  }

  async #elect(state: PartitionState, found: readonly FoundLog[]): Promise<void> {
    const { topicId, partition, lastKnownElr, lossy } = state;
    const { decisions, logger } = this.#options;
    // V3
    if (found.every(({ logEnd }) => logEnd === 0) && lastKnownElr.every((id) => lossy.includes(id))) return;
    const at = { topicId, partition };
    try {
      const { leader, mayHaveLost } = await decisions.ask({ type: 'recoverPartition', ...at, found });
      const logEnd = found.find(({ nodeId }) => nodeId === leader)?.logEnd;
      if (mayHaveLost)
        logger.error('the longest log that is left leads: acked records may be lost', { ...at, leader, logEnd });
    } catch (error) {
      logger.debug('partition not recovered', { ...at, err: toSluiceError(error) });
    }
  }
}

const keyOf = ({ topicId, partition }: PartitionState): string => `${topicId}/${partition}`;

/** Undefined: it was not told, or by another life of the node than the one that is registered. */
function foundLog(node: NodeState, { identity, logs }: DescribeLogsResponse, at: number): FoundLog | undefined {
  const { nodeId, brokerEpoch } = node;
  const log = logs[at];
  if (identity?.nodeId !== nodeId || identity.brokerEpoch !== brokerEpoch) return undefined;
  if (log === undefined || log.error !== null || !isPosition(log.logEnd)) return undefined;
  if (log.lastEpoch !== -1 && !isSmallPosition(log.lastEpoch)) return undefined;
  const lastEpoch = log.lastEpoch === -1 ? null : leaderEpoch(log.lastEpoch);
  return { nodeId, brokerEpoch, lastEpoch, logEnd: offset(log.logEnd) };
}
