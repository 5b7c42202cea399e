/**
 * Where records come in: measures each, gives it room in the buffer or lets it wait for that, and hands it on to the
 * producer. Owns the record at hand and the time of the turn; the buffer keeps the order of those that wait (U2).
 */
import type { Clock } from '@sluice/base';
import { SluiceError, toSluiceError } from '@sluice/base';
import { batchError, RecordDraft, timestampProblem } from '@sluice/record';
import type { FlushTracker } from './flush-tracker.ts';
import type { RecordOwner } from './pending-batch.ts';
import type { ProducerBuffer, Waiting } from './producer-buffer.ts';
import { Entry } from './producer-entry.ts';
import type { OnDelivery, ProducerRecord } from './producer-record.ts';
import { bufferedBytes, recordTooLarge } from './record-input.ts';
import type { SendCall } from './send-call.ts';
import { TurnTime } from './turn-time.ts';
import { onAbort } from './waiting.ts';

export interface IntakePorts {
  readonly clock: Clock;
  readonly buffer: ProducerBuffer;
  readonly flushes: FlushTracker;
  readonly deliveryTimeoutMs: number;
  /** Its bytes are in the buffer. The entry is used again afterwards: who keeps it copies it. */
  admit(entry: Entry): void;
  /** It never will be admitted: fails it, later. */
  refuse(entry: Entry, error: SluiceError): void;
  /** It waited, and is given up. */
  fail(entry: Entry, error: SluiceError): void;
  armExpiry(deadlineMs: number): void;
}

export class RecordIntake {
  /** Of the record at hand. */
  readonly draft = new RecordDraft();
  readonly #ports: IntakePorts;
  readonly #time: TurnTime;
  /** Used again for record after record. */
  readonly #entry = new Entry();
  #measured = 0;

  constructor(ports: IntakePorts) {
    this.#ports = ports;
    this.#time = new TurnTime(ports.clock);
  }

  get nowMs(): number {
    return this.#time.monotonicMs();
  }

  /** False: there is no room, and it does not wait for any. */
  post(topic: string, record: ProducerRecord, owner: RecordOwner): boolean {
    const entry = this.#begin(this.#entry, topic, owner);
    this.#measure(entry, record);
    return this.#takeNow(entry);
  }

  /** Returns what waits for room, if it has to. */
  take(topic: string, record: ProducerRecord, owner: OnDelivery): Waiting | undefined {
    const entry = this.#begin(this.#entry, topic, owner);
    this.#measure(entry, record);
    if (this.#takeNow(entry)) return undefined;
    const kept = entry.copy();
    const { bytes, deadlineMs, generation } = kept;
    const admit = (): boolean => {
      this.#ports.admit(kept);
      this.#ports.flushes.leave(generation);
      return true;
    };
    return this.#wait({
      bytes,
      deadlineMs,
      generation,
      begun: false,
      admit,
      fail: (error) => this.#ports.fail(kept, error),
    });
  }

  /** The records in turn, until one has to wait for room; it and those behind it then wait as one. */
  takeMany(topic: string, records: readonly ProducerRecord[], call: SendCall): Waiting | undefined {
    const entry = this.#begin(new Entry(), topic, call);
    for (; entry.index < records.length; entry.index += 1) {
      const problem = this.#tryMeasure(entry, records[entry.index] as ProducerRecord);
      if (problem !== undefined) this.#ports.refuse(entry, problem);
      else if (!this.#takeNow(entry)) return this.#wait(this.#rest(entry, [...records], call));
    }
    return undefined;
  }

  /** The draft is of this record again, whose bytes are in the buffer; or what is wrong with it now. */
  recall(entry: Entry): SluiceError | undefined {
    if (entry.measured === this.#measured) return undefined;
    const taken = entry.bytes;
    const problem = this.#tryMeasure(entry, entry.record);
    // The caller changed it meanwhile: what is given back must be what was taken.
    if (entry.bytes !== taken) this.#ports.buffer.resize(entry.bytes - taken);
    return problem;
  }

  /** Rejects when the signal is aborted, and withdraws what still waits then; the returned function forgets about it. */
  giveUpOn(signal: AbortSignal, waiting: Waiting | undefined, reject: (error: SluiceError) => void): () => void {
    return onAbort(signal, (error) => {
      const gone = waiting !== undefined && this.#ports.buffer.giveUp(waiting);
      if (gone) this.#ports.flushes.leave(waiting.generation);
      // Of a call for many records some may be on their way while the rest waits.
      const definite = gone && !waiting.begun;
      const message = definite
        ? 'The caller gave up.'
        : 'The caller gave up; the record may be delivered all the same.';
      reject(new SluiceError('CANCELLED', { message, definite, cause: error.cause }));
    });
  }

  #begin(entry: Entry, topic: string, owner: RecordOwner): Entry {
    const nowMs = this.#time.monotonicMs();
    entry.topic = topic;
    entry.wallMs = this.#time.wallMs;
    entry.deadlineMs = nowMs + this.#ports.deliveryTimeoutMs;
    entry.generation = this.#ports.flushes.generation;
    entry.owner = owner;
    return entry;
  }

  /** Into the entry and the draft. Throws `INVALID_BATCH`. */
  #measure(entry: Entry, record: ProducerRecord): void {
    // First: what throws leaves the draft of no record.
    this.#measured += 1;
    if (record.timestamp !== undefined) checkTimestamp(record.timestamp);
    entry.record = record;
    entry.timestamp = record.timestamp ?? entry.wallMs;
    this.draft.take(record, entry.timestamp);
    entry.bytes = bufferedBytes(this.draft);
    entry.measured = this.#measured;
  }

  #tryMeasure(entry: Entry, record: ProducerRecord): SluiceError | undefined {
    try {
      this.#measure(entry, record);
      return undefined;
    } catch (thrown) {
      return toSluiceError(thrown);
    }
  }

  #rest(entry: Entry, records: readonly ProducerRecord[], call: SendCall): Waiting {
    const { deadlineMs, generation } = entry;
    const waiting = {
      bytes: entry.bytes,
      deadlineMs,
      generation,
      begun: entry.index > 0,
      admit: (): boolean => {
        this.#ports.admit(entry);
        waiting.begun = true;
        for (entry.index += 1; entry.index < records.length; entry.index += 1) {
          const problem = this.#tryMeasure(entry, records[entry.index] as ProducerRecord) ?? this.#overBuffer(entry);
          waiting.bytes = entry.bytes;
          if (problem === undefined) return false;
          this.#ports.refuse(entry, problem);
        }
        this.#ports.flushes.leave(generation);
        return true;
      },
      fail: (error: SluiceError): void => {
        for (; entry.index < records.length; entry.index += 1) call.onRefused(entry.index, error);
        this.#ports.flushes.leave(generation);
      },
    };
    return waiting;
  }

  /** False: there is no room yet. */
  #takeNow(entry: Entry): boolean {
    const problem = this.#overBuffer(entry);
    if (problem !== undefined) this.#ports.refuse(entry, problem);
    else if (this.#ports.buffer.take(entry.bytes)) this.#ports.admit(entry);
    else return false;
    return true;
  }

  #wait(waiting: Waiting): Waiting {
    this.#ports.flushes.enter(waiting.generation);
    this.#ports.buffer.wait(waiting);
    this.#ports.armExpiry(waiting.deadlineMs);
    return waiting;
  }

  /** U1 */
  #overBuffer({ bytes }: Entry): SluiceError | undefined {
    const { bytesMax } = this.#ports.buffer;
    return bytes <= bytesMax ? undefined : recordTooLarge(bytes, bytesMax, "the producer's bufferBytesMax");
  }
}

function checkTimestamp(timestamp: number): void {
  const problem = timestampProblem(timestamp);
  if (problem !== undefined) throw batchError(problem);
}
