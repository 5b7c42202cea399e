/**
 * State snapshots over crash after crash: the owner of each log goes on from the snapshot and the batches behind it, as a
 * partition does, and derives what it must from the bytes that came after a crash.
 */
import { SeededRandom } from '@sluice/base';
import { expect, test } from 'vitest';
import { CrashingDisk } from './crash-points.testing.ts';
import type { LogStore } from './log-store.ts';
import type { NodeLog } from './node-log.ts';
import { at, testBatch, testSpan } from './test-batches.ts';
import { contents, openTestNode, testLogId } from './test-node-log.ts';
import { type KnownBatch, knownBatches, knownFrom, testSnapshot, wrongSnapshot } from './test-snapshots.ts';

const limits = {
  journalBytesMax: 16 * 1024,
  groupBytesMax: 4096,
  tailBytesMax: 16 * 1024,
  spaceAheadBytes: 0,
  zerosAheadBytes: 0,
};
const logNumbers = [1, 2];

/** What a partition is to a log: knows what it derived of all batches of the log, from load to load. */
class Owner {
  readonly log: LogStore;
  #batches: KnownBatch[] = [];

  constructor(log: LogStore) {
    this.log = log;
    log.snapshot = () => testSnapshot(log.endOffset, this.#batches);
  }

  /** True when it had a snapshot to go on from. */
  async load(): Promise<boolean> {
    const snapshot = await this.log.loadSnapshot();
    const behind = knownBatches(await contents(this.log)).filter(({ end }) => end > (snapshot?.offset ?? 0));
    this.#batches = [...(snapshot === undefined ? [] : knownFrom(snapshot)), ...behind];
    return snapshot !== undefined;
  }

  step(random: SeededRandom, mark: number): void {
    const draw = random.below(24);
    if (draw < 18) this.#append(random, mark);
    else if (draw < 21) this.#truncate(random);
    else if (draw < 23) this.#trim(random);
    else this.#restart(random);
  }

  #append(random: SeededRandom, mark: number): void {
    const base = this.log.endOffset;
    // Equal lengths most of the time, so that what follows a crash ends where a snapshot did.
    const bytes = testBatch({ base, records: 1 + random.below(2), valueBytes: 200 + random.below(900), mark });
    const known = knownBatches(bytes);
    this.log.append(bytes, testSpan(base, known[0]?.end ?? base));
    this.#batches.push(...known);
  }

  #truncate(random: SeededRandom): void {
    const held = this.#batches.filter((batch) => batch.base >= this.log.startOffset);
    const to = held.at(-1 - random.below(3))?.base;
    if (to === undefined) return;
    this.log.truncate(at(to));
    this.#batches = this.#batches.filter((batch) => batch.end <= to);
  }

  #trim(random: SeededRandom): void {
    const held = this.#batches.filter((batch) => batch.base >= this.log.startOffset);
    const to = held.at(-1 - random.below(3))?.base ?? this.log.endOffset;
    this.log.restartAt(at(random.below(3) === 0 ? this.log.endOffset : to));
  }

  #restart(random: SeededRandom): void {
    this.log.restartAt(at(this.log.endOffset + 1 + random.below(4)));
    this.#batches = [];
  }
}

/** A node that is cut off again and again; what is wrong, and how often there was a snapshot to go on from. */
async function lives(seed: number): Promise<{ wrong: string | undefined; loaded: number }> {
  const random = new SeededRandom(seed);
  const crashing = new CrashingDisk();
  const { disk } = crashing;
  let loaded = 0;
  let mark = 0;
  for (let life = 0; life < 12; life += 1) {
    const { log } = await openTestNode({ disk, limits });
    const owners = logNumbers.map((number) => new Owner(log.log(testLogId(number))));
    for (const owner of owners) {
      const wrong = (await wrongSnapshot(owner.log)) ?? owner.log.lossy?.where;
      if (wrong !== undefined) return { wrong: `seed ${seed}, life ${life}: ${wrong}`, loaded };
      if (await owner.load()) loaded += 1;
    }
    await crashing.run(random.below(60), async () => {
      for (let step = 0; step < 60; step += 1) {
        mark += 1;
        owners[random.below(owners.length)]?.step(random, mark);
        if (random.below(4) === 0) await persisted(log);
      }
    });
    disk.crash({ keep: random.below(3) === 0 ? new SeededRandom(seed + life) : 'nothing' });
  }
  return { wrong: undefined, loaded };
}

const persisted = (node: NodeLog): Promise<void> => new Promise((resolve) => node.raft.persist({}, resolve));

test('over crash after crash a snapshot is of the batches that the log holds, and of no others', async () => {
  const wrong: string[] = [];
  let loaded = 0;
  for (let seed = 1; seed <= 60; seed += 1) {
    const found = await lives(seed);
    loaded += found.loaded;
    if (found.wrong !== undefined) wrong.push(found.wrong);
  }
  expect(wrong.slice(0, 3)).toEqual([]);
  expect(loaded).toBeGreaterThan(400);
}, 60_000);
