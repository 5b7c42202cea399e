/**
 * The logs of a node as they should be, for `together.testing.ts`: every state that they were in since the last one that a
 * recovery found, so that what the next recovery finds is one of them.
 *
 * A log is told by the batches that were appended to it. What compaction makes of them stands for them.
 */
import type { Random } from '@sluice/base';
import { BatchBuilder, batchesIn, draftOf, patchBatch, unstamped } from '@sluice/record';
import { leaderEpoch, offset } from '@sluice/base';
import { knownBatches } from './test-snapshots.ts';

/** One batch as it was appended. */
export interface Appended {
  readonly base: number;
  readonly end: number;
  readonly crc: number;
  readonly timestampMs: number;
  /** The state that has it first. */
  readonly state: number;
}

export interface ModelLog {
  /** Each deletion begins another. */
  readonly life: number;
  readonly start: number;
  readonly end: number;
  readonly batches: readonly Appended[];
  /** Of this life, those that its start has passed too: what a state snapshot is made of. */
  readonly all: readonly Appended[];
}

export type ModelLogs = ReadonlyMap<number, ModelLog>;

/** What batches stand for, by their CRC. */
export class KnownBatches {
  readonly #byCrc = new Map<number, readonly Appended[]>();
  readonly #bytes = new Map<number, Uint8Array>();
  #mark = 0;

  /** As a producer would make them: `count` batches from `base` on. */
  make(
    random: Random,
    { base, count, state }: { readonly base: number; readonly count: number; readonly state: number },
  ): {
    readonly bytes: readonly Uint8Array[];
    readonly appended: readonly Appended[];
  } {
    const bytes: Uint8Array[] = [];
    const appended: Appended[] = [];
    let next = base;
    for (let n = 0; n < count; n += 1) {
      const records = 1 + random.below(4);
      const valueBytes = random.below(10) === 0 ? 17_000 : random.below(400);
      this.#mark += 1;
      const timestampMs = 1_000_000 + random.below(5_000);
      const epoch = Math.floor(this.#mark / 20);
      const batch = build({ base: next, records, valueBytes, epoch, mark: this.#mark, timestampMs });
      const [known] = knownBatches(batch);
      if (known === undefined) throw new Error('a batch was made');
      const one = { ...known, timestampMs, state };
      this.#byCrc.set(known.crc, [one]);
      this.#bytes.set(known.crc, batch.slice());
      bytes.push(batch);
      appended.push(one);
      next = known.end;
    }
    return { bytes, appended };
  }

  /** Joins some neighbours into one without most of its records, as key compaction does, and leaves some as they are. */
  compacted(batches: Uint8Array, upTo: number, random: Random): Uint8Array {
    const each = knownBatches(batches);
    const out: Uint8Array[] = [];
    for (let at = 0; at < each.length; ) {
      const joined = each.slice(at, at + 1 + random.below(3)).filter(({ end }) => end <= upTo);
      if (joined.length === 0) return Buffer.concat([...out, batchesFrom(batches, each[at]?.base ?? 0)]);
      at += joined.length;
      const originals = joined.flatMap(({ crc }) => this.originals(crc));
      const [first, last] = [joined[0], joined.at(-1)];
      if (first === undefined || last === undefined) break;
      this.#mark += 1;
      const timestampMs = Math.max(...originals.map((one) => one.timestampMs));
      const shape = { base: first.base, records: last.end - first.base, valueBytes: 3, epoch: 0 };
      const batch = build({ ...shape, mark: this.#mark, timestampMs });
      this.#byCrc.set(knownBatches(batch)[0]?.crc ?? 0, originals);
      out.push(batch);
    }
    return Buffer.concat(out);
  }

  /** As it was appended: what another replica has. */
  bytes({ crc }: Appended): Uint8Array {
    const found = this.#bytes.get(crc);
    if (found === undefined) throw new Error(`nobody appended a batch with the CRC ${crc}`);
    return found.slice();
  }

  originals(crc: number): readonly Appended[] {
    const found = this.#byCrc.get(crc);
    if (found === undefined) throw new Error(`nobody made a batch with the CRC ${crc}`);
    return found;
  }
}

function batchesFrom(batches: Uint8Array, base: number): Uint8Array {
  for (const found of batchesIn(batches)) {
    if (found.ok && found.header.baseOffset === base) return batches.subarray(found.position).slice();
  }
  throw new Error(`no batch begins at ${base}`);
}

interface Shape {
  readonly base: number;
  readonly records: number;
  readonly valueBytes: number;
  readonly epoch: number;
  readonly mark: number;
  readonly timestampMs: number;
}

function build({ base, records, valueBytes, epoch, mark, timestampMs }: Shape): Uint8Array {
  const builder = new BatchBuilder();
  for (let at = 0; at < records; at += 1) {
    const value = new Uint8Array(valueBytes + 4).fill((mark * 31 + at) % 256);
    new DataView(value.buffer).setUint32(0, mark);
    builder.append(draftOf({ timestamp: timestampMs - (records - 1 - at), key: null, value, headers: [] }));
  }
  const batch = builder.build(unstamped);
  patchBatch(batch, 0, { baseOffset: offset(base), leaderEpoch: leaderEpoch(epoch) });
  return batch;
}

/** States in order, numbered over the whole run. */
export class States {
  #first = 0;
  #states: { readonly logs: ModelLogs; readonly text: string; readonly raft: string }[] = [];
  /** Every state before it is too old for a recovery to find. */
  durable = 0;

  constructor(raft: string) {
    this.#states.push({ logs: new Map(), text: '', raft });
  }

  get last(): number {
    return this.#first + this.#states.length - 1;
  }

  add(logs: ModelLogs, raft: string): void {
    this.#states.push({ logs, text: textOf(logs), raft });
  }

  reached(state: number): void {
    this.durable = Math.max(this.durable, state);
  }

  /** Goes on from the newest state that this may be; undefined when it may be none. */
  goOnFrom(text: string, raft: string): ModelLogs | undefined {
    for (let at = this.#states.length - 1; at >= 0 && this.#first + at >= this.durable; at -= 1) {
      const state = this.#states[at];
      if (state?.text !== text || state.raft !== raft) continue;
      this.#first += at;
      this.#states = [state];
      this.durable = this.#first;
      return state.logs;
    }
    return undefined;
  }

  describe(): string {
    return this.#states
      .slice(Math.max(0, this.durable - this.#first))
      .map(({ text, raft }, at) => `state ${Math.max(this.durable, this.#first) + at}:\n${text}\n${raft}`)
      .join('\n');
  }
}

const texts = new WeakMap<ModelLog, string>();

/** Equal for logs that nobody can tell apart; nothing for those that were never used. */
export function logText(log: Pick<ModelLog, 'start' | 'end' | 'batches'>): string {
  if (log.end === 0) return '';
  return `${log.start}-${log.end}: ${log.batches.map(({ base, crc }) => `${base}/${crc}`).join(' ')}`;
}

export function textOf(logs: ModelLogs): string {
  const lines: string[] = [];
  for (const [number, log] of logs) {
    let text = texts.get(log);
    if (text === undefined) texts.set(log, (text = logText(log)));
    if (text !== '') lines.push(`log ${number} ${text}`);
  }
  return lines.toSorted().join('\n');
}

export const snapshotBytes = (all: readonly Appended[]): Uint8Array =>
  Buffer.from(JSON.stringify(all.map(({ base, end, crc }) => [base, end, crc])));
