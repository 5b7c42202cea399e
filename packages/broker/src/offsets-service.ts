/** Answers for the bounds of partitions that this node leads, and grants producer ids. */
import { SluiceError, toSluiceError } from '@sluice/base';
import type { Clock } from '@sluice/base';
import type { PartitionReplica } from '@sluice/partition';
import { encodeError, methods } from '@sluice/wire';
import type { Dispatcher, Partially, PartitionName, PartitionOffsets } from '@sluice/wire';
import type { PartitionHosts } from './partition-hosts.ts';
import type { ProducerIds } from './producer-ids.ts';

export class OffsetsService {
  readonly #hosts: PartitionHosts;
  readonly #producerIds: ProducerIds;
  readonly #clock: Clock;

  constructor(hosts: PartitionHosts, producerIds: ProducerIds, clock: Clock) {
    this.#clock = clock;
    this.#hosts = hosts;
    this.#producerIds = producerIds;
  }

  serve(clients: Dispatcher): void {
    clients.unary(methods.broker.listOffsets, async ({ partitions, sinceMs }) => ({
      partitions: await Promise.all(partitions.map((partition) => this.#offsetsOf(partition, sinceMs))),
    }));
    clients.unary(methods.broker.initProducer, async () => ({
      producerId: await this.#producerIds.grant(),
      producerEpoch: 0,
    }));
  }

  async #offsetsOf(partition: PartitionName, sinceMs: number): Promise<Partially<PartitionOffsets>> {
    const refused = (error: SluiceError): Partially<PartitionOffsets> => ({ partition, error: encodeError(error) });
    const host = this.#hosts.leadingNamed(partition.topicId, partition.partition);
    if (host instanceof SluiceError) return refused(host);
    const replica = host.replica;
    if (replica === undefined) return refused(host.error('NOT_LEADER'));
    const latest = replica.latestOffset();
    if (latest.error !== undefined) return refused(host.error(latest.error));
    const bounds = { logStart: replica.logStart, highWatermark: latest.offset };
    try {
      const sinceOffset = sinceMs === 0 ? bounds.logStart : await host.log.offsetSince(sinceMs, bounds.highWatermark);
      return { partition, ...bounds, sinceOffset, ...this.#writing(replica) };
    } catch (error) {
      return refused(toSluiceError(error));
    }
  }

  #writing(replica: PartitionReplica): Pick<PartitionOffsets, 'logEnd' | 'writable'> {
    return {
      logEnd: replica.logEnd,
      writable: replica.appendError(this.#clock.monotonicMs()) === undefined,
    };
  }
}
