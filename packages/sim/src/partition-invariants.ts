/**
 * What must hold of all partitions of a running cluster, seen from outside after every event (reliability §2.8). Owns what
 * was once seen: leaders of epochs, what was committed, who has to have it. Called by the run of a seed; the same rules
 * are held more closely, message by message, by the random cluster of `partition`.
 *
 * - PI1 leader completeness: who begins to lead has everything that was committed in earlier leader epochs
 * - PI2 leader candidate completeness: who is in the ISR or the ELR ends at or above the true high watermark
 * - PI3 (D14) at a leader that is not stale, with `minIsr` members, the maximal ISR contains the controller's ISR and ELR
 * - PI4 one value an offset: whatever lies below a high watermark is the same on every replica, for ever
 * - PI5 a leader's high watermark is never above what anybody of its maximal ISR answers for
 * - PI6 the ISR and the ELR are valid: replicas, in one of both, the leader in sync, no ELR from `minIsr` members on
 * - PI7 recovery quorum: below `minIsr` in-sync replicas as many are known to be complete, but those that the run damaged
 * - PI8 one leader a leader epoch
 * - PI9 no replica takes for committed what no leader has committed
 * - PI10 to PI12, what a replica believes: see `partition-beliefs`
 *
 * Where durability is `replicated` whoever answers for more than its disk holds may stop with it: there PI2 does not hold,
 * and of PI1 only that nobody leads with less while another candidate is there that has more.
 */
import { logKey, offset as offsetOf } from '@sluice/base';
import type { LogId, NodeId } from '@sluice/base';
import type { MetadataImage } from '@sluice/metadata';
import type { LogStore } from '@sluice/storage';
import { type Believing, judgeCounted, judgeProducers, judgeRestart } from './partition-beliefs.ts';
import { PartitionTruth } from './partition-truth.ts';
import { mustHold } from './violation.ts';

/** What is read of a replica. */
export interface ObservedReplica extends Believing {
  readonly partitionEpoch: number | undefined;
  readonly isr: readonly number[];
  readonly elr: readonly number[];
  readonly maximalIsr: readonly number[];
  readonly logStart: number;
  readonly durableEnd: number;
  readonly ackEnd: number;
  readonly highWatermark: number;
}

export interface ObservedHost {
  readonly id: LogId;
  readonly replica: ObservedReplica | undefined;
  readonly log: Pick<LogStore, 'read' | 'tailStart' | 'lossy'>;
}

/** One live node, as it is after an event. */
export interface ObservedBroker {
  readonly node: number;
  readonly hosts: Iterable<ObservedHost>;
  readonly image: Pick<MetadataImage, 'topic' | 'partition'>;
}

export interface PartitionInvariantsOptions {
  /** Undefined while the node is dead or has none. */
  readonly hostOf: (node: number, id: LogId) => ObservedHost | undefined;
  /** The run wiped or damaged a disk of this node. */
  readonly isDamaged: (node: number) => boolean;
  /** And nothing could have told the node so since. */
  readonly isExcused: (node: number) => boolean;
  /** A node that is not looked at may lead under another one's name, on a copy of its directory. */
  readonly hasTwins: () => boolean;
}

/** Of one host, at the event before. */
interface Known {
  readonly truth: PartitionTruth;
  replica: ObservedReplica;
  role: ObservedReplica['role'];
  leaderEpoch: number | undefined;
  partitionEpoch: number | undefined;
  logEnd: number;
  ackEnd: number;
  highWatermark: number;
}

/** One replica that changed. */
interface Look {
  readonly node: number;
  readonly host: ObservedHost;
  readonly replica: ObservedReplica;
  readonly truth: PartitionTruth;
  readonly minIsr: number;
  readonly isDurable: boolean;
}

const readBytesMax = 64 * 1024;

export class PartitionInvariants {
  readonly #options: PartitionInvariantsOptions;
  readonly #known = new WeakMap<ObservedHost, Known>();
  readonly #truths = new Map<string, PartitionTruth>();
  /** High watermarks that were seen to rise at leaders. */
  commits = 0;
  /** Leaderships that were judged by PI1. */
  leaderships = 0;

  constructor(options: PartitionInvariantsOptions) {
    this.#options = options;
  }

  /** Of those nodes anything may be new. */
  afterEvent(nodes: readonly ObservedBroker[]): void {
    for (const broker of nodes) for (const host of broker.hosts) this.#lookAt(broker, host);
  }

  #lookAt(broker: ObservedBroker, host: ObservedHost): void {
    const { replica } = host;
    if (replica === undefined) return;
    const known = this.#known.get(host);
    if (known !== undefined && !hasChanged(known, replica)) return;
    const truth = known?.truth ?? this.#truthOf(host.id);
    const config = broker.image.topic(host.id.topicId)?.config;
    // The topic is gone: its replicas are about to go.
    if (config === undefined) return;
    const { minIsr, durability } = config;
    const look: Look = { node: broker.node, host, replica, truth, minIsr, isDurable: durability === 'fsync' };
    if (known === undefined) this.#judgeFirstSight(look);
    this.#rememberEnd(look, known);
    const learned = this.#learnMembers(look, broker);
    this.#judgeBeliefs(look, known);
    this.#judgeLeader(look, known);
    if (replica.highWatermark > (known?.highWatermark ?? 0)) {
      this.#judgeKnowledge(look, known);
      this.#judgeRead(look, known?.highWatermark ?? 0);
    }
    if (learned) this.#judgeMembers(look, look.truth.members?.isr ?? []);
    this.#judgeCandidate(look, broker.node);
    this.#known.set(host, knownOf(truth, replica));
  }

  #truthOf(id: LogId): PartitionTruth {
    const key = logKey(id);
    let truth = this.#truths.get(key);
    if (truth === undefined) this.#truths.set(key, (truth = new PartitionTruth(key)));
    return truth;
  }

  #rememberEnd({ node, replica, truth, isDurable }: Look, known: Known | undefined): void {
    const end = isDurable ? replica.durableEnd : replica.ackEnd;
    const before = truth.lastSeen.get(node);
    if (before === undefined) truth.lastSeen.set(node, { end, endBefore: 0 });
    else {
      if (known === undefined || known.replica !== replica) before.endBefore = before.end;
      before.end = end;
    }
  }

  /** PI6, PI7 and PI3, once for each partition epoch. True when it was news. */
  #learnMembers(look: Look, { image }: ObservedBroker): boolean {
    const { replica, truth, minIsr, host } = look;
    const { partitionEpoch, leaderEpoch, isr, elr } = replica;
    if (partitionEpoch === undefined || leaderEpoch === undefined) return false;
    const newest = truth.members;
    if (newest !== undefined && newest.partitionEpoch >= partitionEpoch) return false;
    truth.members = { partitionEpoch, leaderEpoch, isr, elr };
    const state = image.partition(host.id.topicId, host.id.partition);
    if (state === undefined || state.partitionEpoch !== partitionEpoch) return true;
    const { replicas, leader, lastKnownElr, lossy } = state;
    const seen = { partition: truth.name, partitionEpoch, replicas, leader, isr, elr, lastKnownElr, minIsr };
    const isValid =
      [...isr, ...elr].every((id) => replicas.includes(id as NodeId)) &&
      !isr.some((id) => elr.includes(id)) &&
      (leader === null || isr.includes(leader)) &&
      (isr.length < minIsr || elr.length === 0);
    mustHold(isValid, 'valid-isr-and-elr', 'the controller has an ISR and an ELR that cannot be', seen);
    if (!look.isDurable) return true;
    // A disk that failed a read is damaged as well, and only its node knows.
    const damaged = lastKnownElr.filter((id) => lossy.includes(id) || this.#options.isDamaged(id)).length;
    const quorum = Math.min(minIsr, replicas.length);
    const hasQuorum = isr.length + elr.length + damaged >= quorum;
    mustHold(hasQuorum, 'recovery-quorum', 'fewer replicas than minIsr are known to be complete', seen);
    return true;
  }

  /** PI10. */
  #judgeFirstSight(look: Look): void {
    const isDamaged = this.#options.isDamaged(look.node) || look.host.log.lossy !== undefined;
    if (look.isDurable && !isDamaged) judgeRestart(look);
  }

  /** PI11 and PI12, when they may have become wrong. */
  #judgeBeliefs(look: Look, known: Known | undefined): void {
    const { replica, host, isDurable } = look;
    const isCut = known === undefined || replica.logEnd < known.logEnd;
    if (isCut) judgeProducers(look);
    if (!isDurable) return;
    const begins = replica.role === 'leader' && known?.leaderEpoch !== replica.leaderEpoch;
    // One that met damage cuts it away once the controller knows, which its leader may not yet.
    const mayLack = (id: number): boolean =>
      this.#options.isExcused(id) || this.#options.hostOf(id, host.id)?.log.lossy !== undefined;
    if (begins) judgeCounted(look, mayLack);
    const leader = isCut ? look.truth.leaderOf(replica.leaderEpoch) : undefined;
    const leading = leader === undefined ? undefined : this.#options.hostOf(leader, host.id)?.replica;
    if (leader !== undefined && leading !== undefined && leader !== look.node)
      judgeCounted({ node: leader, truth: look.truth, replica: leading }, mayLack);
  }

  #judgeLeader(look: Look, known: Known | undefined): void {
    const { node, replica, truth } = look;
    const { role, leaderEpoch, highWatermark } = replica;
    if (role !== 'leader' || leaderEpoch === undefined) return;
    if (known?.role !== 'leader' || known.leaderEpoch !== leaderEpoch) {
      if (truth.leads(node, leaderEpoch)) this.#judgeNewLeader(look, leaderEpoch);
    }
    this.#judgeSuperset(look, leaderEpoch);
    // Of one that begins to lead this may be its first event: positions that came before their epoch waited for it.
    if (highWatermark <= (known?.highWatermark ?? 0)) return;
    // A new leader knows less at first than was committed; only what it adds is new.
    if (highWatermark > truth.committedBefore(leaderEpoch)) this.#judgeCommit(look, leaderEpoch, known);
  }

  /** PI1. */
  #judgeNewLeader({ node, host, replica, truth, isDurable }: Look, leaderEpoch: number): void {
    this.leaderships += 1;
    const committed = truth.committedBefore(leaderEpoch);
    if (replica.logEnd >= committed) return;
    const seen = { partition: truth.name, node, leaderEpoch, logEnd: replica.logEnd, committed };
    if (isDurable) {
      // It serves what is intact, when nobody else could lead.
      const isKnown = host.log.lossy !== undefined && this.#options.isDamaged(node);
      mustHold(isKnown, 'partition-leader-completeness', 'a replica leads without what was committed', seen);
      return;
    }
    const others = [...replica.isr, ...replica.elr].filter((id) => id !== node);
    const having = others.filter((id) => (this.#options.hostOf(id, host.id)?.replica?.ackEnd ?? 0) >= committed);
    const text = 'a replica leads without what was committed, and another candidate has it';
    mustHold(having.length === 0, 'partition-leader-completeness', text, { ...seen, having });
    truth.lost(replica.logEnd);
  }

  /** PI3. */
  #judgeSuperset({ node, replica, truth, minIsr }: Look, leaderEpoch: number): void {
    const { members } = truth;
    if (members?.leaderEpoch !== leaderEpoch || replica.isr.length < minIsr) return;
    const { maximalIsr, isr } = replica;
    const missing = [...members.isr, ...members.elr].filter((id) => !maximalIsr.includes(id));
    const seen = { partition: truth.name, node, isr, maximalIsr, members, minIsr };
    mustHold(missing.length === 0, 'maximal-isr', 'a leader does not count who may lead next', seen);
  }

  /** PI5, and with what is now committed PI2. */
  #judgeCommit(look: Look, leaderEpoch: number, known: Known | undefined): void {
    const { node, replica, truth } = look;
    const { highWatermark, maximalIsr } = replica;
    this.commits += 1;
    const { members } = truth;
    // This leader may not have heard of it yet: who left as damaged may have cut what it had acked.
    const hasLeft = (id: number): boolean => members !== undefined && ![...members.isr, ...members.elr].includes(id);
    for (const id of maximalIsr) {
      if (this.#options.isExcused(id) || hasLeft(id)) continue;
      const last = truth.lastSeen.get(id);
      const end = Math.max(last?.end ?? 0, last?.endBefore ?? 0);
      const seen = { partition: truth.name, leader: node, leaderEpoch, highWatermark, replica: id, end, maximalIsr };
      mustHold(end >= highWatermark, 'high-watermark-is-held', 'an in-sync replica lacks what is committed', seen);
    }
    const { isr, partitionEpoch } = replica;
    const seen = { partition: truth.name, leader: node, leaderEpoch, highWatermark, isr, minIsr: look.minIsr };
    // Of an event that brought acks and metadata nobody knows here which came first.
    const isBelow = isr.length < look.minIsr && partitionEpoch === known?.partitionEpoch;
    mustHold(!isBelow, 'strict-min-isr', 'something is committed below minIsr', seen);
    truth.commits(leaderEpoch, highWatermark);
    this.#judgeMembers(look, truth.members?.isr ?? []);
  }

  /** PI2 of all members: the ISR, and who is eligible beside it. */
  #judgeMembers(look: Look, isr: readonly number[]): void {
    for (const id of isr) this.#judgeCandidate(look, id);
    for (const id of look.truth.members?.elr ?? []) this.#judgeCandidate(look, id);
  }

  /** PI2. */
  #judgeCandidate({ truth, host: { id }, isDurable }: Look, node: number): void {
    const { members, committedEnd } = truth;
    if (!isDurable || members === undefined || this.#options.isExcused(node)) return;
    if (!members.isr.includes(node) && !members.elr.includes(node)) return;
    const host = this.#options.hostOf(node, id);
    // Dead, or its log is not read yet: what it has is on its disk, and is looked at when it comes.
    if (host?.replica === undefined || (host.log.lossy !== undefined && this.#options.isDamaged(node))) return;
    const { logEnd, durableEnd } = host.replica;
    const seen = { partition: truth.name, node, logEnd, durableEnd, committedEnd, members };
    const isComplete = logEnd >= committedEnd && durableEnd >= committedEnd;
    mustHold(isComplete, 'candidate-completeness', 'a replica that may lead lacks what was committed', seen);
  }

  /** PI9. */
  #judgeKnowledge({ node, replica, truth, isDurable }: Look, known: Known | undefined): void {
    const { highWatermark, role } = replica;
    if (!isDurable || this.#options.hasTwins()) return;
    // What it committed in the event that took its leadership: others are held to that from now on.
    const ledIn = known === undefined ? undefined : mayHaveLed(known, replica);
    if (ledIn !== undefined) truth.commits(ledIn, highWatermark);
    const seen = { partition: truth.name, node, role, highWatermark, committedEnd: truth.committedEnd };
    const isTrue = highWatermark <= truth.committedEnd;
    mustHold(isTrue, 'known-is-committed', 'a replica takes for committed what is not', seen);
  }

  /** PI4, of what is in memory: a read of the disk would be an event of its own. */
  #judgeRead({ node, host, replica, truth }: Look, before: number): void {
    const { log } = host;
    if (log.lossy !== undefined) return;
    let from = Math.max(before, replica.logStart, log.tailStart);
    while (from < replica.highWatermark) {
      const read = log.read(offsetOf(from), offsetOf(replica.highWatermark), readBytesMax);
      if (read instanceof Promise || read.kind !== 'batches' || read.batches.length === 0) return;
      truth.holds(node, read.batches);
      from = read.endOffset;
    }
  }
}

/** The epoch of a leadership that ended in this event, also of one that began in it: a node may learn of several at once. */
function mayHaveLed({ role, leaderEpoch = 0 }: Known, now: ObservedReplica): number | undefined {
  if (role === 'leader') return leaderEpoch;
  return now.leaderEpoch !== undefined && now.leaderEpoch > leaderEpoch + 1 ? now.leaderEpoch - 1 : undefined;
}

function hasChanged(known: Known, replica: ObservedReplica): boolean {
  return (
    known.replica !== replica ||
    known.logEnd !== replica.logEnd ||
    known.ackEnd !== replica.ackEnd ||
    known.highWatermark !== replica.highWatermark ||
    known.partitionEpoch !== replica.partitionEpoch ||
    known.leaderEpoch !== replica.leaderEpoch ||
    known.role !== replica.role
  );
}

function knownOf(truth: PartitionTruth, replica: ObservedReplica): Known {
  const { role, leaderEpoch, partitionEpoch, logEnd, ackEnd, highWatermark } = replica;
  return { truth, replica, role, leaderEpoch, partitionEpoch, logEnd, ackEnd, highWatermark };
}
