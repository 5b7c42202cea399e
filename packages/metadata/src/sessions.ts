/**
 * The controller leader's book of broker sessions: who was heard of, when, and with what to say. It is volatile and
 * belongs to one leadership: a new leader starts with everybody fresh, because what the old one heard is not known (B5).
 * Nothing here is needed for safety: a node that is judged wrongly is fenced by its epochs and comes back.
 *
 * B1. A session belongs to one broker epoch; what an older epoch says is ignored.
 * B2. Silence counts only while the judge itself was awake: when `judge` is called later than it should be, heartbeats
 *     may lie unread in its sockets, and the delay is taken off everybody's silence.
 * B3. A stream that the other kernel closed with nobody listening behind it is a crash, whatever the judge's delay.
 * B4. Clocks agree only when every session has told its wall clock to this leader: one that has not may be any time off.
 * B5. The leader before was heard by Raft, and its silence led to this leadership: its session goes on from where it was
 *     heard last. A node that led both is missed once, not twice.
 * B6. A node's disk hangs when its oldest write is older than `diskStallMs`, until a heartbeat tells of half of that or
 *     less: a disk at the limit does not move leaders to and fro.
 */
import { clockDisagreementMsMax, logIndex } from '@sluice/base';
import type { BrokerEpoch, LogIndex, NodeId, ProbeResult } from '@sluice/base';
import type { MetadataImage } from './image.ts';
import type { NodeIdentity } from './requests.ts';

export interface SessionOptions {
  /** Silence after which a session is over. */
  readonly sessionTimeoutMs: number;
  /** How often the shell calls `judge`. */
  readonly judgeIntervalMs: number;
  /** Age of a write from which on a disk hangs. */
  readonly diskStallMs: number;
}

export interface Heartbeat {
  /** Age of the node's oldest write that is not synced yet; 0 when there is none. */
  readonly oldestUnsyncedMs: number;
  /** How far the node has applied the metadata log. */
  readonly metadataIndex: LogIndex;
  /** The node's wall clock when it sent this; undefined for one that this leader has not heard. */
  readonly wallMs: number | undefined;
}

/** Why a session is over: what a probe said of a process that closed its stream (B3), or nothing was heard. */
export type SessionLoss = Exclude<ProbeResult, 'open'> | 'silence';

/** A node that was heard otherwise than by heartbeats. */
export interface HeardNode {
  readonly nodeId: NodeId;
  /** By the judge's monotonic clock. */
  readonly atMs: number;
}

export interface Session extends Heartbeat {
  readonly nodeId: NodeId;
  readonly brokerEpoch: BrokerEpoch;
  /** By the judge's monotonic clock, moved forward by its own delays (B2). */
  readonly lastSeenMs: number;
  /** The process is gone, as a probe told (B3). */
  readonly gone: Exclude<ProbeResult, 'open'> | undefined;
  /** B6 */
  readonly stalled: boolean;
  /** How far its wall clock is ahead of the judge's monotonic clock: only the difference to others' means something. */
  readonly clockOffsetMs: number | undefined;
}

export class SessionBook {
  readonly #options: SessionOptions;
  readonly #sessions = new Map<NodeId, Session>();
  #judgedMs: number;

  /** Opened at the moment of becoming leader; `former` is the node that led before (B5). */
  constructor(image: MetadataImage, nowMs: number, options: SessionOptions, former?: HeardNode) {
    this.#options = options;
    this.#judgedMs = nowMs;
    for (const { nodeId, brokerEpoch, state, stalled } of image.nodes.values()) {
      if (state === 'fenced') continue;
      const heard = { oldestUnsyncedMs: 0, metadataIndex: logIndex(0), wallMs: undefined, clockOffsetMs: undefined };
      const lastSeenMs = former?.nodeId === nodeId ? Math.min(nowMs, former.atMs) : nowMs;
      this.#sessions.set(nodeId, { nodeId, brokerEpoch, ...heard, lastSeenMs, gone: undefined, stalled });
    }
  }

  session(nodeId: NodeId): Session | undefined {
    return this.#sessions.get(nodeId);
  }

  /** A heartbeat arrived; it also revives a session that a probe had declared dead. */
  touch(node: NodeIdentity, nowMs: number, heartbeat: Heartbeat): void {
    const { nodeId, brokerEpoch } = node;
    const known = this.#sessions.get(nodeId);
    if (known !== undefined && known.brokerEpoch > brokerEpoch) return;
    const { wallMs, oldestUnsyncedMs } = heartbeat;
    const { diskStallMs } = this.#options;
    const wasStalled = known?.brokerEpoch === brokerEpoch && known.stalled;
    this.#sessions.set(nodeId, {
      nodeId,
      brokerEpoch,
      ...heartbeat,
      lastSeenMs: nowMs,
      gone: undefined,
      stalled: oldestUnsyncedMs > (wasStalled ? diskStallMs / 2 : diskStallMs),
      clockOffsetMs: wallMs === undefined ? undefined : wallMs - nowMs,
    });
  }

  /** The node's stream was closed and its address probed: an open port means that the process may live (B3). */
  streamClosed({ nodeId, brokerEpoch }: NodeIdentity, probe: ProbeResult): void {
    const known = this.#sessions.get(nodeId);
    if (known?.brokerEpoch !== brokerEpoch || probe === 'open') return;
    this.#sessions.set(nodeId, { ...known, gone: probe });
  }

  /** The wall clocks of all nodes with a session lie within an hour of each other (B4). */
  get clocksAgree(): boolean {
    let [least, most] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
    for (const { clockOffsetMs } of this.#sessions.values()) {
      if (clockOffsetMs === undefined) return false;
      least = Math.min(least, clockOffsetMs);
      most = Math.max(most, clockOffsetMs);
    }
    return most - least <= clockDisagreementMsMax;
  }

  /** The session is over and its fencing committed, or the node registered anew. */
  forget({ nodeId, brokerEpoch }: NodeIdentity): void {
    if (this.#sessions.get(nodeId)?.brokerEpoch === brokerEpoch) this.#sessions.delete(nodeId);
  }

  /** True while this life of the node is heard of (D18). */
  isLive({ nodeId, brokerEpoch }: NodeIdentity, nowMs: number): boolean {
    const session = this.#sessions.get(nodeId);
    return session?.brokerEpoch === brokerEpoch && !this.#isOver(session, nowMs);
  }

  /**
   * The sessions that are over, all in one list so that they are fenced together. To be called every
   * `judgeIntervalMs`; a later call first forgives everybody the time that the judge itself was away (B2).
   */
  judge(nowMs: number): readonly NodeIdentity[] {
    const delayMs = nowMs - this.#judgedMs - this.#options.judgeIntervalMs;
    this.#judgedMs = nowMs;
    if (delayMs > 0) this.forgive(delayMs, nowMs);
    return this.over(nowMs);
  }

  /** The sessions that are over now. */
  over(nowMs: number): readonly NodeIdentity[] {
    return [...this.#sessions.values()]
      .filter((session) => this.#isOver(session, nowMs))
      .map(({ nodeId, brokerEpoch }) => ({ nodeId, brokerEpoch }));
  }

  /** Of a session that is over. */
  lossOf({ nodeId }: NodeIdentity): SessionLoss {
    return this.#sessions.get(nodeId)?.gone ?? 'silence';
  }

  #isOver(session: Session, nowMs: number): boolean {
    return session.gone !== undefined || nowMs - session.lastSeenMs > this.#options.sessionTimeoutMs;
  }

  /** Takes a time in which the judge could not hear anybody off everybody's silence (B2). */
  forgive(delayMs: number, nowMs: number): void {
    for (const [id, session] of this.#sessions) {
      this.#sessions.set(id, { ...session, lastSeenMs: Math.min(nowMs, session.lastSeenMs + delayMs) });
    }
  }
}
