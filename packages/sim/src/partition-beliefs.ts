/**
 * What a replica takes for true of disks, of other replicas and of producers, held against what is so. A belief that is
 * wrong does harm only when much else comes together, so it is looked at itself: when one begins to lead, and when a log is
 * seen anew or was cut, which is when beliefs go wrong. Part of `partition-invariants`, which calls it.
 *
 * - PI10 what was durable is there after a restart
 * - PI11 what a leader that is not stale counts of an in-sync or eligible follower, that one has
 * - PI12 what a replica remembers of producers lies in its log: a repetition is answered by it
 */
import type { PartitionTruth } from './partition-truth.ts';
import { mustHold } from './violation.ts';

export interface Believing {
  readonly role: 'leader' | 'follower' | 'idle' | 'failed';
  readonly leaderEpoch: number | undefined;
  readonly logEnd: number;
  /** At a leader: how far each follower has come; empty elsewhere. */
  followerProgress(): readonly { readonly nodeId: number; readonly durableOffset: number }[];
  /** Base offsets of the batches that are remembered; undefined while they are read from the log again. */
  producerWindows(): ReadonlySet<number> | undefined;
}

interface Look {
  readonly node: number;
  readonly truth: PartitionTruth;
  readonly replica: Believing;
}

/** PI10. At the first sight of a life, of a node whose disk nobody damaged; before its end is remembered. */
export function judgeRestart({ node, truth, replica: { logEnd } }: Look): void {
  const durableEnd = truth.lastSeen.get(node)?.end ?? 0;
  const seen = { partition: truth.name, node, logEnd, durableEnd };
  mustHold(logEnd >= durableEnd, 'durable-is-kept', 'a replica restarted without what was durable', seen);
}

/** PI11. `mayLack`: its disk was damaged. */
export function judgeCounted({ node, truth, replica }: Look, mayLack: (node: number) => boolean): void {
  const { role, leaderEpoch } = replica;
  const { members } = truth;
  // Who follows another leader by now is no business of this one.
  if (role !== 'leader' || members === undefined || members.leaderEpoch !== leaderEpoch) return;
  for (const { nodeId: follower, durableOffset } of replica.followerProgress()) {
    // Who is out may be so for what it lost, of which its leader has not heard yet.
    const isMember = members.isr.includes(follower) || members.elr.includes(follower);
    if (!isMember || mayLack(follower)) continue;
    const end = truth.lastSeen.get(follower)?.end ?? 0;
    const seen = { partition: truth.name, leader: node, leaderEpoch, follower, counted: durableOffset, end };
    mustHold(durableOffset <= end, 'true-of-followers', 'a leader counts what a follower does not have', seen);
  }
}

/** PI12. */
export function judgeProducers({ node, truth, replica }: Look): void {
  const { logEnd } = replica;
  for (const base of replica.producerWindows() ?? []) {
    const seen = { partition: truth.name, node, batch: base, logEnd };
    mustHold(base < logEnd, 'producers-of-own-log', 'a replica remembers a batch that its log does not hold', seen);
  }
}
