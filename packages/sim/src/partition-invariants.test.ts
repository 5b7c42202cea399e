/** Each invariant, broken by hand: replicas that say of themselves what the test wants. */
import { LogKind, offset, partitionIndex, topicId } from '@sluice/base';
import type { LogId, Offset } from '@sluice/base';
import { BatchBuilder, draftOf, unstamped } from '@sluice/record';
import { expect, test } from 'vitest';
import { PartitionInvariants } from './partition-invariants.ts';
import type { ObservedBroker, ObservedHost, ObservedReplica } from './partition-invariants.ts';
import { Violation } from './violation.ts';

const id: LogId = { topicId: topicId('a'.repeat(32)), partition: partitionIndex(0), kind: LogKind.data };
const everybody = [1, 2, 3];

interface Said extends Partial<ObservedReplica> {
  /** The log's end, on disk and in memory. */
  readonly end?: number;
  readonly value?: string;
  /** Of followers, at a leader. */
  readonly counts?: Readonly<Record<number, number>>;
  /** Batches of producers. */
  readonly remembers?: readonly number[];
}

/** A partition of three replicas with `minIsr` 2. */
class Cluster {
  readonly hosts = new Map<number, { id: LogId; replica: ObservedReplica; log: ObservedHost['log'] }>();
  readonly damaged = new Set<number>();
  readonly lastKnownElr: number[] = [];
  readonly lossy: number[] = [];
  durability = 'fsync';
  readonly invariants = new PartitionInvariants({
    hostOf: (node) => this.hosts.get(node),
    isDamaged: (node) => this.damaged.has(node),
    isExcused: (node) => this.damaged.has(node),
    hasTwins: () => false,
  });

  say(node: number, { end, value = 'same', counts = {}, remembers = [], ...said }: Said): void {
    const before = this.hosts.get(node)?.replica;
    const replica: ObservedReplica = {
      role: 'follower',
      leaderEpoch: 1,
      partitionEpoch: 1,
      isr: everybody,
      elr: [],
      maximalIsr: said.role === 'leader' ? (said.isr ?? everybody) : [],
      logStart: 0,
      highWatermark: 0,
      ...said,
      logEnd: said.logEnd ?? end ?? before?.logEnd ?? 0,
      durableEnd: said.durableEnd ?? end ?? before?.durableEnd ?? 0,
      ackEnd: said.ackEnd ?? end ?? before?.ackEnd ?? 0,
      followerProgress: () =>
        Object.entries(counts).map(([id, durableOffset]) => ({ nodeId: Number(id), durableOffset })),
      producerWindows: () => new Set(remembers),
    };
    const known = this.hosts.get(node);
    const log = logWith(value);
    if (known === undefined) this.hosts.set(node, { id, replica, log });
    else {
      Object.assign(known.replica, replica);
      known.log = log;
    }
    this.invariants.afterEvent([this.#broker(node)]);
  }

  /** Its process ended: the next thing it says is said by another one. */
  restart(node: number): void {
    this.hosts.delete(node);
  }

  #broker(node: number): ObservedBroker {
    const host = this.hosts.get(node);
    const { partitionEpoch, isr, elr, leaderEpoch } = host?.replica ?? {};
    const leads = ({ role, leaderEpoch: epoch }: ObservedReplica) => role === 'leader' && epoch === leaderEpoch;
    const leader = [...this.hosts].find(([, { replica }]) => leads(replica))?.[0] ?? null;
    const state = {
      replicas: everybody,
      partitionEpoch,
      leaderEpoch,
      isr,
      elr,
      lastKnownElr: this.lastKnownElr,
      lossy: this.lossy,
      leader,
    };
    const image = {
      topic: () => ({ config: { minIsr: 2, durability: this.durability } }),
      partition: () => state,
    };
    return { node, hosts: host === undefined ? [] : [host], image: image as unknown as ObservedBroker['image'] };
  }
}

function logWith(value: string): ObservedHost['log'] {
  const read = (from: Offset, upTo: Offset) => ({
    kind: 'batches' as const,
    batches: [batchOf(value, upTo - from)],
    bytes: 1,
    endOffset: upTo,
  });
  return { read, tailStart: offset(0), lossy: undefined };
}

function batchOf(value: string, records: number): Uint8Array {
  const builder = new BatchBuilder();
  for (let at = 0; at < records; at += 1)
    builder.append(draftOf({ timestamp: 0, key: null, value: Buffer.from(value), headers: [] }));
  return builder.build(unstamped);
}

/** All have 10 records, which are committed. */
function committed(durability = 'fsync'): Cluster {
  const cluster = new Cluster();
  cluster.durability = durability;
  cluster.say(2, { end: 10 });
  cluster.say(3, { end: 10 });
  cluster.say(1, { role: 'leader', end: 10 });
  cluster.say(1, { role: 'leader', end: 10, highWatermark: 10 });
  return cluster;
}

const broken = (run: () => void): string => {
  try {
    run();
  } catch (error) {
    if (error instanceof Violation) return error.invariant;
    throw error;
  }
  return 'none';
};

test('what is right is not objected to', () => {
  const cluster = committed();
  cluster.say(2, { end: 10, highWatermark: 10 });
  cluster.say(2, { role: 'leader', leaderEpoch: 2, partitionEpoch: 2, isr: [2, 3] });
  expect(cluster.invariants).toMatchObject({ commits: 1, leaderships: 2 });
});

test('PI1: who begins to lead has what was committed', () => {
  const cluster = committed();
  const lead = { role: 'leader', leaderEpoch: 2, isr: [2, 3] } as const;
  expect(broken(() => cluster.say(2, { ...lead, end: 9 }))).toBe('partition-leader-completeness');
});

test('PI1: where durability is replicated, unless nobody who may lead has it', () => {
  const lead = { role: 'leader', leaderEpoch: 2, partitionEpoch: 2, isr: [2, 3], end: 9 } as const;
  const cluster = committed('replicated');
  cluster.restart(2);
  expect(broken(() => cluster.say(2, lead))).toBe('partition-leader-completeness');
  const lost = committed('replicated');
  lost.restart(2);
  lost.restart(3);
  expect(broken(() => lost.say(2, lead))).toBe('none');
});

test('PI2: who is in sync or eligible has on its disk what is committed', () => {
  const cut = committed();
  expect(broken(() => cut.say(3, { end: 9 }))).toBe('candidate-completeness');
  const restarted = committed();
  restarted.restart(3);
  expect(broken(() => restarted.say(3, { logEnd: 10, ackEnd: 10, durableEnd: 9 }))).toBe('candidate-completeness');
  const joined = committed();
  joined.say(1, { role: 'leader', partitionEpoch: 2, isr: [1, 2], highWatermark: 10 });
  joined.say(3, { partitionEpoch: 2, isr: [1, 2], end: 5 });
  const eligible = { partitionEpoch: 3, isr: [1], elr: [2, 3] };
  expect(broken(() => joined.say(2, eligible))).toBe('candidate-completeness');
  const damaged = committed();
  damaged.damaged.add(3);
  expect(broken(() => damaged.say(3, { end: 9 }))).toBe('none');
});

test('PI3: a leader counts whoever may lead next', () => {
  const cluster = committed();
  const leads = { role: 'leader', isr: [1, 2], maximalIsr: [1, 2], highWatermark: 10 } as const;
  cluster.say(1, { ...leads, partitionEpoch: 2 });
  cluster.say(2, { partitionEpoch: 3, isr: everybody });
  expect(broken(() => cluster.say(1, { ...leads, partitionEpoch: 2, end: 11 }))).toBe('maximal-isr');
});

test('PI4: one value at an offset', () => {
  const cluster = committed();
  expect(broken(() => cluster.say(2, { highWatermark: 10, value: 'another' }))).toBe('one-value-an-offset');
});

test('PI5: nothing is committed that an in-sync replica lacks, nor below minIsr', () => {
  const lacking = committed();
  lacking.say(1, { role: 'leader', end: 11, highWatermark: 10 });
  expect(broken(() => lacking.say(1, { role: 'leader', highWatermark: 11 }))).toBe('high-watermark-is-held');
  const alone = committed();
  alone.say(1, { role: 'leader', partitionEpoch: 2, isr: [1], elr: [2, 3], end: 11, highWatermark: 10 });
  const commits = { role: 'leader', partitionEpoch: 2, isr: [1], elr: [2, 3], highWatermark: 11 } as const;
  expect(broken(() => alone.say(1, commits))).toBe('strict-min-isr');
});

test('PI6: an ISR and an ELR that can be', () => {
  for (const wrong of [{ isr: [1, 4] }, { isr: [1], elr: [1] }, { isr: [1, 2], elr: [3] }, { isr: [2, 3] }]) {
    const cluster = committed();
    expect(broken(() => cluster.say(2, { partitionEpoch: 2, ...wrong }))).toBe('valid-isr-and-elr');
  }
});

test('PI7: as many as minIsr are known to be complete, but for those that the run damaged', () => {
  const few = { partitionEpoch: 2, isr: [1], elr: [] };
  const cluster = committed();
  cluster.lastKnownElr.push(2, 3);
  expect(broken(() => cluster.say(2, few))).toBe('recovery-quorum');
  const damaged = committed();
  damaged.lastKnownElr.push(2);
  damaged.damaged.add(2);
  expect(broken(() => damaged.say(2, few))).toBe('none');
  // A read that failed: only its node knows.
  const unread = committed();
  unread.lastKnownElr.push(2);
  unread.lossy.push(2);
  expect(broken(() => unread.say(2, few))).toBe('none');
});

test('PI8: one leader an epoch', () => {
  const cluster = committed();
  expect(broken(() => cluster.say(2, { role: 'leader' }))).toBe('one-leader-an-epoch');
});

test('PI9: nobody takes for committed what no leader has committed', () => {
  const cluster = committed();
  expect(broken(() => cluster.say(2, { end: 11, highWatermark: 11 }))).toBe('known-is-committed');
});

test('PI10: what was durable is there after a restart', () => {
  const cluster = committed();
  cluster.say(2, { logEnd: 13, durableEnd: 12, isr: [1, 3], partitionEpoch: 2 });
  cluster.restart(2);
  expect(broken(() => cluster.say(2, { end: 11, isr: [1, 3], partitionEpoch: 2 }))).toBe('durable-is-kept');
  cluster.restart(2);
  expect(broken(() => cluster.say(2, { end: 12, isr: [1, 3], partitionEpoch: 2 }))).toBe('none');
  cluster.damaged.add(2);
  cluster.restart(2);
  expect(broken(() => cluster.say(2, { end: 0, isr: [1, 3], partitionEpoch: 2 }))).toBe('none');
});

test('PI11: what a leader counts of a follower, that one has', () => {
  const lead = { role: 'leader', leaderEpoch: 2, partitionEpoch: 2, isr: [2, 3], end: 12 } as const;
  expect(broken(() => committed().say(2, { ...lead, counts: { 3: 10 } }))).toBe('none');
  expect(broken(() => committed().say(2, { ...lead, counts: { 3: 11 } }))).toBe('true-of-followers');
  const cut = committed();
  cut.say(3, { end: 12 });
  cut.say(1, { role: 'leader', end: 12, highWatermark: 10, counts: { 3: 12 } });
  expect(broken(() => cut.say(3, { end: 11 }))).toBe('true-of-followers');
  // A leader that was replaced, and that the follower has left.
  const stale = committed();
  stale.say(3, { end: 12 });
  stale.say(3, { leaderEpoch: 2, partitionEpoch: 2, isr: [2, 3], end: 11 });
  stale.restart(1);
  expect(broken(() => stale.say(1, { role: 'leader', end: 12, highWatermark: 10, counts: { 3: 12 } }))).toBe('none');
});

test('PI12: what is remembered of producers lies in the log', () => {
  const cut = committed();
  cut.say(3, { end: 12, remembers: [9, 11] });
  expect(broken(() => cut.say(3, { end: 11, remembers: [9, 11] }))).toBe('producers-of-own-log');
  const restarted = committed();
  restarted.restart(3);
  expect(broken(() => restarted.say(3, { end: 10, remembers: [10] }))).toBe('producers-of-own-log');
});
