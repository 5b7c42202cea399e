/** Deletes records before offsets in partitions that this node leads, as somebody asks; by age and size see `retention.ts`. */
import { offset, SluiceError } from '@sluice/base';
import type { Clock } from '@sluice/base';
import { encodeError, methods } from '@sluice/wire';
import type { CallContext, Dispatcher, Partially, PartitionTrim, PartitionTrimmed } from '@sluice/wire';
import type { PartitionHost, TrimOutcome } from './partition-host.ts';
import type { PartitionHosts } from './partition-hosts.ts';

const timeoutMsDefault = 15_000;
/** Before the deadline of the call: its caller hears what is known of each partition, not that the call ended. */
const answerMs = 500;

export class TrimService {
  readonly #hosts: PartitionHosts;
  readonly #clock: Clock;

  constructor(hosts: PartitionHosts, clock: Clock) {
    this.#hosts = hosts;
    this.#clock = clock;
  }

  serve(clients: Dispatcher): void {
    clients.unary(methods.broker.trimPartitions, async (request, call) => {
      const timeoutMs = this.#timeoutMs(call);
      return { partitions: await Promise.all(request.partitions.map((each) => this.#trim(each, timeoutMs))) };
    });
  }

  async #trim({ partition, before }: PartitionTrim, timeoutMs: number): Promise<Partially<PartitionTrimmed>> {
    const host = this.#hosts.leadingNamed(partition?.topicId ?? '', partition?.partition ?? 0);
    if (host instanceof SluiceError) return { partition, error: encodeError(host) };
    const { promise, resolve } = Promise.withResolvers<TrimOutcome>();
    host.trim({ before: offset(before), timeoutMs, done: resolve });
    const outcome = await promise;
    if (!('error' in outcome)) return { partition, logStart: outcome.logStart };
    const isPastEnd = outcome.error.code === 'OFFSET_OUT_OF_RANGE';
    return { partition, error: encodeError(isPastEnd ? pastEnd(host, before) : outcome.error) };
  }

  #timeoutMs(call: CallContext): number {
    if (call.deadlineMs === undefined) return timeoutMsDefault;
    const leftMs = Math.max(0, call.deadlineMs - this.#clock.monotonicMs());
    return Math.max(leftMs / 2, leftMs - answerMs);
  }
}

function pastEnd(host: PartitionHost, before: number): SluiceError {
  const highWatermark = host.replica?.highWatermark;
  const { partition } = host.id;
  return new SluiceError('OFFSET_OUT_OF_RANGE', {
    message: `Partition ${partition} of ${host.topicName} is committed up to ${highWatermark}, so nothing can be deleted before ${before}; nothing was.`,
    details: { topic: host.topicName, partition, highWatermark },
  });
}
