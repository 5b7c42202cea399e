/**
 * The data beside the metadata in random histories: what each replica holds of each partition, and what was acked. A log is
 * a list of entries, so that two logs of one length are not taken for one log.
 *
 * What was acked is the longest log that was ever committed, and must stay the beginning of whatever is committed after it.
 */
import { invariant } from '@sluice/base';
import type { LeaderEpoch, NodeId } from '@sluice/base';

interface Entry {
  readonly id: number;
  readonly epoch: LeaderEpoch;
}

type Log = readonly Entry[];

export class ModelLogs {
  readonly #logs = new Map<string, Map<NodeId, Log>>();
  readonly #acked = new Map<string, Log>();
  #entries = 0;
  acks = 0;

  /** A leader takes a record. */
  append(key: string, leader: NodeId, epoch: LeaderEpoch): void {
    this.#entries += 1;
    this.#set(key, leader, [...this.#log(key, leader), { id: this.#entries, epoch }]);
  }

  /** A follower comes to hold what its leader holds, and nothing else. */
  copy(key: string, from: NodeId, to: NodeId): void {
    this.#set(key, to, this.#log(key, from));
  }

  isCopy(key: string, from: NodeId, to: NodeId): boolean {
    return this.#log(key, from) === this.#log(key, to);
  }

  /** All that `leader` holds is committed. */
  ack(key: string, leader: NodeId): void {
    const log = this.#log(key, leader);
    const acked = this.#acked.get(key) ?? [];
    const isKept = isPrefix(acked, log) || isPrefix(log, acked);
    invariant(isKept, 'what was acked is not replaced', { key, leader, logs: this.describe(key) });
    if (log.length <= acked.length) return;
    this.#acked.set(key, log);
    this.acks += 1;
  }

  /** How many of the records that were acked it holds. */
  ackedCount(key: string, id: NodeId): number {
    return commonLength(this.#acked.get(key) ?? nothing, this.#log(key, id));
  }

  holdsAcked(key: string, id: NodeId): boolean {
    return this.ackedCount(key, id) === (this.#acked.get(key)?.length ?? 0);
  }

  /** The last of its records is gone. */
  loseLast(key: string, id: NodeId): void {
    this.#set(key, id, this.#log(key, id).slice(0, -1));
  }

  /** Damage: the later half of its records is gone. */
  cut(key: string, id: NodeId): void {
    const log = this.#log(key, id);
    this.#set(key, id, log.slice(0, Math.floor(log.length / 2)));
  }

  /** The directory is another one, or every log in it is cut. */
  lose(id: NodeId, wiped: boolean): void {
    for (const key of this.#logs.keys()) {
      if (wiped) this.#set(key, id, []);
      else this.cut(key, id);
    }
  }

  end(key: string, id: NodeId): { readonly lastEpoch: LeaderEpoch | null; readonly logEnd: number } {
    const log = this.#log(key, id);
    return { lastEpoch: log.at(-1)?.epoch ?? null, logEnd: log.length };
  }

  /** Of what was acked only what all of these hold is asked for from now on. True when that is less than before. */
  forgive(key: string, left: readonly NodeId[]): boolean {
    const acked = this.#acked.get(key) ?? nothing;
    const kept = Math.min(acked.length, ...left.map((id) => this.ackedCount(key, id)));
    if (kept === acked.length) return false;
    this.#acked.set(key, acked.slice(0, kept));
    return true;
  }

  /** For messages of invariants. */
  describe(key: string): unknown {
    const ids = (log: Log): string => log.map(({ id, epoch }) => `${id}@${epoch}`).join(' ');
    const logs = [...(this.#logs.get(key) ?? [])].map(([id, log]) => `${id}: ${ids(log)}`);
    return { acked: ids(this.#acked.get(key) ?? []), logs };
  }

  #log(key: string, id: NodeId): Log {
    return this.#logs.get(key)?.get(id) ?? nothing;
  }

  #set(key: string, id: NodeId, log: Log): void {
    const logs = this.#logs.get(key) ?? new Map<NodeId, Log>();
    this.#logs.set(key, logs.set(id, log.length === 0 ? nothing : log));
  }
}

const nothing: Log = [];

function commonLength(a: Log, b: Log): number {
  const differsAt = a.findIndex((entry, at) => entry.id !== b[at]?.id);
  return differsAt === -1 ? a.length : differsAt;
}

const isPrefix = (a: Log, b: Log): boolean => commonLength(a, b) === a.length;
