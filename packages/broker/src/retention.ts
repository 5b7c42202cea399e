/**
 * Retention: what is older or more than its topic wants goes from the partitions that this node leads; followers hear of
 * the new start by the leader's pushes. Owned by `BrokerNode`; what may go is decided in `retention-limits.ts`.
 *
 * A1. Only leaders decide, and only on what the replica lets go: nothing at or above the high watermark or a holder.
 * A2. One timer for all partitions, at most `hostsPerTurn` of them in one turn of the event loop.
 */
import { SteadyWall, unreachable } from '@sluice/base';
import type { Clock, Logger, Random, Timer, TopicId } from '@sluice/base';
import type { TopicConfig } from '@sluice/metadata';
import { nextLookMs } from './look-interval.ts';
import type { PartitionHost } from './partition-host.ts';
import { clockDoubt, retentionLimits } from './retention-limits.ts';
import type { ClockDoubt } from './retention-limits.ts';

export interface RetentionOptions {
  readonly hosts: Iterable<PartitionHost>;
  readonly configOf: (topic: TopicId) => TopicConfig | undefined;
  /** What the controller leader says of all brokers' wall clocks; undefined when it says nothing. */
  readonly clocksAgree: () => boolean | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly intervalMs: number;
}

export interface RetentionStats {
  /** Nothing goes by age: the wall clock is in doubt. */
  readonly paused: boolean;
  /** Removed so far in partitions led here. */
  readonly records: number;
}

const hostsPerTurn = 100;

export class Retention {
  readonly #options: RetentionOptions;
  readonly #wall: SteadyWall;
  #timer: Timer | undefined;
  /** At the last look. */
  #doubt: ClockDoubt | undefined;
  #said: ClockDoubt | undefined;
  #records = 0;
  #stopped = false;

  constructor(options: RetentionOptions) {
    this.#options = options;
    this.#wall = new SteadyWall(options.clock);
  }

  get stats(): RetentionStats {
    return { paused: this.#judgeClock() !== undefined, records: this.#records };
  }

  start(): void {
    this.#lookLater();
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  #lookLater(): void {
    if (this.#stopped) return;
    const { clock, random, intervalMs } = this.#options;
    this.#timer = clock.setTimer(nextLookMs(intervalMs, random), () => {
      this.#sayDoubt();
      this.#lookAt([...this.#options.hosts], 0);
    });
  }

  #lookAt(hosts: readonly PartitionHost[], from: number): void {
    if (this.#stopped) return;
    if (from >= hosts.length) return this.#lookLater();
    const doubt = this.#judgeClock();
    for (const host of hosts.slice(from, from + hostsPerTurn)) this.#trim(host, doubt);
    this.#options.clock.defer(() => this.#lookAt(hosts, from + hostsPerTurn));
  }

  #trim(host: PartitionHost, doubt: ClockDoubt | undefined): void {
    const { replica, id } = host;
    if (replica?.role !== 'leader') return;
    const config = this.#options.configOf(id.topicId);
    const limits = config && retentionLimits(config, this.#wall.wallMs(), doubt);
    if (limits === undefined) return;
    const before = replica.logStart;
    const end = host.log.expiredEnd(limits);
    if (end > before) host.step({ kind: 'trim', logStart: end });
    const { logStart } = replica;
    if (logStart === before) return;
    this.#records += logStart - before;
    this.#options.logger.debug('records expired', { topic: host.topicName, partition: id.partition, logStart });
  }

  #judgeClock(): ClockDoubt | undefined {
    return clockDoubt({ hasJumped: this.#wall.hasJumped, clocksAgree: this.#options.clocksAgree() });
  }

  /**
   * Each doubt once, and its end. A new controller leader hears of all clocks in a moment: only two looks are news. That
   * it is silent is said elsewhere.
   */
  #sayDoubt(): void {
    const { logger } = this.#options;
    const before = this.#doubt;
    const doubt = this.#judgeClock();
    this.#doubt = doubt;
    if (doubt === this.#said || doubt === 'unheard' || (doubt === 'apart' && before !== doubt)) return;
    this.#said = doubt;
    switch (doubt) {
      case undefined:
        return logger.info('retention by time goes on');
      case 'jumped':
        return logger.warn('retention by time pauses: the wall clock jumped', {
          jumpMs: Math.round(this.#wall.jumpMs),
        });
      case 'apart':
        return logger.warn('retention by time pauses: wall clocks of nodes are more than an hour apart');
      default:
        return unreachable(doubt);
    }
  }
}
