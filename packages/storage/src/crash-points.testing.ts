/**
 * S12, for tests: a scripted workload is cut at every single disk operation, with every kind of leftover; what recovery
 * finds must be the state after some prefix of what was asked for, at least as long as what was reported durable.
 */
import type { Disk, DiskFile } from '@sluice/base';
import { DiskError, logIndex, SeededRandom, term } from '@sluice/base';
import { signatureOf } from './log-model.ts';
import { MemoryDisk } from './memory-disk.ts';
import type { CrashOptions } from './memory-file.ts';
import type { NodeLog, NodeLogLimits } from './node-log.ts';
import type { RaftEntry, RaftHardState, RaftWrite } from './raft-store.ts';
import { at as offsetAt } from './test-batches.ts';
import { openTestNode, testLogId } from './test-node-log.ts';
import { wrongSnapshot } from './test-snapshots.ts';

export interface Workload {
  readonly limits: Partial<NodeLogLimits>;
  readonly logNumbers: readonly number[];
  /** Recovery is cut below so many disk operations. */
  readonly recoveryOperations: number;
  run(disk: Disk, seed: number, history: History): Promise<void>;
}

/** The states that a workload went through, and how far it is known to be durable. */
export class History {
  readonly states: string[] = ['\n[{"term":0,"votedFor":null},[]]'];
  durable = 0;

  add(logs: string, raft: string): void {
    this.states.push(`${logs}\n${raft}`);
  }

  /** Resolves when the state that is the last now is durable. */
  reported(node: NodeLog): Promise<void> {
    const state = this.states.length - 1;
    return new Promise((resolve) => {
      node.raft.persist({}, () => {
        this.durable = state;
        resolve();
      });
    });
  }

  mayBe(state: string): boolean {
    return this.states.some((known, number) => known === state && number >= this.durable);
  }
}

/** The Raft state as it should be. */
export class RaftModel {
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

type Mode = 'nothing' | 'everything' | 'random' | 'torn';
const modes: readonly Mode[] = ['nothing', 'everything', 'random', 'torn'];

const crashOptions = (mode: Mode, seed: number): CrashOptions => {
  if (mode === 'random') return { keep: new SeededRandom(seed) };
  if (mode === 'torn') return { keep: 'everything', tearLastWrite: new SeededRandom(seed) };
  return { keep: mode };
};

/** A disk whose operations hang from one on, as when the power goes. */
export class CrashingDisk {
  readonly disk: MemoryDisk;
  #from = Number.POSITIVE_INFINITY;
  #onHang: () => void = () => undefined;

  constructor() {
    this.disk = new MemoryDisk({
      faults: ({ number }) => {
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
    await turn();
    this.#from = Number.POSITIVE_INFINITY;
    return done;
  }

  /** The process that runs now gets so many more operations done; then `crash` may come, and finds nobody at work. */
  async stopAfter(operations: number, crash: () => void): Promise<void> {
    this.#from = this.disk.operations() + operations;
    await turn();
    crash();
    this.#from = Number.POSITIVE_INFINITY;
  }
}

const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

const raftSignature = (hardState: RaftHardState, entries: readonly RaftEntry[]): string =>
  JSON.stringify([hardState, entries.map((entry) => ({ ...entry, payload: [...entry.payload] }))]);

async function recoveredState(
  disk: Disk,
  { limits, logNumbers }: Workload,
  after: 'close' | 'leave' = 'close',
): Promise<string> {
  const node = await openTestNode({ disk, limits });
  if (node.log.lossy.length > 0) return `lossy: ${JSON.stringify(node.log.lossy)}`;
  if (node.log.damaged) return 'whole groups are missing';
  if (node.log.raft.doubtful) return 'the Raft state is doubtful';
  const { hardState, entries } = node.log.raft.load();
  const state = `${await signatureOf(node.log, logNumbers)}\n${raftSignature(hardState, entries)}`;
  const dead = await readableDead(node.log, logNumbers);
  if (dead !== undefined) return dead;
  for (const number of logNumbers) {
    const wrong = await wrongSnapshot(node.log.log(testLogId(number)));
    if (wrong !== undefined) return wrong;
  }
  if (after === 'close') await node.close();
  return state;
}

/** An offset below a log's start that can be read all the same. */
async function readableDead(node: NodeLog, logNumbers: readonly number[]): Promise<string | undefined> {
  for (const number of logNumbers) {
    const log = node.log(testLogId(number));
    for (let from = 0; from < log.startOffset; from += 1) {
      const read = await log.read(offsetAt(from), log.endOffset, 1000);
      if (read.kind !== 'out-of-range') return `log ${number}: offset ${from} is dead, and was read`;
    }
  }
  return undefined;
}

interface CrashPoint {
  readonly seed: number;
  /** Disk operation of the workload that is the last to be seen. */
  readonly at: number;
  readonly mode: Mode;
}

type Wrap = (disk: Disk) => Disk;

/** What is wrong after a crash there; undefined when all is well, 'beyond' when the workload has fewer operations. */
async function problemAfterCrash(workload: Workload, point: CrashPoint, wrap: Wrap): Promise<string | undefined> {
  const { seed, at, mode } = point;
  const crashing = new CrashingDisk();
  const disk = wrap(crashing.disk);
  const history = new History();
  const done = await crashing.run(at, () => workload.run(disk, seed, history));
  if (done) return 'beyond';
  crashing.disk.crash(crashOptions(mode, at));
  // Recovery is cut too, wherever it stands, and its leftovers are as bad.
  const random = new SeededRandom(at);
  for (let round = 0; round < 2; round += 1) {
    await crashing.run(random.below(workload.recoveryOperations), () => recoveredState(disk, workload));
    crashing.disk.crash(crashOptions(mode, at + round));
  }
  const state = await recoveredState(disk, workload);
  if (!history.mayBe(state)) return `${JSON.stringify(point)}: durable ${history.durable}, recovered ${state}`;
  const again = await recoveredState(disk, workload);
  return again === state ? undefined : `${JSON.stringify(point)}: the second recovery differs: ${again}`;
}

/**
 * The process is killed there, and later the power goes: what the next process found, and said, must still be found by the
 * one after it.
 */
async function problemAfterKill(workload: Workload, seed: number, at: number): Promise<string | undefined> {
  const crashing = new CrashingDisk();
  const { disk } = crashing;
  const history = new History();
  if (await crashing.run(at, () => workload.run(disk, seed, history))) return 'beyond';
  disk.killProcess();
  const state = await recoveredState(disk, workload, 'leave');
  if (!history.mayBe(state)) return `killed at ${at}: durable ${history.durable}, recovered ${state}`;
  // What it still does beside that, a drop say, is cut somewhere too.
  await crashing.stopAfter(at % workload.recoveryOperations, () => disk.crash({ keep: 'nothing' }));
  const again = await recoveredState(disk, workload);
  return again === state ? undefined : `killed at ${at}: ${state} was found, then ${again}`;
}

/** Enough: a workload that fails by itself never gets beyond its last operation. */
const problemsMax = 50;

export interface Problems {
  readonly found: readonly string[];
  readonly points: number;
}

export async function crashProblems(
  workload: Workload,
  seeds: readonly number[],
  wrap: Wrap = (disk) => disk,
): Promise<Problems> {
  const found: string[] = [];
  let points = 0;
  for (const seed of seeds) {
    for (let at = 0, beyond = false; !beyond && found.length < problemsMax; at += 1) {
      for (const mode of modes) {
        const problem = await problemAfterCrash(workload, { seed, at, mode }, wrap).catch(String);
        beyond ||= problem === 'beyond';
        if (beyond) break;
        points += 1;
        if (problem !== undefined) found.push(problem);
      }
    }
  }
  return { found, points };
}

/**
 * Each disk operation fails once, without effect. Whether the node stops over it or goes on, the power goes after that, and
 * what was reported durable must be there.
 */
export async function failureProblems(workload: Workload, seed: number, code: string): Promise<Problems> {
  const found: string[] = [];
  let points = 0;
  for (; found.length < problemsMax; points += 1) {
    const memory = new MemoryDisk();
    const failing = failingAt(memory, points, code);
    const history = new History();
    // It ends, throws, or waits for ever for what the node that stopped will not report; then nobody is at work.
    void workload.run(failing.disk, seed, history).catch(() => undefined);
    await turn();
    if (!failing.hasFailed()) break;
    memory.crash({ keep: 'nothing' });
    const state = await recoveredState(memory, workload).catch(String);
    if (!history.mayBe(state)) found.push(`${code} at ${points}: durable ${history.durable}, recovered ${state}`);
  }
  return { found, points };
}

function failingAt(memory: Disk, at: number, code: string): { disk: Disk; hasFailed: () => boolean } {
  let operations = 0;
  const wrapped = <T extends object>(target: T): T =>
    new Proxy(target, {
      get: (object, name) => {
        const value: unknown = Reflect.get(object, name);
        if (typeof value !== 'function') return value;
        return async (...args: readonly unknown[]): Promise<unknown> => {
          operations += 1;
          const what = String(name);
          if (operations - 1 === at) throw new DiskError(code, what, `${what}: ${code}`);
          const result: unknown = await Reflect.apply(value, object, args);
          return what === 'open' ? wrapped(result as DiskFile) : result;
        };
      },
    });
  return { disk: wrapped(memory), hasFailed: () => operations > at };
}

export async function killProblems(workload: Workload, seed: number): Promise<Problems> {
  const found: string[] = [];
  let points = 0;
  for (; found.length < problemsMax; points += 1) {
    const problem = await problemAfterKill(workload, seed, points).catch(String);
    if (problem === 'beyond') break;
    if (problem !== undefined) found.push(problem);
  }
  return { found, points };
}
