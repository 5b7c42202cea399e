/**
 * One replica on this node: the shell of `PartitionReplica`. It owns the replica and its log, parks the callbacks of
 * produce requests, and carries out effects in their order. Called by the broker's services and replication streams.
 *
 * H1. The bytes of a batch are patched once, before the log and anyone else sees them.
 * H2. Until the log is loaded nothing is accepted; of the assignments that arrive meanwhile the last one counts.
 * H3. After `delete` or a disk failure every call is answered at once and changes nothing.
 * H7. The log is given a snapshot of what the replica derived from it, of the very end that both have; also when the host
 *     is closed, since the files of the log are finished after that.
 * H8. A log that is damaged while it is open is cut only once the controller has taken this replica out of the ISR for it
 *     (E6): until then it serves what is intact. Reads that meet damage fail, and the node goes on.
 * H6. What the machine or the log throws stops the node, whoever called: the one may have taken what the other has not.
 */
import { SluiceError, toSluiceError } from '@sluice/base';
import type { Clock, ErrorCode, Halt, LogId, Logger, NodeId, Offset, PartitionEpoch } from '@sluice/base';
import { isComplete } from '@sluice/metadata';
import { encodeSnapshot, PartitionReplica, producerFactsOf } from '@sluice/partition';
import type {
  Acks,
  AssignedEvent,
  BatchFacts,
  FollowerAck,
  IsrProposal,
  LoadedLog,
  LogChange,
  LogScan,
  PartitionConfig,
  PartitionEffects,
  PartitionEvent,
  PartitionRole,
  ProduceReply,
  PushedEvent,
  ReloadProducers,
  ReplicaLiveness,
  ReplicationMessage,
  StartPush,
  TrimReply,
} from '@sluice/partition';
import { type BatchHeader, patchBatch } from '@sluice/record';
import type { LogStore, LossyReport, StateSnapshot } from '@sluice/storage';
import { cutLog } from './cut-log.ts';
import { readLog } from './log-reading.ts';
import type { IsrNews } from './isr-news.ts';
import type { PartitionCounts } from './partition-counts.ts';

/** What a host asks of the rest of the broker. */
export interface HostPorts {
  send(host: PartitionHost, message: ReplicationMessage): void;
  /** The host does not follow anybody any more: it leads, or nobody does. */
  stopFollowing(host: PartitionHost): void;
  startPush(host: PartitionHost, push: StartPush): void;
  stopPush(host: PartitionHost, to: NodeId): void;
  ack(host: PartitionHost, ack: FollowerAck): void;
  proposeIsr(host: PartitionHost, proposal: IsrProposal): void;
  /** Ask the controller to take this replica out of the ISR; answered by `damageReported`. */
  reportDamage(host: PartitionHost): void;
  /** The replica is there, and knows what it was assigned. */
  loaded(host: PartitionHost): void;
}

/** The open log lost something; `since` when the controller knows, from the epoch on at which this replica is out. */
interface Damage {
  readonly since: PartitionEpoch | undefined;
}

export interface PartitionHostOptions {
  readonly self: NodeId;
  readonly id: LogId;
  readonly topicName: string;
  readonly log: LogStore;
  readonly config: PartitionConfig;
  readonly liveness: ReplicaLiveness;
  readonly ports: HostPorts;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly halt: Halt;
  /** Why this node takes no new records now. */
  readonly refusal: () => ErrorCode | undefined;
  readonly counts: PartitionCounts;
  readonly isrNews: IsrNews;
}

/** Something that waits for the log or its readable end to grow: a consumer's subscription or a follower's slot. */
export interface LogWatcher {
  /** So many bytes were appended at a leader. */
  onAppended(bytes: number): void;
  /** The readable end moved. */
  onReadable(): void;
  /** The log starts later: what lay before is gone. */
  onTrimmed(): void;
  /** The replica stopped leading, or is gone: whoever reads here must go elsewhere. */
  onLeadershipEnd(): void;
}

export type AppendOutcome = { readonly baseOffset: Offset } | { readonly error: SluiceError };

export type TrimOutcome = { readonly logStart: Offset } | { readonly error: SluiceError };

export interface TrimRequest {
  /** First offset to keep. */
  readonly before: Offset;
  readonly timeoutMs: number;
  readonly done: (outcome: TrimOutcome) => void;
}

export interface AppendRequest {
  /** Checked, exactly one batch; owned by the log from now on. */
  readonly batch: Uint8Array;
  readonly header: BatchHeader;
  readonly acks: Acks;
  readonly timeoutMs: number;
  readonly done: (outcome: AppendOutcome) => void;
}

/** A pushed element: one or more whole batches whose CRCs were checked. */
export interface PushedBatches {
  readonly bytes: Uint8Array;
  readonly facts: readonly BatchFacts[];
}

const none: readonly PushedBatches[] = [];

export class PartitionHost {
  readonly id: LogId;
  readonly topicName: string;
  readonly log: LogStore;
  readonly #options: PartitionHostOptions;
  // Made when they are needed: most of thousands of partitions have nobody waiting.
  #watchers: Set<LogWatcher> | undefined;
  #parked: Map<number, (outcome: AppendOutcome) => void> | undefined;
  #parkedTrims: Map<number, (outcome: TrimOutcome) => void> | undefined;
  #replica: PartitionReplica | undefined;
  #assignment: AssignedEvent | undefined;
  #requestCount = 0;
  #role: PartitionRole = 'idle';
  /** In-sync replicas that were told of last. */
  #isrCount: number | undefined;
  /** What was lost is cut away, and the controller knows. */
  #isCut = false;
  #damage: Damage | undefined;
  #isReporting = false;
  /** What was known when the last report began. */
  #reportedOn: AssignedEvent | undefined;
  #dead = false;
  #loads = 0;
  /** How often batches were taken off the end of the log, or all of it was given up. */
  #cuts = 0;

  constructor(options: PartitionHostOptions) {
    this.#options = options;
    this.id = options.id;
    this.topicName = options.topicName;
    this.log = options.log;
  }

  /** Goes up when batches go from the end of the log, or all of it: what was found out of them is void. */
  get cuts(): number {
    return this.#cuts;
  }

  /** Undefined until the log is loaded. */
  get replica(): PartitionReplica | undefined {
    return this.#replica;
  }

  /** It has lost something that is not cut away yet. */
  get isDamaged(): boolean {
    return this.#damage !== undefined;
  }

  /** What this log had lost is cut away, as the controller knows: once the replica is in sync again, nothing is missing. */
  get mayHeal(): boolean {
    return this.#isCut && this.#damage === undefined && this.log.lossy !== undefined;
  }

  /** Reads epochs and producers from the log; damage cuts the log back to what is intact, to be refetched. */
  async load(): Promise<void> {
    if (this.#dead) return;
    // Damage that others met may have it begun anew (H8): what the one before reads is of the log before it was cut.
    this.#loads += 1;
    const load = this.#loads;
    const isOver = (): boolean => this.#dead || load !== this.#loads;
    try {
      this.log.onLossy = (report) => this.#onLossy(report);
      const damage = this.log.lossy;
      if (damage?.whileOpen === true && !this.#isCut) return this.#onLossy(damage);
      // By recovery: the registration has said it (E3).
      this.#isCut = damage !== undefined;
      if (damage !== undefined && damage.intactEnd < this.log.endOffset) this.log.truncate(damage.intactEnd);
      const scan = await this.#read();
      if (isOver()) return;
      this.#loaded({
        logStart: this.log.startOffset,
        logEnd: this.log.endOffset,
        highWatermark: undefined,
        epochs: scan.epochs,
        producers: scan.producers(),
        nowMs: this.#options.clock.monotonicMs(),
      });
    } catch (error) {
      // A log that was deleted under the scan has nothing to read; one that is damaged is loaded once it is cut (H8).
      if (!isOver() && this.#damage === undefined) this.#fail(error);
    }
  }

  assigned(event: AssignedEvent): void {
    this.#assignment = event;
    // A position that knows that this replica is out must be of the cut log, and the answer says where that is (H8).
    if (this.#isReporting) return;
    this.#apply(event);
    if (this.#damage !== undefined && this.#damage.since === undefined) this.#report();
  }

  #apply(event: AssignedEvent): void {
    const since = this.#damage?.since;
    if (since === undefined || event.partitionEpoch < since) return this.step(event);
    // Nobody whom the controller takes for complete may be cut (E6).
    if (!isComplete(event, this.#options.self)) return this.#refill(event);
    // The longest log that was left (D17b): it is in again, with all that it has, and whether it may leave is asked anew.
    this.#damage = { since: undefined };
    this.step(event);
    this.#report();
  }

  /** `since`: from this partition epoch on this replica is out of the ISR. Absent: nobody else can lead, so it stays. */
  damageReported(since: PartitionEpoch | undefined): void {
    this.#isReporting = false;
    if (this.#damage === undefined || this.#dead) return;
    this.#damage = { ...this.#damage, since };
    const fields = { topic: this.topicName, partition: this.id.partition, intactEnd: this.log.lossy?.intactEnd };
    if (since === undefined) this.#options.logger.error('damaged log stays: no other replica can lead', fields);
    if (this.#assignment !== undefined) this.#apply(this.#assignment);
    // By what has come meanwhile somebody else may lead.
    if (since === undefined && this.#assignment !== this.#reportedOn) this.#report();
  }

  /** Carries a protocol event into the replica; dropped while the log is loading (H2). */
  step(event: PartitionEvent): void {
    const replica = this.#replica;
    if (replica !== undefined) this.#guard(() => this.#carryOut(replica.step(event), none, undefined));
  }

  append(request: AppendRequest): void {
    const { header, batch, acks, timeoutMs, done } = request;
    const replica = this.#replica;
    if (replica === undefined || this.#dead) return done({ error: this.#error('NOT_LEADER') });
    this.#requestCount += 1;
    const nowMs = this.#options.clock.monotonicMs();
    this.#parked ??= new Map();
    this.#parked.set(this.#requestCount, done);
    this.#guard(() => {
      const effects = replica.step({
        kind: 'append',
        requestId: this.#requestCount,
        recordCount: header.recordCount,
        bytes: header.batchBytes,
        producer: producerFactsOf(header),
        acks,
        refusal: this.#options.refusal(),
        deadlineMs: nowMs + timeoutMs,
        nowMs,
      });
      this.#carryOut(effects, none, batch);
    });
  }

  trim({ before, timeoutMs, done }: TrimRequest): void {
    if (this.#replica === undefined || this.#dead) return done({ error: this.#error('NOT_LEADER') });
    this.#requestCount += 1;
    const nowMs = this.#options.clock.monotonicMs();
    this.#parkedTrims ??= new Map();
    this.#parkedTrims.set(this.#requestCount, done);
    const requestId = this.#requestCount;
    this.step({ kind: 'trimRequest', requestId, before, deadlineMs: nowMs + timeoutMs, nowMs });
  }

  pushed(event: Omit<PushedEvent, 'kind' | 'batches' | 'nowMs'>, batches: readonly PushedBatches[]): void {
    const replica = this.#replica;
    if (replica === undefined) return;
    const facts = batches.length === 1 ? (batches[0]?.facts ?? []) : batches.flatMap((element) => element.facts);
    const nowMs = this.#options.clock.monotonicMs();
    this.#guard(() =>
      this.#carryOut(replica.step({ kind: 'pushed', ...event, batches: facts, nowMs }), batches, undefined),
    );
  }

  watch(watcher: LogWatcher): void {
    this.#watchers ??= new Set();
    this.#watchers.add(watcher);
  }

  unwatch(watcher: LogWatcher): void {
    this.#watchers?.delete(watcher);
  }

  /** The topic is gone: forgets the log. */
  delete(): void {
    this.#end('UNKNOWN_TOPIC');
    this.log.delete();
  }

  /** The node stops: answers what waits. */
  close(): void {
    this.#end('SHUTTING_DOWN');
  }

  /** The table's error with what the caller needs to go on: who leads, and in which epoch. */
  error(code: ErrorCode): SluiceError {
    return this.#error(code);
  }

  #onLossy({ intactEnd, where }: LossyReport): void {
    if (this.#dead) return;
    const { logger } = this.#options;
    logger.error('log damaged', { topic: this.topicName, partition: this.id.partition, intactEnd, where });
    this.#damage = { since: this.#damage?.since };
    if (this.#damage.since === undefined) this.#report();
  }

  #report(): void {
    if (this.#isReporting) return;
    this.#isReporting = true;
    this.#reportedOn = this.#assignment;
    this.#options.ports.reportDamage(this);
  }

  /** Out of the ISR: what is not intact goes, and comes again from the leader. */
  #refill(event: AssignedEvent): void {
    this.#damage = undefined;
    this.#isCut = true;
    if (this.#replica === undefined) {
      void this.load();
      return;
    }
    // As it is now: it may have been cut since the damage was met.
    const { lossy } = this.log;
    this.step(lossy === undefined ? event : { ...event, intactEnd: lossy.intactEnd });
  }

  #guard(run: () => void): void {
    if (this.#dead) return;
    try {
      run();
    } catch (error) {
      this.#fail(error);
    }
  }

  #fail(error: unknown): void {
    const reason = toSluiceError(error);
    this.log.snapshot = undefined;
    this.#end(reason.code);
    this.#options.halt.halt(reason);
  }

  #loaded(loaded: LoadedLog): void {
    const { self, config, liveness, clock } = this.#options;
    const replica = new PartitionReplica({ self, config, liveness, loaded });
    this.#replica = replica;
    this.log.snapshot = () => this.#snapshot();
    this.log.onDurable = (end) =>
      this.step({
        kind: 'durable',
        generation: replica.generation,
        end,
        start: this.log.durableStart,
        nowMs: clock.monotonicMs(),
      });
    if (this.#assignment !== undefined) this.assigned(this.#assignment);
    this.#options.ports.loaded(this);
  }

  #read(): Promise<LogScan> {
    const { config, logger } = this.#options;
    return readLog(this.log, { producerCountMax: config.producerCountMax, logger });
  }

  /** For the journal file that is finished now (H7). */
  #snapshot(): StateSnapshot | undefined {
    const snapshot = this.#replica?.snapshot();
    return snapshot && { offset: snapshot.logEnd, bytes: encodeSnapshot(snapshot) };
  }

  #carryOut(effects: PartitionEffects, pushed: readonly PushedBatches[], batch: Uint8Array | undefined): void {
    const { ports } = this.#options;
    if (effects.log !== undefined) this.#changeLog(effects.log, pushed, batch);
    if (effects.reloadProducers !== undefined) void this.#reloadProducers(effects.reloadProducers);
    if (effects.trimTo !== undefined) this.log.restartAt(effects.trimTo);
    for (const nodeId of effects.stopPush) ports.stopPush(this, nodeId);
    for (const message of effects.sendNow) ports.send(this, message);
    for (const push of effects.startPush) ports.startPush(this, push);
    if (effects.ack !== undefined) ports.ack(this, effects.ack);
    for (const reply of effects.replies) this.#reply(reply);
    for (const reply of effects.trimReplies) this.#replyToTrim(reply);
    if (effects.log?.kind === 'append' && batch !== undefined) this.#tellAppended(batch.byteLength);
    if (effects.readable !== undefined) this.#tell('onReadable');
    if (effects.trimTo !== undefined) this.#tell('onTrimmed');
    if (effects.isrChange !== undefined) ports.proposeIsr(this, effects.isrChange);
    for (const event of effects.trace) this.#trace(event);
    this.#noticeRole();
  }

  #changeLog(change: LogChange, pushed: readonly PushedBatches[], batch: Uint8Array | undefined): void {
    switch (change.kind) {
      case 'append':
        if (batch !== undefined) {
          patchBatch(batch, 0, { baseOffset: change.baseOffset, leaderEpoch: change.leaderEpoch });
          this.log.append(batch, { baseOffset: change.baseOffset, endOffset: change.endOffset });
        } else {
          this.#appendPushed(pushed);
        }
        return;
      case 'truncate':
        this.#cuts += 1;
        cutLog(this.log, change.to);
        return;
      case 'restartAt':
        this.#cuts += 1;
        // Up to its very end a restart would be a trim, which keeps what lies behind it, or what was derived.
        this.log.beginAnew(change.to);
        return;
    }
  }

  /** The machine has seen that they continue the log without a gap. */
  #appendPushed(pushed: readonly PushedBatches[]): void {
    for (const { bytes, facts } of pushed) {
      const [first] = facts;
      const last = facts.at(-1);
      if (first === undefined || last === undefined) continue;
      this.log.append(bytes, { baseOffset: first.baseOffset, endOffset: last.endOffset });
    }
  }

  async #reloadProducers(reload: ReloadProducers): Promise<void> {
    try {
      const scan = await this.#read();
      this.step({ kind: 'producersReloaded', generation: reload.generation, producers: scan.producers() });
    } catch (error) {
      // What was cut away or deleted under the scan was not to be read; a cut asks for a reload of its own.
      // Damage cuts it again (H8).
      const isCurrent = this.#replica?.generation === reload.generation && this.#damage === undefined;
      if (this.#dead || !isCurrent) return;
      // More damage, behind what the log was cut to before and is not whole from yet, is no news to it.
      const { lossy } = this.log;
      if (lossy !== undefined && toSluiceError(error).code === 'STORAGE_FAILED') this.#onLossy(lossy);
      else this.#fail(error);
    }
  }

  #reply(reply: ProduceReply): void {
    const done = this.#parked?.get(reply.requestId);
    this.#parked?.delete(reply.requestId);
    if (done === undefined) return;
    done(reply.error === undefined ? { baseOffset: reply.baseOffset } : { error: this.#error(reply.error) });
  }

  #replyToTrim(reply: TrimReply): void {
    const done = this.#parkedTrims?.get(reply.requestId);
    this.#parkedTrims?.delete(reply.requestId);
    done?.(reply.error === undefined ? { logStart: reply.logStart } : { error: this.#error(reply.error) });
  }

  #tellAppended(bytes: number): void {
    if (this.#watchers === undefined) return;
    for (const watcher of this.#watchers) watcher.onAppended(bytes);
  }

  #tell(event: 'onReadable' | 'onTrimmed' | 'onLeadershipEnd'): void {
    if (this.#watchers === undefined) return;
    for (const watcher of this.#watchers) watcher[event]();
  }

  #noticeRole(): void {
    const before = this.#role;
    this.#role = this.#replica?.role ?? 'idle';
    if (this.#role === before) return;
    if (before === 'leader') this.#tell('onLeadershipEnd');
    if (before === 'follower') this.#options.ports.stopFollowing(this);
  }

  #end(code: ErrorCode): void {
    if (this.#dead) return;
    this.#dead = true;
    this.log.onDurable = undefined;
    this.log.onLossy = undefined;
    const error = new SluiceError(code, { definite: false });
    for (const done of [...(this.#parked?.values() ?? []), ...(this.#parkedTrims?.values() ?? [])]) done({ error });
    this.#parked = undefined;
    this.#parkedTrims = undefined;
    this.#tell('onLeadershipEnd');
    this.#watchers = undefined;
  }

  #error(code: ErrorCode): SluiceError {
    const leader = this.#replica?.leader ?? null;
    const leaderEpoch = this.#replica?.leaderEpoch ?? null;
    return new SluiceError(code, {
      details: { topic: this.topicName, partition: this.id.partition, leader, leaderEpoch },
    });
  }

  #trace(event: PartitionEffects['trace'][number]): void {
    const { logger, counts, isrNews } = this.#options;
    const fields = { topic: this.topicName, partition: this.id.partition, ...event };
    switch (event.kind) {
      case 'isr': {
        const before = this.#isrCount;
        this.#isrCount = event.isr.length;
        // Its leader speaks for the partition; the replicas of a new one are no news.
        if (this.#replica?.role !== 'leader' || event.partitionEpoch === 0) break;
        counts.onIsr(before ?? event.isr.length, event.isr.length);
        return isrNews.tell(fields);
      }
      case 'takenBack':
        return logger.error(
          'committed records are gone: nobody was left who held them all, and who leads has less',
          fields,
        );
      case 'truncated':
      case 'restarted':
        return logger.warn('log cut to match its leader', fields);
      case 'role':
        if (event.role === 'leader') counts.leaderChanges += 1;
        if (event.role !== 'failed') break;
        return logger.error(
          'replica stopped: its log must not be touched, its leader lacks what was committed',
          fields,
        );
      default:
        break;
    }
    logger.debug('partition event', fields);
  }
}
