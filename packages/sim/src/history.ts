/**
 * What happened in a run, as JSON lines in the order of their times: what clients asked and were answered, which faults
 * came, and what every replica held in the end. Written by simulated and by real clusters alike, judged by
 * `check-history`.
 *
 * H1. An operation without an answer, and one answered `info`, may or may not have had its effect, then or later. An
 *     error that is not definite is never written as `fail`.
 * H2. A value is sent once by the workload; whoever sends it again is the client library.
 * H3. `client` is one session: a producer that was made anew, and a consumer that was, have new names.
 */
interface At {
  /** Of one clock for all lines; monotonic. */
  readonly atMs: number;
}

export interface SendInvoked extends At {
  readonly event: 'invoke';
  readonly action: 'send';
  readonly operation: number;
  readonly client: string;
  readonly topic: string;
  readonly value: string;
}

export interface PollInvoked extends At {
  readonly event: 'invoke';
  readonly action: 'poll';
  readonly operation: number;
  readonly client: string;
  readonly topic: string;
  readonly partition: number;
  /** Reads everything that there is, from the start of the log, when no more is written. */
  readonly final?: true;
}

/** A request of the controller, judged by the model of its object. */
export interface AdminInvoked extends At {
  readonly event: 'invoke';
  readonly action: 'admin';
  readonly operation: number;
  readonly client: string;
  /** `topic/NAME` or `producer-ids`; see `controller-model`. */
  readonly object: string;
  readonly request: string;
}

export type Invoked = SendInvoked | PollInvoked | AdminInvoked;

/** Of a send: its place. Of a poll: what was read, in the order of reading. Of an admin request: its answer. */
export interface Succeeded extends At {
  readonly event: 'ok';
  readonly operation: number;
  readonly partition?: number;
  readonly offset?: number;
  readonly offsets?: readonly number[];
  readonly values?: readonly string[];
  /** Of a poll: records below are gone on purpose. */
  readonly logStart?: number;
  /** Of a final poll: records below may be gone from some replicas, by a request to trim that was perhaps not answered. */
  readonly trimAskedBelow?: number;
  readonly answer?: string;
}

/** `fail`: it had no effect and never will. `info`: nobody knows (H1). */
export interface Failed extends At {
  readonly event: 'fail' | 'info';
  readonly operation: number;
  readonly code: string;
}

/** A consumer begins, or begins anew, at an offset: what it reads next need not follow what it read before. */
export interface Assigned extends At {
  readonly event: 'assign';
  readonly client: string;
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
}

export interface FaultHappened extends At {
  readonly event: 'fault';
  readonly kind: string;
  readonly target: string;
}

/** What one replica's log holds below the high watermark, at the end of the run. */
export interface ReplicaHolds extends At {
  readonly event: 'replica';
  readonly node: number;
  readonly topic: string;
  readonly partition: number;
  readonly offsets: readonly number[];
  readonly values: readonly string[];
}

export type HistoryLine = Invoked | Succeeded | Failed | Assigned | FaultHappened | ReplicaHolds;

const events = new Set(['invoke', 'ok', 'fail', 'info', 'assign', 'fault', 'replica']);

/** Throws on a line that is not one of a history, with its number from 1. */
export function parseHistory(text: string): readonly HistoryLine[] {
  return text.split('\n').flatMap((line, at) => (line.trim() === '' ? [] : [parseLine(line, at + 1)]));
}

function parseLine(text: string, number: number): HistoryLine {
  const line = JSON.parse(text) as HistoryLine;
  if (!events.has(line.event) || typeof line.atMs !== 'number') throw new Error(`line ${number} is not of a history`);
  return line;
}
