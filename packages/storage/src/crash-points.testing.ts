/**
 * S12, for tests: a scripted workload is cut at every single disk operation, with every kind of leftover; what recovery
 * finds must be the state after some prefix of what was asked for, at least as long as what was reported durable. Recovery
 * is cut too, twice, and one more changes nothing.
 */
import type { Disk } from '@sluice/base';
import { SeededRandom } from '@sluice/base';
import { Scene, stateOf, type Workload } from './crash-history.testing.ts';
import { MemoryDisk } from './memory-disk.ts';
import type { CrashOptions } from './memory-file.ts';
import { openTestNode } from './test-node-log.ts';

/** What is left of the unsynced changes; `kill`: the process dies first, and the power goes while the next one is at work. */
export const crashModes = ['nothing', 'everything', 'random', 'torn', 'kill'] as const;
export type CrashMode = (typeof crashModes)[number];

/** A place in a workload, and what happens there. */
export interface Point<Mode extends string> {
  readonly seed: number;
  /** Disk operation of the workload, counted from 0. */
  readonly at: number;
  readonly mode: Mode;
}

type CrashPoint = Point<CrashMode>;

export type Verdict =
  | 'fine'
  /** The workload has fewer operations. */
  | 'beyond'
  /** No other than a point of the same place that was looked at. */
  | 'same'
  | { readonly problem: string };

export type Wrap = (disk: Disk) => Disk;

const crashOptions = (mode: CrashMode, seed: number): CrashOptions => {
  if (mode === 'random') return { keep: new SeededRandom(seed) };
  if (mode === 'torn') return { keep: 'everything', tearLastWrite: new SeededRandom(seed) };
  return { keep: mode === 'everything' ? mode : 'nothing' };
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

/** Everything that completes by itself has: a `MemoryDisk` without a clock, and a `TestClock`, need no more than microtasks. */
export const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

/** How many of the disk the workload has when nothing happens to it. */
export async function operationsOf(workload: Workload, seed: number): Promise<number> {
  const disk = new MemoryDisk();
  await workload.run(new Scene(disk, workload, seed));
  return disk.operations();
}

export async function recoveredState(
  disk: Disk,
  { limits, logNumbers }: Workload,
  after: 'close' | 'leave' = 'close',
): Promise<string> {
  const node = await openTestNode({ disk, limits });
  const state = await stateOf(node, logNumbers);
  if (after === 'close') await node.close();
  return state;
}

export async function crashAt(workload: Workload, point: CrashPoint, wrap: Wrap = (disk) => disk): Promise<Verdict> {
  const crashing = new CrashingDisk();
  const disk = wrap(crashing.disk);
  const scene = new Scene(disk, workload, point.seed);
  if (await crashing.run(point.at, () => workload.run(scene))) return 'beyond';
  if (crashing.disk.unsyncedChanges === 0 && point.mode !== 'nothing' && point.mode !== 'kill') return 'same';
  const look = point.mode === 'kill' ? afterKill : afterPowerCut;
  const found = await look({ crashing, disk, workload, scene, point }).catch((error: unknown) => String(error));
  return found === undefined ? 'fine' : { problem: `${nameOf(workload, point)}: ${found}` };
}

/** As the command replays it. */
export const nameOf = ({ name }: Workload, { seed, at, mode }: Point<string>): string =>
  `${name}:${seed}:${at}:${mode}`;

interface Crashed {
  readonly crashing: CrashingDisk;
  readonly disk: Disk;
  readonly workload: Workload;
  readonly scene: Scene;
  readonly point: CrashPoint;
}

async function afterPowerCut({ crashing, disk, workload, scene, point }: Crashed): Promise<string | undefined> {
  const { at, mode } = point;
  crashing.disk.crash(crashOptions(mode, at));
  // Recovery is cut too, wherever it stands, and its leftovers are as bad.
  const random = new SeededRandom(at);
  for (let round = 0; round < 2; round += 1) {
    await crashing.run(random.below(workload.recoveryOperations), () => recoveredState(disk, workload));
    crashing.disk.crash(crashOptions(mode, at + round));
  }
  const state = await recoveredState(disk, workload);
  if (!scene.history.mayBe(state)) return `durable ${scene.history.durable}, recovered ${state}`;
  return afterLastRecovery(disk, workload, { scene, state });
}

/**
 * The process is killed there, and later the power goes: what the next process found, and said, must still be found by the
 * one after it.
 */
async function afterKill({ crashing, disk, workload, scene, point }: Crashed): Promise<string | undefined> {
  crashing.disk.killProcess();
  const state = await recoveredState(disk, workload, 'leave');
  if (!scene.history.mayBe(state)) return `durable ${scene.history.durable}, recovered ${state}`;
  // What it still does beside that, a drop say, is cut somewhere too.
  const crash = (): void => crashing.disk.crash({ keep: 'nothing' });
  await crashing.stopAfter(point.at % workload.recoveryOperations, crash);
  return afterLastRecovery(disk, workload, { scene, state });
}

/** One more recovery finds the same, and nothing that is dead. */
async function afterLastRecovery(
  disk: Disk,
  { limits, logNumbers }: Workload,
  { scene, state }: { readonly scene: Scene; readonly state: string },
): Promise<string | undefined> {
  const node = await openTestNode({ disk, limits });
  const again = await stateOf(node, logNumbers);
  if (again !== state) return `${state} was found, then ${again}`;
  const dead = await scene.history.readableDead(node.log, logNumbers);
  await node.close();
  return dead;
}
