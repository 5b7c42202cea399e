/**
 * What is written for each byte that is appended, and what files take beside what lives, under traffic with retention: over
 * a disk in memory, and a clock that stands still while there is work, so that every run counts the same bytes.
 */
import type { Clock } from '@sluice/base';
import { leaderEpoch, LogKind, partitionIndex, topicId } from '@sluice/base';
import { patchBatch } from '@sluice/record';
import type { LogStore } from './log-store.ts';
import { MemoryDisk } from './memory-disk.ts';
import { at, testBatch, testSpan } from './test-batches.ts';
import { TestClock } from './test-clock.ts';
import { openTestNode, type TestNode } from './test-node-log.ts';
import { type Purpose, WrittenBytes } from './written-bytes.testing.ts';

/** What one topic gets. */
export interface Traffic {
  readonly partitions: number;
  /** Appends in this round, to its partitions in turn; those of all topics in one round are one group. */
  readonly appendsIn: (round: number) => number;
  /** An append to the partition, of a record or more; the batch is not used again. */
  readonly batchFor: (base: number) => { readonly batch: Uint8Array; readonly end: number };
  /** Absent: for ever. */
  readonly retention?: { readonly rounds: number } | { readonly partitionBytes: number };
}

export interface Workload {
  readonly topics: readonly Traffic[];
  readonly journalBytesMax: number;
  /** Of virtual time; what a log has in several files is one in a set when it was appended within an hour. */
  readonly roundsInHour: number;
  /** Until as much lives as ever will: not counted. */
  readonly warmupRounds: number;
  readonly rounds: number;
  readonly spaceAmplificationMax?: number;
  /** Begins what works beside the rounds. */
  readonly start?: (node: TestNode, clock: Clock, logs: readonly (readonly LogStore[])[]) => Beside;
}

export interface Beside {
  /** After each that counts. */
  onRound(): void;
  stop(): void;
}

export interface Amplification {
  /** Bytes to the disk for each byte of a batch. */
  readonly written: number;
  /** The same by what it was for. */
  readonly writtenFor: Readonly<Record<Purpose, number>>;
  readonly appendedBytes: number;
  /** Files by what lives, the mean of all rounds and the most, when nothing is rewritten. */
  readonly spaceMean: number;
  readonly spacePeak: number;
  /** The most that files took beyond `spaceAmplificationMax` times what lived, in journal files: between rewrites, and at any time. */
  readonly beyondFiles: number;
  readonly beyondFilesEver: number;
  readonly liveMean: number;
  readonly rewrites: number;
}

const hourMs = 3_600_000;
const defaultSpaceMax = 1.5;
/** Between two steps of the removal of files. */
const pauseMs = 20;

/** Batches of one record, of about this size. */
export function batchesOf(bytes: number): Traffic['batchFor'] {
  const recordOverheadBytes = 75;
  const template = testBatch({ base: 0, valueBytes: bytes - recordOverheadBytes });
  return (base) => {
    const batch = template.slice();
    patchBatch(batch, 0, { baseOffset: at(base), leaderEpoch: leaderEpoch(0) });
    return { batch, end: base + 1 };
  };
}

export async function amplificationOf(workload: Workload): Promise<Amplification> {
  const bytes = new WrittenBytes(new MemoryDisk());
  const clock = new TestClock();
  const { journalBytesMax, warmupRounds, rounds, spaceAmplificationMax = defaultSpaceMax } = workload;
  const limits = {
    journalBytesMax,
    spaceAmplificationMax,
    rewriteBytesPerSecondMax: Number.POSITIVE_INFINITY,
    // Groups are as large as a round. No group follows one only because nobody writes, as no round comes late.
    groupBytesMax: journalBytesMax,
    sealAfterIdleMs: Number.MAX_SAFE_INTEGER,
    tailBytesMax: 0,
  };
  const node = await openTestNode({ disk: bytes.disk, clock, limits });
  const run = new Run(workload, node, bytes);
  const beside = workload.start?.(node, clock, run.logs);
  let round = 0;
  const roundsUntil = async (last: number, onRound: () => Promise<void>): Promise<void> => {
    while (round < last) await onRound();
    // From the end of one rewrite to the end of another: each stands for what was appended over many rounds.
    const seen = node.log.stats.rewrites;
    for (const end = last + rounds / 2; seen === node.log.stats.rewrites && round < end; ) await onRound();
  };
  await roundsUntil(warmupRounds, async () => {
    await run.round(round, clock);
    round += 1;
  });
  const before = { written: bytes.written, appendedBytes: run.appendedBytes, rewrites: node.log.stats.rewrites };
  const space = new Space(journalBytesMax, spaceAmplificationMax);
  await roundsUntil(warmupRounds + rounds, async () => {
    bytes.takePeak();
    const liveBefore = node.log.stats.liveBytes;
    await run.round(round, clock);
    round += 1;
    const live = node.log.stats.liveBytes;
    space.add({ taken: bytes.takenBytes, live, peak: bytes.takePeak(), liveMin: Math.min(live, liveBefore) });
    beside?.onRound();
  });
  beside?.stop();
  const rewrites = node.log.stats.rewrites - before.rewrites;
  const appendedBytes = run.appendedBytes - before.appendedBytes;
  const { written } = bytes;
  const perByte = (purpose: Purpose): number => (written[purpose] - before.written[purpose]) / appendedBytes;
  const writtenFor = {
    groups: perByte('groups'),
    footers: perByte('footers'),
    rewrites: perByte('rewrites'),
    checkpoints: perByte('checkpoints'),
    manifests: perByte('manifests'),
  };
  await node.close();
  const sum = Object.values(writtenFor).reduce((all, each) => all + each, 0);
  return { written: sum, writtenFor, appendedBytes, rewrites, ...space.figures };
}

class Run {
  /** Of each topic. */
  readonly logs: readonly (readonly LogStore[])[];
  appendedBytes = 0;
  readonly #topics: readonly Traffic[];
  readonly #node: TestNode;
  readonly #bytes: WrittenBytes;
  readonly #next: number[];
  readonly #roundMs: number;

  constructor({ topics, roundsInHour }: Workload, node: TestNode, bytes: WrittenBytes) {
    this.#bytes = bytes;
    this.#roundMs = hourMs / roundsInHour;
    this.#topics = topics;
    this.#node = node;
    this.#next = topics.map(() => 0);
    this.logs = topics.map(({ partitions }, topic) =>
      Array.from({ length: partitions }, (_, partition) =>
        node.log.log({
          topicId: topicId((topic + 1).toString(16).padStart(32, '0')),
          partition: partitionIndex(partition),
          kind: LogKind.data,
        }),
      ),
    );
  }

  /** One group, what retention takes after it, and all that is rewritten for it. */
  async round(round: number, clock: TestClock): Promise<void> {
    for (const [topic, traffic] of this.#topics.entries()) this.#append(topic, traffic, traffic.appendsIn(round));
    await this.#durable();
    clock.advance(this.#roundMs);
    for (const [topic, { retention }] of this.#topics.entries()) {
      if (retention === undefined) continue;
      const limits =
        'rounds' in retention
          ? { appendedBeforeMs: clock.wallMs() - retention.rounds * this.#roundMs }
          : { bytesMax: retention.partitionBytes };
      for (const log of this.logs[topic] ?? []) {
        const end = log.expiredEnd(limits);
        if (end > log.startOffset) log.restartAt(end);
      }
    }
    await this.#durable();
    await this.#settled(clock);
  }

  #append(topic: number, { batchFor }: Traffic, appends: number): void {
    const logs = this.logs[topic] ?? [];
    let next = this.#next[topic] ?? 0;
    for (let n = 0; n < appends; n += 1) {
      const log = logs[next % logs.length];
      next += 1;
      if (log === undefined) continue;
      const { batch, end } = batchFor(log.endOffset);
      this.appendedBytes += batch.length;
      log.append(batch, testSpan(log.endOffset, end));
    }
    this.#next[topic] = next;
  }

  get #state(): string {
    return `${this.#node.log.stats.rewrites} ${this.#bytes.takenBytes}`;
  }

  #durable(): Promise<void> {
    return new Promise((resolve) => this.#node.log.raft.persist({}, resolve));
  }

  /** All but timers is done when the event loop turns: files go in steps, with pauses. */
  async #settled(clock: TestClock): Promise<void> {
    for (let seen = ''; seen !== this.#state; ) {
      seen = this.#state;
      clock.advance(pauseMs);
      await new Promise<void>((resolve) => void setImmediate(resolve));
    }
    if (this.#node.halts.length > 0) throw new Error('the node stopped', { cause: this.#node.halts[0] });
  }
}

class Space {
  readonly #journalBytesMax: number;
  readonly #spaceMax: number;
  #rounds = 0;
  #ratios = 0;
  #live = 0;
  #ratioMax = 0;
  #beyond = 0;
  #beyondEver = 0;

  constructor(journalBytesMax: number, spaceMax: number) {
    this.#journalBytesMax = journalBytesMax;
    this.#spaceMax = spaceMax;
  }

  add(round: { readonly taken: number; readonly live: number; readonly peak: number; readonly liveMin: number }): void {
    const { taken, live, peak, liveMin } = round;
    this.#rounds += 1;
    this.#ratios += taken / live;
    this.#live += live;
    this.#ratioMax = Math.max(this.#ratioMax, taken / live);
    this.#beyond = Math.max(this.#beyond, taken - this.#spaceMax * live);
    this.#beyondEver = Math.max(this.#beyondEver, peak - this.#spaceMax * liveMin);
  }

  get figures(): Pick<Amplification, 'spaceMean' | 'spacePeak' | 'beyondFiles' | 'beyondFilesEver' | 'liveMean'> {
    return {
      spaceMean: this.#ratios / this.#rounds,
      spacePeak: this.#ratioMax,
      beyondFiles: this.#beyond / this.#journalBytesMax,
      beyondFilesEver: this.#beyondEver / this.#journalBytesMax,
      liveMean: this.#live / this.#rounds,
    };
  }
}
