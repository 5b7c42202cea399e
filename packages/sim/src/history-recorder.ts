/** Writes a history down as it happens. One for a run; the workloads and the faults write to it. */
import { toSluiceError } from '@sluice/base';
import type {
  AdminInvoked,
  Assigned,
  HistoryLine,
  PollInvoked,
  ReplicaHolds,
  SendInvoked,
  Succeeded,
} from './history.ts';

type Said<Line> = Omit<Line, 'event' | 'operation' | 'atMs'>;

export class HistoryRecorder {
  /** Empty when they are written elsewhere. */
  readonly lines: HistoryLine[] = [];
  readonly #nowMs: () => number;
  readonly #write: (line: HistoryLine) => void;
  #operations = 0;
  #acked = 0;

  constructor(nowMs: () => number, write?: (line: HistoryLine) => void) {
    this.#nowMs = nowMs;
    this.#write = write ?? ((line) => void this.lines.push(line));
  }

  /** Records acked so far. */
  get acked(): number {
    return this.#acked;
  }

  /** Gives the number of the operation, for its outcome. */
  invoke(said: Said<SendInvoked> | Said<PollInvoked> | Said<AdminInvoked>): number {
    this.#operations += 1;
    const at = { event: 'invoke', atMs: this.#nowMs(), operation: this.#operations } as const;
    this.#write({ ...at, ...said });
    return this.#operations;
  }

  acknowledged(operation: number, partition: number, offset: number): void {
    this.#acked += 1;
    this.succeeded(operation, { partition, offset });
  }

  succeeded(operation: number, said: Said<Succeeded>): void {
    this.#write({ event: 'ok', atMs: this.#nowMs(), operation, ...said });
  }

  /** An error that does not say for certain that nothing happened leaves the operation in doubt (H1). */
  failed(operation: number, thrown: unknown): void {
    const error = toSluiceError(thrown);
    const event = error.definite ? 'fail' : 'info';
    this.#write({ event, atMs: this.#nowMs(), operation, code: error.code });
  }

  /** It had no effect: it never left the client. */
  refused(operation: number, code: string): void {
    this.#write({ event: 'fail', atMs: this.#nowMs(), operation, code });
  }

  assigned(said: Omit<Assigned, 'event' | 'atMs'>): void {
    this.#write({ event: 'assign', atMs: this.#nowMs(), ...said });
  }

  fault(kind: string, target: string): void {
    this.#write({ event: 'fault', atMs: this.#nowMs(), kind, target });
  }

  replica(said: Omit<ReplicaHolds, 'event' | 'atMs'>): void {
    this.#write({ event: 'replica', atMs: this.#nowMs(), ...said });
  }
}
