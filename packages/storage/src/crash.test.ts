/**
 * S12: a scripted workload is cut at every single disk operation, with every kind of leftover; what recovery finds must
 * be the state after some prefix of what was asked for, at least as long as what was reported durable.
 */
import type { Disk, DiskFile } from '@sluice/base';
import { logIndex, SeededRandom, term } from '@sluice/base';
import { expect, test } from 'vitest';
import { LogModel, signatureOf } from './log-model.ts';
import { type CrashOptions, MemoryDisk } from './memory-disk.ts';
import type { NodeLog } from './node-log.ts';
import type { RaftEntry, RaftHardState, RaftWrite } from './raft-store.ts';
import { wrappedDisk } from './test-disk.ts';
import { openTestNode } from './test-node-log.ts';

const limits = {
  journalBytesMax: 40 * 1024,
  groupBytesMax: 12 * 1024,
  tailBytesMax: 64 * 1024,
  // In small steps, so that crashes meet them often.
  spaceAheadBytes: 24 * 1024,
  zerosAheadBytes: 16 * 1024,
};
const logNumbers = [0, 1, 2, 3, 4];
const steps = 36;

type Mode = 'nothing' | 'everything' | 'random' | 'torn';
const modes: readonly Mode[] = ['nothing', 'everything', 'random', 'torn'];

const crashOptions = (mode: Mode, seed: number): CrashOptions => {
  if (mode === 'random') return { keep: new SeededRandom(seed) };
  if (mode === 'torn') return { keep: 'everything', tearLastWrite: new SeededRandom(seed) };
  return { keep: mode };
};

/** A disk whose operations hang from one on, as when the power goes. */
class CrashingDisk {
  readonly disk: MemoryDisk;
  #from = Number.POSITIVE_INFINITY;
  #onHang: () => void = () => undefined;

  constructor() {
    this.disk = new MemoryDisk({
      onOperation: ({ number }) => {
        if (number < this.#from) return 'run';
        this.#onHang();
        return 'hang';
      },
    });
  }

  /** Runs until done, or until operation `number`, counted from now, hangs. Says whether it was done. */
  async run(number: number, work: () => Promise<unknown>): Promise<boolean> {
    this.#from = this.disk.operations() + number;
    const hung = new Promise<false>((resolve) => {
      this.#onHang = () => resolve(false);
    });
    const done = await Promise.race([work().then(() => true), hung]);
    // What is still on its way to completion when the power goes gets there.
    await new Promise<void>((resolve) => void setImmediate(resolve));
    this.#from = Number.POSITIVE_INFINITY;
    return done;
  }
}

/** The Raft state as it should be. */
class RaftModel {
  #hardState: RaftHardState = { term: term(0), votedFor: null };
  #entries: RaftEntry[] = [];

  step(node: NodeLog, random: SeededRandom): void {
    const next = this.#entries.length + 1;
    const from = Math.max(1, next - random.below(4));
    const at = term(this.#hardState.term + random.below(2));
    const entries = Array.from({ length: random.below(4) }, (_, n) => ({
      index: logIndex(from + n),
      term: at,
      kind: n,
      payload: new Uint8Array(random.below(200)).fill(random.below(256)),
    }));
    const truncates = entries.length === 0 || random.below(2) === 0;
    const hardState = { term: at, votedFor: random.below(3) === 0 ? null : `node ${random.below(9)}` };
    const write: RaftWrite = { hardState, entries, ...(truncates ? { truncateFrom: logIndex(from) } : {}) };
    node.raft.persist(write, () => undefined);
    this.#hardState = hardState;
    if (truncates || entries.length > 0) this.#entries = [...this.#entries.slice(0, from - 1), ...entries];
  }

  signature(): string {
    return raftSignature(this.#hardState, this.#entries);
  }
}

const raftSignature = (hardState: RaftHardState, entries: readonly RaftEntry[]): string =>
  JSON.stringify([hardState, entries.map((entry) => ({ ...entry, payload: [...entry.payload] }))]);

/** The states that the workload went through, and how far it is known to be durable. */
interface History {
  readonly states: string[];
  durable: number;
}

async function workload(disk: Disk, seed: number, history: History): Promise<void> {
  const random = new SeededRandom(seed);
  const logs = new LogModel();
  const raft = new RaftModel();
  const node = await openTestNode({ disk, limits });
  node.log.raft.load();
  for (let step = 1; step <= steps; step += 1) {
    if (random.below(3) === 0) raft.step(node.log, random);
    else logs.step(node.log, random);
    history.states.push(`${logs.signature()}\n${raft.signature()}`);
    const waits = random.below(2) === 0;
    const reported = new Promise<void>((resolve) => {
      node.log.raft.persist({}, () => {
        history.durable = step;
        resolve();
      });
    });
    if (waits) await reported;
  }
  await node.close();
}

async function recoveredState(disk: Disk, after: 'close' | 'leave' = 'close'): Promise<string> {
  const node = await openTestNode({ disk, limits });
  if (node.log.lossy.length > 0) return `lossy: ${JSON.stringify(node.log.lossy)}`;
  if (node.log.raft.doubtful) return 'the Raft state is doubtful';
  const { hardState, entries } = node.log.raft.load();
  const state = `${await signatureOf(node.log, logNumbers)}\n${raftSignature(hardState, entries)}`;
  if (after === 'close') await node.close();
  return state;
}

interface CrashPoint {
  readonly seed: number;
  /** Disk operation of the workload that is the last to be seen. */
  readonly at: number;
  readonly mode: Mode;
}

/** What is wrong after a crash there; undefined when all is well, 'beyond' when the workload has fewer operations. */
async function problemAfterCrash(point: CrashPoint, wrap: (disk: Disk) => Disk): Promise<string | undefined> {
  const { seed, at, mode } = point;
  const crashing = new CrashingDisk();
  const disk = wrap(crashing.disk);
  const history: History = { states: ['\n[{"term":0,"votedFor":null},[]]'], durable: 0 };
  const done = await crashing.run(at, () => workload(disk, seed, history));
  if (done) return 'beyond';
  crashing.disk.crash(crashOptions(mode, at));
  // Recovery is cut too, wherever it stands, and its leftovers are as bad.
  const random = new SeededRandom(at);
  for (let round = 0; round < 2; round += 1) {
    await crashing.run(random.below(25), () => recoveredState(disk));
    crashing.disk.crash(crashOptions(mode, at + round));
  }
  const state = await recoveredState(disk);
  const found = history.states.findIndex((known, step) => known === state && step >= history.durable);
  if (found < 0) return `${JSON.stringify(point)}: durable ${history.durable}, recovered ${state}`;
  const again = await recoveredState(disk);
  return again === state ? undefined : `${JSON.stringify(point)}: the second recovery differs: ${again}`;
}

/**
 * The process is killed there, and later the power goes: what the next process found, and said, must still be found by the
 * one after it.
 */
async function problemAfterKill(seed: number, at: number, wrap: (disk: Disk) => Disk): Promise<string | undefined> {
  const crashing = new CrashingDisk();
  const disk = wrap(crashing.disk);
  const history: History = { states: ['\n[{"term":0,"votedFor":null},[]]'], durable: 0 };
  if (await crashing.run(at, () => workload(disk, seed, history))) return 'beyond';
  crashing.disk.killProcess();
  const state = await recoveredState(disk, 'leave');
  const found = history.states.findIndex((known, step) => known === state && step >= history.durable);
  if (found < 0) return `killed at ${at}: durable ${history.durable}, recovered ${state}`;
  crashing.disk.crash({ keep: 'nothing' });
  const again = await recoveredState(disk);
  return again === state ? undefined : `killed at ${at}: ${state} was found, then ${again}`;
}

async function problems(
  seeds: readonly number[],
  wrap: (disk: Disk) => Disk = (disk) => disk,
): Promise<{ found: string[]; points: number }> {
  const found: string[] = [];
  let points = 0;
  for (const seed of seeds) {
    for (let at = 0, beyond = false; !beyond; at += 1) {
      for (const mode of modes) {
        const problem = await problemAfterCrash({ seed, at, mode }, wrap).catch(String);
        beyond ||= problem === 'beyond';
        if (beyond) break;
        points += 1;
        if (problem !== undefined) found.push(problem);
      }
    }
  }
  return { found, points };
}

test('a crash at any disk operation, with any leftover, loses nothing durable and invents nothing', async () => {
  const { found, points } = await problems([1, 6]);
  expect(found.slice(0, 3)).toEqual([]);
  expect(points).toBeGreaterThan(600);
}, 60_000);

test('what is found after a kill at any disk operation survives the power cut that follows', async () => {
  const found: string[] = [];
  let points = 0;
  for (;;) {
    const problem = await problemAfterKill(1, points, (disk) => disk).catch(String);
    if (problem === 'beyond') break;
    points += 1;
    if (problem !== undefined) found.push(problem);
  }
  expect(found.slice(0, 3)).toEqual([]);
  expect(points).toBeGreaterThan(150);
}, 60_000);

test('without the sync of files the same enumeration finds losses', async () => {
  const forgetful = (disk: Disk): Disk =>
    wrappedDisk(disk, {
      sync: () => Promise.resolve(),
      writeDurable(this: DiskFile, buffers, position) {
        return this.write(buffers, position);
      },
    });
  expect((await problems([1], forgetful)).found.length).toBeGreaterThan(10);
}, 60_000);

test('without the sync of directories the same enumeration finds losses', async () => {
  const forgetful = (disk: Disk): Disk => wrappedDisk(disk, {}, { syncDirectory: () => Promise.resolve() });
  expect((await problems([1], forgetful)).found.length).toBeGreaterThan(10);
}, 60_000);
