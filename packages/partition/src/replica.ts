/**
 * One replica of one partition at one node: state and dispatch. Each protocol phase has its own file.
 *
 * The shell owns the bytes, the log, the streams and the timers; it steps one event at a time and carries out the
 * effects before the next. No event throws but by a broken invariant (`InvariantError`), which stops the process.
 */
import { invariant, sessionNumber, unreachable } from '@sluice/base';
import type { BrokerEpoch, ErrorCode, LeaderEpoch, NodeId, Offset, PartitionEpoch } from '@sluice/base';
import { ackDurable } from './ack-end.ts';
import type { PartitionConfig, ReplicaLiveness } from './config.ts';
import { EarlyPositions } from './early-positions.ts';
import { EffectsDraft } from './effects-draft.ts';
import type { PartitionEffects, PartitionRole } from './effects.ts';
import { EpochCache } from './epoch-cache.ts';
import type { DurableEvent, LoadedLog, PartitionEvent, ProducersReloadedEvent, TickEvent } from './events.ts';
import { lagMs, noteLags } from './follower-lag.ts';
import { onDiverged, onPositionRefused, onPushed, sendAck, statePosition } from './follower.ts';
import { knowsCommittedEnd, maybeAdvanceHighWatermark, onLeaderAck } from './high-watermark.ts';
import { maybeRetryProposal, onIsrChangeResult } from './isr-proposal.ts';
import { maximalIsr, maybeExpandAny, maybeShrink } from './isr.ts';
import { enoughReplicas, expireWaiting, onAppend } from './leader-append.ts';
import { onFollowerAck, onFollowerGone, onFollowerPosition } from './leader-replication.ts';
import { onAssigned, onMetadataAtLeader } from './leadership.ts';
import { ProducerStates } from './producer-state.ts';
import { assertPositions, larger } from './replica-state.ts';
import type { ReplicaState } from './replica-state.ts';
import type { ReplicaSnapshot } from './state-snapshot.ts';
import { maybeAnswerTrims, onTrim, onTrimRequest, removableEnd } from './trim.ts';
import { Unsynced } from './unsynced.ts';

export interface PartitionReplicaOptions {
  readonly self: NodeId;
  readonly config: PartitionConfig;
  readonly liveness: ReplicaLiveness;
  readonly loaded: LoadedLog;
}

/** An offset, or why it cannot be told now. */
export type OffsetAnswer = { readonly offset: Offset; readonly error?: undefined } | { readonly error: ErrorCode };

/** How far a follower has come, at the leader. */
export interface FollowerProgress {
  readonly nodeId: NodeId;
  readonly brokerEpoch: BrokerEpoch;
  readonly durableOffset: Offset;
  /** How long its durable end has not been at the log's end; 0 when it is. */
  readonly lagMs: number;
}

export class PartitionReplica {
  readonly #state: ReplicaState;

  constructor(options: PartitionReplicaOptions) {
    const { self, config, liveness, loaded } = options;
    const producers = new ProducerStates(config.producerCountMax);
    for (const snapshot of loaded.producers) producers.load(snapshot, loaded.logEnd, loaded.nowMs);
    this.#state = {
      self,
      config,
      liveness,
      epochs: new EpochCache(loaded.epochs),
      producers,
      holders: new Map(),
      unsynced: new Unsynced(),
      earlyPositions: new EarlyPositions(),
      logStart: loaded.logStart,
      logEnd: loaded.logEnd,
      durableStart: loaded.logStart,
      durableEnd: loaded.logEnd,
      ackEnd: loaded.logEnd,
      highWatermark: loaded.highWatermark ?? loaded.logStart,
      generation: 0,
      nowMs: loaded.nowMs,
      assignment: undefined,
      role: { kind: 'idle' },
      lastSession: sessionNumber(0),
      ledEpoch: undefined,
      agreedEpoch: loaded.epochs.at(-1)?.epoch,
    };
    // The first batch may begin before the log.
    this.#state.epochs.trimTo(loaded.logStart);
    assertPositions(this.#state);
  }

  step(event: PartitionEvent): PartitionEffects {
    const fx = new EffectsDraft();
    if ('nowMs' in event) this.#state.nowMs = Math.max(this.#state.nowMs, event.nowMs);
    this.#dispatch(event, fx);
    assertPositions(this.#state);
    return fx;
  }

  #dispatch(event: PartitionEvent, fx: EffectsDraft): void {
    const state = this.#state;
    switch (event.kind) {
      case 'assigned':
        return onAssigned(state, event, fx);
      case 'append':
        return onAppend(state, event, fx);
      case 'durable':
        return onDurable(state, event, fx);
      case 'followerPosition':
        return onFollowerPosition(state, event, fx);
      case 'followerAck':
        return onFollowerAck(state, event, fx);
      case 'followerGone':
        return onFollowerGone(state, event, fx);
      case 'tick':
        return onTick(state, event, fx);
      case 'isrChangeResult':
        if (state.role.kind !== 'leader') return fx.dropped('isrChangeResult', 'not the leader');
        if (onIsrChangeResult(state, state.role, event, fx) === 'applied') onMetadataAtLeader(state, state.role, fx);
        return undefined;
      case 'pushed':
        return onPushed(state, event, fx);
      case 'diverged':
        return onDiverged(state, event, fx);
      case 'positionRefused':
        return onPositionRefused(state, event, fx);
      case 'restate':
        return state.role.kind === 'follower' ? statePosition(state, state.role, fx) : undefined;
      case 'producersReloaded':
        return onProducersReloaded(state, event, fx);
      case 'trim':
        return onTrim(state, event, fx);
      case 'trimRequest':
        return onTrimRequest(state, event, fx);
      default:
        return unreachable(event);
    }
  }

  get role(): PartitionRole {
    return this.#state.role.kind;
  }

  /** Why this replica stopped, until there is another leader epoch or its process ends; undefined while it works. */
  get failure(): string | undefined {
    const { role } = this.#state;
    return role.kind === 'failed' ? role.reason : undefined;
  }

  get leader(): NodeId | undefined {
    return this.#state.assignment?.leader;
  }

  get leaderEpoch(): LeaderEpoch | undefined {
    return this.#state.assignment?.leaderEpoch;
  }

  get partitionEpoch(): PartitionEpoch | undefined {
    return this.#state.assignment?.partitionEpoch;
  }

  /** As committed by the controller. */
  get isr(): readonly NodeId[] {
    return this.#state.assignment?.isr ?? [];
  }

  /** Who left the ISR below `minIsr` and may still lead, as committed by the controller. */
  get elr(): readonly NodeId[] {
    return this.#state.assignment?.elr ?? [];
  }

  /** At a leader: who counts for the high watermark, the members of a proposed ISR among them. Empty elsewhere. */
  get maximalIsr(): readonly NodeId[] {
    const { role } = this.#state;
    return role.kind === 'leader' ? maximalIsr(this.#state, role) : [];
  }

  get logStart(): Offset {
    return this.#state.logStart;
  }

  get logEnd(): Offset {
    return this.#state.logEnd;
  }

  /** Leader epoch of the last batch, also when that was trimmed away; undefined when there never was one. */
  get lastEpoch(): LeaderEpoch | undefined {
    const { epochs, logStart, logEnd } = this.#state;
    if (logStart === logEnd) return epochs.latest;
    // One that is led and has no batch yet is not in the log.
    return epochs.entries.findLast(({ startOffset }) => startOffset < logEnd)?.epoch;
  }

  get durableEnd(): Offset {
    return this.#state.durableEnd;
  }

  get highWatermark(): Offset {
    return this.#state.highWatermark;
  }

  /** What readers may see ends here; the high watermark today. */
  get readableEnd(): Offset {
    return this.#state.highWatermark;
  }

  /** Goes up whenever bytes leave the log; the shell copies it when it submits a write. */
  get generation(): number {
    return this.#state.generation;
  }

  /** What this replica answers for: as durable, or as held in memory where durability is `replicated`. */
  get ackEnd(): Offset {
    return this.#state.ackEnd;
  }

  /** Produce requests that wait for the high watermark or for this replica. */
  get parkedCount(): number {
    const { role } = this.#state;
    return role.kind === 'leader' ? role.awaitingCommit.count + role.awaitingLeader.count : 0;
  }

  /** At a leader, for metrics; empty elsewhere. */
  followerProgress(): readonly FollowerProgress[] {
    const state = this.#state;
    const { role } = state;
    if (role.kind !== 'leader') return [];
    return [...role.followers].map(([nodeId, follower]) => ({
      nodeId,
      brokerEpoch: follower.brokerEpoch,
      durableOffset: follower.durable,
      lagMs: lagMs(state, role, follower),
    }));
  }

  /** The offset that the next committed record gets. Errors: NOT_LEADER; OFFSET_NOT_AVAILABLE (D4). */
  latestOffset(): OffsetAnswer {
    const { role, highWatermark } = this.#state;
    if (role.kind !== 'leader') return { error: 'NOT_LEADER' };
    return knowsCommittedEnd(this.#state, role) ? { offset: highWatermark } : { error: 'OFFSET_NOT_AVAILABLE' };
  }

  /** Undefined when a reader may read or wait at `from`. Errors: NOT_LEADER, OFFSET_OUT_OF_RANGE, OFFSET_NOT_AVAILABLE. */
  readError(from: Offset): ErrorCode | undefined {
    const { role, logStart, highWatermark, logEnd } = this.#state;
    if (role.kind !== 'leader') return 'NOT_LEADER';
    if (from < logStart) return 'OFFSET_OUT_OF_RANGE';
    if (from <= highWatermark) return undefined;
    // A new leader's high watermark lags behind what was readable at the old one (D4).
    if (!knowsCommittedEnd(this.#state, role)) return 'OFFSET_NOT_AVAILABLE';
    return from <= logEnd ? undefined : 'OFFSET_OUT_OF_RANGE';
  }

  /** Why an append would be refused now, whoever sent it; undefined when it would be taken. */
  appendError(nowMs: number): ErrorCode | undefined {
    const { role, producers } = this.#state;
    if (role.kind !== 'leader') return 'NOT_LEADER';
    if (producers.reloadNeeded) return 'LEADER_NOT_AVAILABLE';
    return enoughReplicas(this.#state, nowMs) ? undefined : 'NOT_ENOUGH_REPLICAS';
  }

  /**
   * What is derived from the log up to its end, to go on from after a restart; undefined while a truncation left producers
   * to be read again.
   */
  snapshot(): ReplicaSnapshot | undefined {
    const { producers, epochs, logEnd, nowMs } = this.#state;
    if (producers.reloadNeeded) return undefined;
    // An epoch that is led and has no batch is not in the log.
    const entered = epochs.entries.filter(({ startOffset }) => startOffset < logEnd);
    return { logEnd, epochs: entered, producers: producers.snapshots(nowMs) };
  }

  /** Retention may remove nothing at or above it. */
  get removableEnd(): Offset {
    return removableEnd(this.#state);
  }

  /**
   * Base offsets of the batches that the producers' windows hold: a repetition is told by their headers. Undefined while
   * windows wait to be reloaded.
   */
  producerWindows(): ReadonlySet<Offset> | undefined {
    const { producers } = this.#state;
    return producers.reloadNeeded ? undefined : producers.windowOffsets();
  }

  /** `name` needs what is at or above `from`; replaces its earlier claim. */
  registerHolder(name: string, from: Offset): void {
    this.#state.holders.set(name, from);
  }

  releaseHolder(name: string): void {
    this.#state.holders.delete(name);
  }
}

function onDurable(state: ReplicaState, event: DurableEvent, fx: EffectsDraft): void {
  // ABA: a completion from before a truncation speaks of bytes that are no longer those at these offsets.
  if (event.generation < state.generation) return fx.dropped('durable', 'another generation of the log');
  invariant(event.end <= state.logEnd, 'T1: nothing past the end of the log is durable', {
    end: event.end,
    logEnd: state.logEnd,
  });
  if (event.end <= state.durableEnd && event.start <= state.durableStart) return;
  state.durableEnd = larger(state.durableEnd, event.end);
  state.durableStart = larger(state.durableStart, event.start);
  ackDurable(state);
  const { role } = state;
  if (role.kind === 'follower') sendAck(state, role, fx);
  if (role.kind !== 'leader') return;
  onLeaderAck(state, role, fx);
  maybeAnswerTrims(state, role, fx);
}

function onTick(state: ReplicaState, event: TickEvent, fx: EffectsDraft): void {
  const { role } = state;
  state.producers.expire(event.nowMs - state.config.producerExpiryMs);
  if (role.kind === 'follower' && role.phase === 'refused') statePosition(state, role, fx);
  if (role.kind !== 'leader') return;
  const sinceTickMs = event.nowMs - role.lastTickMs;
  role.lastTickMs = event.nowMs;
  if (sinceTickMs > state.config.replicaLagMsMax / 2) {
    // This node stood still itself; acks may lie unread, so the followers are judged from now on only.
    role.judgedFromMs = event.nowMs;
    fx.note({ kind: 'stalled', stalledMs: sinceTickMs });
  } else {
    noteLags(state, role, sinceTickMs);
  }
  role.marks.note(event.nowMs, state.logEnd);
  expireWaiting(role, event.nowMs, fx);
  maybeRetryProposal(state, role, fx);
  maybeShrink(state, role, fx);
  maybeExpandAny(state, role, fx);
  // A joiner that stopped keeping up is no longer waited for.
  maybeAdvanceHighWatermark(state, role, fx);
  maybeAnswerTrims(state, role, fx);
}

function onProducersReloaded(state: ReplicaState, event: ProducersReloadedEvent, fx: EffectsDraft): void {
  if (event.generation < state.generation) return fx.dropped('producersReloaded', 'another generation of the log');
  state.producers.reload(event.producers, state.logEnd, state.nowMs);
  if (state.role.kind === 'follower' && state.role.phase === 'reloading') statePosition(state, state.role, fx);
}
