/**
 * One pass over a history: operations with their outcomes, and for each partition what is known of it. Owns what
 * `check-history` reads; made by it alone.
 */
import type { Failed, HistoryLine, Invoked, PollInvoked, ReplicaHolds, SendInvoked, Succeeded } from './history.ts';

export interface Outcome {
  readonly line: Succeeded | Failed;
  /** Position in the history. */
  readonly at: number;
}

export interface Happened<Line extends Invoked> {
  readonly line: Line;
  readonly at: number;
  outcome: Outcome | undefined;
}

/** One record as somebody saw it: the ack of its send, a poll, or a replica's log. */
export interface Seen {
  readonly offset: number;
  readonly value: string;
  readonly by: HistoryLine;
  /** Of `by` in the history. */
  readonly position: number;
}

export interface PollRead {
  readonly poll: Happened<PollInvoked>;
  readonly answer: Succeeded;
  /** Where its consumer began anew since its last poll; undefined: it went on. */
  readonly assignedOffset: number | undefined;
}

export interface PartitionBook {
  readonly topic: string;
  readonly partition: number;
  readonly seen: Seen[];
  readonly polls: PollRead[];
  readonly finals: PollRead[];
  readonly replicas: ReplicaHolds[];
  /** Records below it are gone on purpose. */
  logStart: number;
  trimAskedBelow: number;
}

export class HistoryBook {
  readonly sends: Happened<SendInvoked>[] = [];
  readonly sendOf = new Map<string, Happened<SendInvoked>>();
  readonly admins = new Map<string, Happened<Extract<Invoked, { action: 'admin' }>>[]>();
  readonly partitions = new Map<string, PartitionBook>();
  readonly faults = new Map<string, number>();
  readonly outcomes = { ok: 0, fail: 0, info: 0 };
  /** Lines that no history of ours has: an answer without a question, a value sent twice. */
  readonly malformed: HistoryLine[] = [];
  readonly #open = new Map<number, Happened<Invoked>>();
  readonly #assigned = new Map<string, number>();

  constructor(lines: Iterable<HistoryLine>) {
    let at = 0;
    for (const line of lines) {
      this.#add(line, at);
      at += 1;
    }
  }

  /** A send whose outcome says where it is. */
  get acked(): readonly (Happened<SendInvoked> & { readonly outcome: Outcome })[] {
    return this.sends.filter((send) => send.outcome?.line.event === 'ok') as (Happened<SendInvoked> & {
      readonly outcome: Outcome;
    })[];
  }

  partition(topic: string, partition: number): PartitionBook {
    const key = partitionKey(topic, partition);
    const known = this.partitions.get(key);
    if (known !== undefined) return known;
    const made = { topic, partition, seen: [], polls: [], finals: [], replicas: [], logStart: 0, trimAskedBelow: 0 };
    this.partitions.set(key, made);
    return made;
  }

  #add(line: HistoryLine, at: number): void {
    switch (line.event) {
      case 'invoke':
        return this.#invoke(line, at);
      case 'ok':
      case 'fail':
      case 'info':
        return this.#complete(line, at);
      case 'assign':
        this.#assigned.set(`${line.client}\n${partitionKey(line.topic, line.partition)}`, line.offset);
        return;
      case 'fault':
        this.faults.set(line.kind, (this.faults.get(line.kind) ?? 0) + 1);
        return;
      case 'replica':
        this.partition(line.topic, line.partition).replicas.push(line);
        return;
      default:
        this.malformed.push(line);
    }
  }

  #invoke(line: Invoked, at: number): void {
    const happened = { line, at, outcome: undefined };
    if (this.#open.has(line.operation)) this.malformed.push(line);
    this.#open.set(line.operation, happened);
    if (line.action === 'send') {
      const send = happened as Happened<SendInvoked>;
      const key = valueKey(line.topic, line.value);
      if (this.sendOf.has(key)) this.malformed.push(line);
      this.sendOf.set(key, send);
      this.sends.push(send);
    } else if (line.action === 'admin') {
      const known = this.admins.get(line.object) ?? [];
      known.push(happened as Happened<Extract<Invoked, { action: 'admin' }>>);
      this.admins.set(line.object, known);
    }
  }

  #complete(line: Succeeded | Failed, at: number): void {
    const happened = this.#open.get(line.operation);
    if (happened === undefined || happened.outcome !== undefined) {
      this.malformed.push(line);
      return;
    }
    happened.outcome = { line, at };
    this.outcomes[line.event] += 1;
    if (line.event !== 'ok') return;
    const { line: invoked } = happened;
    if (invoked.action === 'send') {
      const { topic, value } = invoked;
      if (line.partition === undefined || line.offset === undefined) this.malformed.push(line);
      else this.partition(topic, line.partition).seen.push({ offset: line.offset, value, by: line, position: at });
    } else if (invoked.action === 'poll') this.#read(happened as Happened<PollInvoked>, line, at);
  }

  #read(poll: Happened<PollInvoked>, answer: Succeeded, position: number): void {
    const { client, topic, partition, final } = poll.line;
    const book = this.partition(topic, partition);
    const key = `${client}\n${partitionKey(topic, partition)}`;
    const read = { poll, answer, assignedOffset: this.#assigned.get(key) };
    this.#assigned.delete(key);
    if (final === true) book.finals.push(read);
    else book.polls.push(read);
    book.logStart = Math.max(book.logStart, answer.logStart ?? 0);
    book.trimAskedBelow = Math.max(book.trimAskedBelow, answer.trimAskedBelow ?? 0);
    for (const [index, offset] of (answer.offsets ?? []).entries()) {
      const value = answer.values?.[index];
      if (value === undefined) this.malformed.push(answer);
      else book.seen.push({ offset, value, by: answer, position });
    }
  }
}

export const partitionKey = (topic: string, partition: number): string => `${topic}/${partition}`;
export const valueKey = (topic: string, value: string): string => `${topic}\n${value}`;
