/**
 * Everything that a node log does, at once, for as long as wanted: appends, cuts, trims, deletions and retention beside the
 * background rewrite, compaction, scrub, state snapshots, reads and look-ups, over files so small that each of them meets
 * the others, with power cuts, kills, a full disk and flipped bits in between. What each recovery finds, and each reader, is held against
 * `together-model.testing.ts`.
 */
import type { Clock, LogFields, Logger, Random, Timer } from '@sluice/base';
import { offset, SeededRandom, SluiceError } from '@sluice/base';
import { raftSignature, RaftModel, wrongLog } from './crash-history.testing.ts';
import type { AskedLog } from './asked-log.ts';
import { DataDirectory } from './data-directory.ts';
import type { DiskOperation } from './disk-faults.ts';
import type { LogStore } from './log-store.ts';
import { MemoryDisk } from './memory-disk.ts';
import type { NodeLog, NodeLogLimits } from './node-log.ts';
import { openNodeLog } from './open-node-log.ts';
import { at, concat, testSpan } from './test-batches.ts';
import { TestClock } from './test-clock.ts';
import { testLogId } from './test-node-log.ts';
import { knownBatches, knownFrom } from './test-snapshots.ts';
import { isDamage, keptBelow, Rot, wrongLoss } from './together-rot.testing.ts';
import {
  type Appended,
  KnownBatches,
  logText,
  type ModelLog,
  snapshotBytes,
  States,
} from './together-model.testing.ts';

const kib = 1024;
const path = '/node';
const logCount = 6;
const reserveBytes = 2048 * kib;

function limitsOf(random: Random): Partial<NodeLogLimits> {
  const oneOf = (...values: readonly [number, ...number[]]): number => values[random.below(values.length)] ?? values[0];
  return {
    journalBytesMax: oneOf(20, 40, 64) * kib,
    journalAgeMsMax: oneOf(200, 2_000, 60_000),
    groupBytesMax: 8 * kib,
    tailBytesMax: oneOf(1, 16, 128) * kib,
    readBufferBytesMax: oneOf(128, 1024) * kib,
    indexBytesMax: oneOf(16, 256) * kib,
    spaceAheadBytes: oneOf(0, 24) * kib,
    zerosAheadBytes: oneOf(0, 16) * kib,
    diskReserveBytes: reserveBytes,
    rewriteBytesPerSecondMax: oneOf(4_000_000, 400_000, Number.POSITIVE_INFINITY),
    spaceAmplificationMax: oneOf(0, 0, 1.5),
    scrubBytesPerSecondMax: oneOf(0, 10_000_000),
    scrubIntervalMs: 20,
  };
}

/** What a process that is gone has on its clock never happens. */
class LifeClock implements Clock {
  isOver = false;
  readonly #clock: TestClock;

  constructor(clock: TestClock) {
    this.#clock = clock;
  }

  monotonicMs(): number {
    return this.#clock.monotonicMs();
  }

  wallMs(): number {
    return this.#clock.wallMs();
  }

  setTimer(delayMs: number, onFire: () => void): Timer {
    return this.#clock.setTimer(delayMs, () => this.isOver || onFire());
  }

  defer(run: () => void): void {
    this.#clock.defer(() => this.isOver || run());
  }
}

interface Life {
  readonly clock: LifeClock;
  readonly directory: DataDirectory;
  readonly node: NodeLog;
  readonly halts: Error[];
}

/** Of each log, on the disk. */
const bytesOf = (node: NodeLog): string =>
  Array.from({ length: logCount }, (_, number) => node.log(testLogId(number)).bytes).join(' B, ');

/** Said while nothing is wrong. */
const harmless = new Set([
  'torn group cut from the journal',
  'no room to drop dead files',
  'no room to rewrite files',
  'no room on the disk: the log waits',
  'disk is below its reserve: records are refused',
]);

/** Said of decay. */
const damagedSource = 'a file that was to be rewritten is damaged and stays';

export interface TogetherCounts {
  operations: number;
  reads: number;
  crashes: number;
  rewrites: number;
  snapshots: number;
  compactions: number;
  emptied: number;
  flips: number;
  refills: number;
}

export class Together {
  readonly counts: TogetherCounts = {
    operations: 0,
    reads: 0,
    crashes: 0,
    rewrites: 0,
    snapshots: 0,
    compactions: 0,
    emptied: 0,
    flips: 0,
    refills: 0,
  };
  readonly #random: SeededRandom;
  readonly #delays: Random;
  readonly #limits: Partial<NodeLogLimits>;
  readonly #clock = new TestClock(1_000_000_000);
  readonly #disk: MemoryDisk;
  readonly #rot: Rot;
  readonly #known = new KnownBatches();
  readonly #states: States;
  #raft = new RaftModel();
  #logs = new Map<number, ModelLog>();
  /** What compaction may have joined, by life: never cut. */
  readonly #compactedTo = new Map<string, number>();
  /** Nothing below comes back. */
  readonly #floors = new Map<number, number>();
  #lives = 0;
  #life: Life | undefined;
  #problem: string | undefined;
  #readsUnderWay = 0;
  /** The last phrases of the node, for people. */
  readonly said: string[] = [];

  constructor(seed: number) {
    this.#random = new SeededRandom(seed);
    this.#delays = this.#random.fork('delays');
    this.#limits = limitsOf(this.#random.fork('limits'));
    const slow = this.#random.below(3);
    const delayMs = ({ kind }: DiskOperation): number => {
      const draw = this.#delays.below(40);
      if (draw === 0 && slow > 0) return 60;
      if (kind === 'read' && draw < 3 && slow > 1) return 200;
      return draw < 20 ? 0 : draw % 4;
    };
    this.#disk = new MemoryDisk({ clock: this.#clock, delayMs, capacityBytes: 1024 ** 3 });
    this.#rot = new Rot(this.#disk, this.#random.fork('rot'));
    this.#states = new States(this.#raft.signature());
  }

  /** What went wrong, in a sentence; undefined when nothing did. */
  async run(rounds: number, steps: number): Promise<string | undefined> {
    for (let round = 0; round < rounds && this.#problem === undefined; round += 1) {
      try {
        await this.#round(steps);
      } catch (error) {
        this.#fail(error instanceof Error ? (error.stack ?? error.message) : String(error));
      }
    }
    return this.#problem;
  }

  async #round(steps: number): Promise<void> {
    const life = await this.#open();
    await this.#expectRecovered(life);
    const last = steps + this.#random.below(steps);
    let fullUntil: number | undefined;
    for (let step = 0; step < last && this.#problem === undefined; step += 1) {
      if (fullUntil === undefined && this.#random.below(60) === 0) {
        await this.#fill();
        fullUntil = step + 10;
      } else if (fullUntil !== undefined && step > fullUntil) {
        this.#disk.setCapacity(1024 ** 3);
        fullUntil = undefined;
      }
      this.#step(life);
      if (this.#delays.below(30) === 0) await this.#decay();
      this.#expectBounds(life);
      await this.#tick(this.#random.below(6));
      if (fullUntil === undefined && this.#random.below(50) === 0) {
        await this.#refillAll();
        await this.#expectQuiet(life);
      }
      if (life.halts.length > 0) this.#fail(`it stopped: ${String(life.halts[0]?.stack)}`);
    }
    if (this.#problem !== undefined) return;
    this.counts.rewrites += life.node.stats.rewrites;
    this.#disk.setCapacity(1024 ** 3);
    this.counts.flips = this.#rot.flips;
    if (this.counts.flips > 0) await this.#refillDurably(life);
    await this.#end(life);
    this.#disk.setCapacity(1024 ** 3);
  }

  async #fill(): Promise<void> {
    const { freeBytes, totalBytes } = await this.#done(this.#disk.space(path), 'space');
    this.#disk.setCapacity(totalBytes - freeBytes + reserveBytes + this.#random.below(100) * kib);
  }

  async #open(): Promise<Life> {
    for (let attempt = 0; ; attempt += 1) {
      const clock = new LifeClock(this.#clock);
      const halts: Error[] = [];
      const opening = this.#openWith(clock, halts);
      if (attempt < 2 && this.#random.below(3) === 0) {
        await this.#tick(this.#random.below(40));
        // Before it is asked for anything it has told nobody of anything.
        void opening.catch(() => undefined);
        await this.#crash(clock);
        continue;
      }
      return this.#done(opening, 'open');
    }
  }

  async #openWith(clock: LifeClock, halts: Error[]): Promise<Life> {
    const directory = await DataDirectory.open(this.#disk, path);
    const halt = { halt: (reason: Error): void => void halts.push(reason) };
    const logger = this.#logger(clock);
    const node = await openNodeLog({ directory, clock, halt, logger, limits: this.#limits });
    return { clock, directory, node, halts };
  }

  #logger(clock: LifeClock): Logger {
    const say = (phrase: string, fields?: LogFields): void => {
      this.said.push(`${this.#clock.monotonicMs()}: ${phrase} ${JSON.stringify(fields)}`);
      if (this.said.length > 60) this.said.shift();
    };
    const bad = (phrase: string, fields?: LogFields): void => {
      say(phrase, fields);
      const isRot = this.#rot.flips > 0 && phrase === damagedSource;
      if (!clock.isOver && !harmless.has(phrase) && !isRot) this.#fail(`it says: ${phrase} ${JSON.stringify(fields)}`);
    };
    const logger: Logger = { debug: say, info: say, warn: bad, error: bad, with: () => logger };
    return logger;
  }

  /** One of the states that it may be in, and nothing damaged. */
  async #expectRecovered(life: Life): Promise<void> {
    this.#life = life;
    const { node } = life;
    if (node.lossy.length > 0) throw new Error(`recovered as lossy: ${JSON.stringify(node.lossy)}`);
    if (node.damaged || node.raft.doubtful) throw new Error('recovered as damaged');
    const lines: string[] = [];
    for (let number = 0; number < logCount; number += 1) {
      const log = node.log(testLogId(number));
      const text = await this.#foundText(number, log);
      if (text !== '') lines.push(`log ${number} ${text}`);
    }
    const raft = node.raft.load();
    const unfit = wrongLog(raft);
    if (unfit !== undefined) throw new Error(`recovered: ${unfit}`);
    const found = lines.toSorted().join('\n');
    const logs = this.#states.goOnFrom(found, raftSignature(raft));
    if (logs === undefined) {
      throw new Error(`recovered\n${found}\n${raftSignature(raft)}\nmay be\n${this.#states.describe()}`);
    }
    this.#logs = new Map(logs);
    this.#raft = new RaftModel(raft);
    for (const [number, floor] of this.#floors) {
      if (this.#log(number).start < floor) this.#fail(`log ${number} starts below ${floor} again`);
    }
    for (let number = 0; number < logCount; number += 1) this.#own(number);
    await this.#refillAll();
    await this.#expectSnapshots(life);
  }

  /** A crash may bring back another copy of the same, and what decayed may be in that one. */
  async #foundText(number: number, log: LogStore): Promise<string> {
    const { startOffset: start, endOffset: end } = log;
    try {
      return logText({ start, end, batches: await this.#done(this.#contents(log), 'contents') });
    } catch (error) {
      const { batches } = this.#log(number);
      if (!isDamage(error) || !this.#rot.mayTouch(number, this.#log(number))) throw error;
      return logText({ start, end, batches });
    }
  }

  #own(number: number): LogStore {
    const life = this.#life;
    if (life === undefined) throw new Error('no node runs');
    const log = life.node.log(testLogId(number));
    log.snapshot ??= () => {
      const { end, all } = this.#log(number);
      return { offset: offset(end), bytes: snapshotBytes(all) };
    };
    log.onDurable ??= (durable) => this.#told(number, log, durable);
    return log;
  }

  #log(number: number): ModelLog {
    const known = this.#logs.get(number);
    if (known !== undefined) return known;
    this.#lives += 1;
    return { life: this.#lives, start: 0, end: 0, batches: [], all: [] };
  }

  /** A crash from now on takes none of this. */
  #told(number: number, log: LogStore, durable: number): void {
    const model = this.#log(number);
    if (log.durableOffset !== durable) this.#fail(`log ${number}: told ${durable}, not ${log.durableOffset}`);
    const batch = model.batches.findLast(({ end }) => end <= durable);
    if (batch !== undefined) this.#states.reached(batch.state);
    this.#floors.set(number, Math.max(this.#floors.get(number) ?? 0, log.durableStart));
  }

  // What is done to it

  #step(life: Life): void {
    const random = this.#random;
    const { node } = life;
    const number = random.below(logCount);
    const log = this.#own(number);
    const draw = random.below(40);
    this.counts.operations += 1;
    if (draw < 20) {
      if (!node.disk.isLow) this.#append(number, log);
    } else if (draw < 23) this.#truncate(number, log);
    else if (draw < 26) this.#trim(number, log);
    else if (draw < 28) this.#expire(number, log);
    else if (draw < 29) this.#restart(number, log);
    else if (draw < 30) this.#delete(number, log);
    else if (draw < 32) this.#compact(life);
    else if (draw < 34) this.#raftStep(node);
    else this.#read(number, log);
    this.#states.add(new Map(this.#logs), this.#raft.signature());
    const state = this.#states.last;
    if (random.below(3) === 0) node.raft.persist({}, () => this.#states.reached(state));
  }

  #raftStep(node: NodeLog): void {
    const random = this.#random;
    const draw = random.below(4);
    if (draw < 2) this.#raft.step(node, random);
    else if (draw < 3) this.#raft.compact(node, random);
    else if (this.#raft.saving < 3) {
      // It is rejected when the node was closed meanwhile: nothing names it then.
      void this.#raft.save(node, random).catch(() => undefined);
    }
  }

  get #next(): number {
    return this.#states.last + 1;
  }

  #change(number: number, change: Partial<ModelLog>): void {
    const before = this.#log(number);
    const after = { ...before, ...change };
    this.#logs.set(number, after);
    this.#floors.set(number, Math.min(this.#floors.get(number) ?? 0, after.start));
  }

  #append(number: number, log: LogStore): void {
    const { end, batches, all } = this.#log(number);
    const random = this.#random;
    const base = batches.length === 0 && random.below(3) === 0 ? Math.max(0, end - 1 - random.below(3)) : end;
    const count = 1 + random.below(3);
    const made = this.#known.make(random, { base, count, state: this.#next });
    const [first] = made.appended;
    // Only one that contains the start may begin before it.
    if (first === undefined || (base < end && first.end <= end)) return;
    const newEnd = made.appended.at(-1)?.end ?? end;
    this.#change(number, { end: newEnd, batches: [...batches, ...made.appended], all: [...all, ...made.appended] });
    log.append(concat([...made.bytes]), testSpan(base, newEnd));
  }

  #truncate(number: number, log: LogStore): void {
    const model = this.#log(number);
    const least = this.#compactedTo.get(`${number}:${model.life}`) ?? 0;
    const places = [model.batches[0]?.base ?? model.end, ...model.batches.map(({ end }) => end)].filter(
      (to) => to >= least,
    );
    const to = places[Math.max(0, places.length - 1 - this.#random.below(5))];
    if (to === undefined) return;
    const keeps = ({ end }: Appended): boolean => end <= to;
    const start = Math.min(model.start, to);
    this.#change(number, {
      start,
      end: Math.min(model.end, to),
      batches: model.batches.filter(keeps),
      all: model.all.filter(keeps),
    });
    log.truncate(at(to));
  }

  #trim(number: number, log: LogStore): void {
    const { start, end } = this.#log(number);
    this.#trimTo(number, log, start + this.#random.below(end - start + 1));
  }

  #trimTo(number: number, log: LogStore, to: number): void {
    const { batches } = this.#log(number);
    const left = batches.filter(({ end }) => end > to);
    if (left.length === 0) this.counts.emptied += 1;
    this.#change(number, { start: to, batches: left });
    log.restartAt(at(to));
  }

  #expire(number: number, log: LogStore): void {
    const byAge = this.#random.below(2) === 0;
    const limits = byAge
      ? { appendedBeforeMs: this.#clock.wallMs() - this.#random.below(500) }
      : { bytesMax: this.#random.below(40_000) };
    const { start, end } = this.#log(number);
    const to = log.expiredEnd(limits);
    if (to < start || to > end || to > Math.max(log.durableOffset, start)) {
      this.#fail(`log ${number}, ${start} to ${end}, durable ${log.durableOffset}: ${to} expires`);
    } else if (to > start) this.#trimTo(number, log, to);
  }

  #restart(number: number, log: LogStore): void {
    const { end, start, batches } = this.#log(number);
    const back = start === end && batches.length === 0 && this.#random.below(3) === 0;
    const to = back ? this.#random.below(end + 1) : end + this.#random.below(30);
    if (to === start) return;
    this.#change(number, { start: to, end: to, batches: [], ...(to === end ? {} : { all: [] }) });
    log.restartAt(at(to));
  }

  #delete(number: number, log: LogStore): void {
    this.#logs.delete(number);
    this.#floors.delete(number);
    log.delete();
    if (this.#random.below(2) === 0) this.#own(number);
  }

  #compact({ node, clock }: Life): void {
    const asked: AskedLog[] = [];
    for (let number = 0; number < logCount; number += 1) {
      if (this.#random.below(3) > 0 || node.log(testLogId(number)).lossy !== undefined) continue;
      const model = this.#log(number);
      const upTo = Math.min(node.log(testLogId(number)).durableOffset, model.end);
      const key = `${number}:${model.life}`;
      this.#compactedTo.set(key, Math.max(upTo, this.#compactedTo.get(key) ?? 0));
      const transform = (batches: Uint8Array): Uint8Array | Promise<Uint8Array> => {
        const compacted = this.#known.compacted(batches, upTo, this.#delays);
        if (this.#delays.below(2) === 0) return compacted;
        return new Promise((resolve) => void clock.setTimer(this.#delays.below(30), () => resolve(compacted)));
      };
      if (upTo > model.start) asked.push({ id: testLogId(number), upTo, transform });
    }
    void node.rewrite(asked).then((isDone) => {
      if (isDone && asked.length > 0) this.counts.compactions += 1;
    }, this.#failed);
  }

  readonly #failed = (error: unknown): void => {
    this.#fail(error instanceof Error ? (error.stack ?? error.message) : String(error));
  };

  /** In any batch that can be read. */
  async #decay(): Promise<void> {
    const number = this.#delays.below(logCount);
    const log = this.#own(number);
    const model = this.#log(number);
    if (log.lossy !== undefined || model.batches.length === 0) return;
    const from = model.start + this.#delays.below(model.end - model.start);
    const read = await this.#done(
      Promise.resolve(log.read(at(from), at(model.end), 1)).catch((error: unknown) => {
        if (!isDamage(error)) throw error;
      }),
      'read',
    );
    const [batch] = read?.kind === 'batches' ? read.batches : [];
    if (batch !== undefined) this.#rot.flip(number, model, batch);
  }

  /** As a replica does that left the in-sync replicas: all that decay took comes again. */
  async #refillAll(): Promise<void> {
    for (const [number, model] of this.#logs) {
      if (!this.#rot.mayTouch(number, model)) continue;
      const log = this.#own(number);
      for (let round = 0; this.#problem === undefined; round += 1) {
        // Each takes one place away that is damaged.
        if (round > 100) this.#fail(`log ${number} is never whole`);
        const isRead = await this.#readsAll(number, log);
        if (isRead && log.lossy === undefined) break;
        if (log.lossy === undefined) this.#fail(`log ${number} cannot be read, and is not lossy`);
        else await this.#refill(number, log);
      }
    }
  }

  /** A crash brings nothing back that decay has touched: what it finds is this state. */
  async #refillDurably({ node }: Life): Promise<void> {
    await this.#refillAll();
    const isDone = Promise.withResolvers<void>();
    node.raft.persist({}, () => isDone.resolve());
    await this.#done(isDone.promise, 'refilled');
    this.#states.reached(this.#states.last);
  }

  async #readsAll(number: number, log: LogStore): Promise<boolean> {
    try {
      const held = await this.#done(this.#contents(log), 'contents');
      const model = this.#log(number);
      if (logText({ start: log.startOffset, end: log.endOffset, batches: held }) !== logText(model)) {
        this.#fail(`log ${number} holds ${JSON.stringify(held)}, not ${logText(model)}`);
      }
      return true;
    } catch (error) {
      if (!isDamage(error)) throw error;
      return false;
    }
  }

  async #refill(number: number, log: LogStore): Promise<void> {
    const before = this.#log(number);
    const wrong = wrongLoss(log, before);
    if (wrong !== undefined) this.#fail(`log ${number}: ${wrong}`);
    const to = log.lossy?.intactEnd ?? before.end;
    const [batches, all] = [keptBelow(to, before.batches), keptBelow(to, before.all)];
    this.#change(number, { end: to, batches, all });
    log.truncate(at(to));
    this.#states.add(new Map(this.#logs), this.#raft.signature());
    if (!(await this.#readsAll(number, log))) return;
    for (const lost of before.batches.filter(({ end }) => end > to)) {
      const one = { ...lost, state: this.#next };
      const known = this.#log(number);
      this.#change(number, { end: one.end, batches: [...known.batches, one], all: [...known.all, one] });
      log.append(this.#known.bytes(one), testSpan(one.base, one.end));
      this.#states.add(new Map(this.#logs), this.#raft.signature());
    }
    log.healed();
    this.counts.refills += 1;
  }

  // What is asked of it meanwhile

  #read(number: number, log: LogStore): void {
    const life = this.#life;
    const model = this.#log(number);
    const { start, end } = model;
    const random = this.#random;
    const from = start + random.below(end - start + 1);
    const check = (work: Promise<string | undefined>): void => {
      this.#readsUnderWay += 1;
      void work
        .then(
          (problem) => problem === undefined || this.#life !== life || this.#fail(`log ${number}: ${problem}`),
          (error: unknown) => {
            const isClosed = error instanceof SluiceError && error.code === 'SHUTTING_DOWN';
            const isRot = isDamage(error) && this.#rot.mayTouch(number, model);
            if (this.#life === life && !isClosed && !isRot) this.#failed(error);
          },
        )
        .finally(() => {
          this.#readsUnderWay -= 1;
        });
    };
    this.counts.reads += 1;
    const draw = random.below(4);
    if (draw < 2) check(this.#expectRead(number, log, from));
    else if (draw < 3) check(this.#expectSnapshot(number, log));
    else check(log.offsetSince(1_000_000 + random.below(5_000), at(end)).then(() => undefined));
  }

  async #expectRead(number: number, log: LogStore, from: number): Promise<string | undefined> {
    const read = await log.read(at(from), log.endOffset, 1 + this.#random.below(30_000));
    if (this.#life?.node.log(testLogId(number)) !== log) return undefined;
    const { start, end, batches } = this.#log(number);
    if (read.kind === 'out-of-range') {
      return from < start || from > end ? undefined : `${from} is out of range of ${start} to ${end}`;
    }
    const got = this.#originalsIn(read.batches).filter((one) => one.end > from);
    const wanted = batches.filter((one) => one.end > from && one.end <= read.endOffset);
    // In what was refilled each batch is of a later state than it was read in.
    const same = logText({ start, end, batches: got }) === logText({ start, end, batches: wanted });
    return same ? undefined : `read from ${from} in ${start} to ${end}: ${JSON.stringify({ got, wanted })}`;
  }

  async #expectSnapshot(number: number, log: LogStore): Promise<string | undefined> {
    const snapshot = await log.loadSnapshot();
    if (snapshot === undefined || this.#life?.node.log(testLogId(number)) !== log) return undefined;
    this.counts.snapshots += 1;
    const { start, end, batches } = this.#log(number);
    if (snapshot.offset < start || snapshot.offset > end) return `snapshot at ${snapshot.offset} of ${start} to ${end}`;
    const got = knownFrom(snapshot).filter((one) => one.end > start);
    const wanted = batches
      .filter((one) => one.end <= snapshot.offset)
      .map(({ base, end: last, crc }) => ({ base, end: last, crc }));
    const same = JSON.stringify(got) === JSON.stringify(wanted);
    return same ? undefined : `snapshot at ${snapshot.offset}: ${JSON.stringify({ got, wanted })}`;
  }

  #originalsIn(parts: readonly Uint8Array[]): Appended[] {
    return parts.flatMap((part) => knownBatches(part).flatMap(({ crc }) => this.#known.originals(crc)));
  }

  async #contents(log: LogStore): Promise<Appended[]> {
    const held: Appended[] = [];
    for (let from = log.startOffset; from < log.endOffset; ) {
      const read = await log.read(from, log.endOffset, 1 + this.#delays.below(30_000));
      if (read.kind === 'out-of-range' || read.endOffset <= from) throw new Error(`nothing to read at ${from}`);
      // Compaction may have put batches together, across the place where it stands.
      const reached = from;
      held.push(...this.#originalsIn(read.batches).filter(({ end }) => end > reached));
      from = read.endOffset;
    }
    return held.filter(({ end }) => end > log.startOffset);
  }

  // What must hold

  #expectBounds({ node }: Life): void {
    for (const [number, model] of this.#logs) {
      const log = node.log(testLogId(number));
      const { startOffset: start, endOffset: end, durableOffset: durable, durableStart } = log;
      const isWhole =
        start === model.start && end === model.end && start <= end && durable <= end && durableStart <= start;
      const isTouched = log.lossy === undefined || this.#rot.mayTouch(number, model);
      const wrong = wrongLoss(log, model);
      if (wrong !== undefined) this.#fail(`log ${number}: ${wrong}`);
      if (!isWhole || !isTouched) {
        this.#fail(
          `log ${number}: ${JSON.stringify({ start, end, durable, durableStart, lossy: log.lossy, model: [model.start, model.end] })}`,
        );
      }
    }
  }

  /** Nothing is under way: all is durable, everything is there, and nothing else is. */
  async #expectQuiet(life: Life): Promise<void> {
    const { node } = life;
    const isDone = Promise.withResolvers<void>();
    node.raft.persist({}, () => isDone.resolve());
    await this.#done(isDone.promise, 'quiet');
    for (const [number, model] of this.#logs) {
      const log = node.log(testLogId(number));
      if (log.durableOffset !== model.end || log.durableStart !== model.start) {
        this.#fail(
          `log ${number}, ${model.start} to ${model.end}: durable ${log.durableStart} to ${log.durableOffset}`,
        );
      }
      while (this.#problem === undefined && !(await this.#readsAll(number, log))) {
        // A rewrite has just come to stand for what was whole, and its copy is what decayed.
        if (!this.#rot.mayTouch(number, model)) this.#fail(`log ${number} cannot be read`);
        else await this.#refill(number, log);
      }
      await this.#expectTime(number, log, model);
    }
    await this.#expectSnapshots(life);
    const ticks = this.#readsUnderWay > 0 ? 2_000 : 0;
    await this.#tick(ticks);
    if (this.#readsUnderWay > 0) this.#fail(`${this.#readsUnderWay} reads hang`);
  }

  async #expectTime(number: number, log: LogStore, model: ModelLog): Promise<void> {
    const since = 1_000_000 + this.#random.below(5_500);
    const found = await this.#done(log.offsetSince(since, at(model.end)), 'look-up');
    const first = model.batches.find((one) => one.timestampMs >= since);
    const wanted = first === undefined ? model.end : Math.max(first.base, model.start);
    const isJoined = this.#compactedTo.has(`${number}:${model.life}`);
    // What is joined keeps the time of what its start has passed.
    if (isJoined ? found > wanted : found !== wanted) {
      this.#fail(`log ${number}: ${since} is found at ${found}, not ${wanted}`);
    }
  }

  async #expectSnapshots({ node }: Life): Promise<void> {
    for (let number = 0; number < logCount; number += 1) {
      const problem = await this.#done(this.#expectSnapshot(number, node.log(testLogId(number))), 'snapshot');
      if (problem !== undefined) this.#fail(`log ${number}: ${problem}`);
    }
  }

  async #end(life: Life): Promise<void> {
    const draw = this.#random.below(4);
    if (draw > 0) {
      await this.#crash(life.clock);
      return;
    }
    this.#disk.setCapacity(1024 ** 3);
    const { last } = this.#states;
    await this.#done(life.node.close(), 'close');
    this.#states.reached(last);
    const bytes = bytesOf(life.node);
    await this.#done(life.directory.release(), 'release');
    life.clock.isOver = true;
    await this.#expectFiles(bytes);
  }

  /** After a stop in order another start sees what the one before saw. */
  async #expectFiles(before: string): Promise<void> {
    const clock = new LifeClock(this.#clock);
    const halts: Error[] = [];
    const { node, directory } = await this.#done(this.#openWith(clock, halts), 'open again');
    if (bytesOf(node) !== before) this.#fail(`logs held ${before}, now ${bytesOf(node)}`);
    await this.#tick(3_000);
    await this.#done(node.close(), 'close again');
    const names = await this.#done(this.#disk.list(path), 'list');
    const files = names.filter((name) => name.endsWith('.log'));
    const { journalFiles, sortedFiles } = node.stats;
    const journals = files.filter((name) => name.startsWith('journal'));
    const sorted = files.filter((name) => name.startsWith('sorted'));
    const checkpoints = files.filter((name) => name.startsWith('checkpoint'));
    if (journals.length !== journalFiles || sorted.length !== sortedFiles || checkpoints.length > 1) {
      this.#fail(`${journalFiles} journals and ${sortedFiles} sorted files are live, there are ${names.join(' ')}`);
    }
    await this.#done(directory.release(), 'release');
    clock.isOver = true;
  }

  async #crash(clock: LifeClock): Promise<void> {
    clock.isOver = true;
    // What is on its way through the process gets to the disk, or to nobody.
    await new Promise((resolve) => void setImmediate(resolve));
    this.counts.crashes += 1;
    const random = this.#random;
    const draw = random.below(6);
    if (draw === 0) this.#disk.killProcess();
    else if (draw === 1) this.#disk.crash({ keep: 'nothing' });
    else if (draw === 2) this.#disk.crash({ keep: 'everything' });
    else if (draw === 3) this.#disk.crash({ keep: 'everything', tearLastWrite: random });
    else this.#disk.crash({ keep: random });
    this.#readsUnderWay = 0;
    this.#life = undefined;
  }

  // Time

  async #tick(ms: number): Promise<void> {
    for (let n = 0; n < ms && this.#problem === undefined; n += 1) {
      this.#clock.advance(1);
      await new Promise((resolve) => void setImmediate(resolve));
    }
  }

  async #done<T>(work: Promise<T>, what: string): Promise<T> {
    let isOver = false;
    const over = (): void => {
      isOver = true;
    };
    work.then(over, over);
    await new Promise((resolve) => void setImmediate(resolve));
    for (let n = 0; !isOver; n += 1) {
      if (n > 200_000) throw new Error(`${what} hangs`);
      this.#clock.advance(1);
      await new Promise((resolve) => void setImmediate(resolve));
    }
    return work;
  }

  #fail(problem: string): void {
    this.#problem ??= `at ${this.#clock.monotonicMs()}: ${problem}`;
  }
}
