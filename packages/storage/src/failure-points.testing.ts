/**
 * S2, for tests: each disk operation of a workload fails once. Either the node stops, with a sentence, and nothing is
 * reported durable any more, or it goes on where that is documented. Then the power goes, or the process is killed, and
 * recovery fails somewhere too; what was reported durable must be there.
 */
import { DiskError, isSluiceError, SeededRandom } from '@sluice/base';
import { Scene, stateOf, type Workload } from './crash-history.testing.ts';
import { nameOf, type Point, recoveredState, turn, type Verdict } from './crash-points.testing.ts';
import { type DiskOperation, type DiskOperationKind, type FailedOperation, flushes } from './disk-faults.ts';
import { MemoryDisk } from './memory-disk.ts';
import { TestClock } from './test-clock.ts';
import { openTestNode } from './test-node-log.ts';

/** The code, and what the operation did all the same. */
export const failureModes = ['EIO-none', 'EIO-part', 'EIO-whole', 'EIO-cached', 'ENOSPC-none', 'ENOSPC-part'] as const;
export type FailureMode = (typeof failureModes)[number];

const faultOf = (mode: FailureMode): FailedOperation => {
  const [fail = '', effect] = mode.split('-');
  return { fail, effect: effect as NonNullable<FailedOperation['effect']> };
};

const changes: ReadonlySet<DiskOperationKind> = new Set(['write', 'writeDurable', 'sync', 'truncate']);
/** Of anything else a part is nothing, and nothing is cached. */
const kindsOf = { part: new Set(['write', 'writeDurable', 'sync']), cached: flushes } as const;

const fits = ({ effect }: FailedOperation, { kind }: DiskOperation): boolean =>
  effect !== 'part' && effect !== 'cached' ? true : kindsOf[effect].has(kind);

const waits: ReadonlySet<DiskOperationKind> = new Set(['open', 'write', 'truncate', 'rename']);
const looks: ReadonlySet<DiskOperationKind> = new Set(['open', 'read', 'size', 'close']);
const isOfJournal = ({ path }: DiskOperation): boolean => path.includes('/journal-');
const isOfSorted = ({ path }: DiskOperation): boolean => path.includes('/sorted-');
const isOfCheckpoint = ({ path }: DiskOperation): boolean => path.includes('/checkpoint-');
const isOfRaftSnapshot = ({ path }: DiskOperation): boolean => path.includes('/raft-snapshot-');

/**
 * C6: a drop that has no room, or cannot read old files, is given up, and so is a rewrite (R5 of `rewriter.ts`). R3, A3: what makes a file, or makes one longer, waits
 * for room. R4: a disk need not say how much is free.
 */
function mayGoOn(operation: DiskOperation, code: string): boolean {
  const { kind } = operation;
  if (kind === 'space') return true;
  if (looks.has(kind) && (isOfJournal(operation) || isOfCheckpoint(operation) || isOfSorted(operation))) return true;
  if (code !== 'ENOSPC') return false;
  if (isOfCheckpoint(operation) || isOfSorted(operation)) return true;
  // F4: it is written anew when there is room.
  if (isOfRaftSnapshot(operation) && kind !== 'remove') return true;
  return waits.has(kind) || (kind === 'writeDurable' && !isGroup(operation));
}

/** What is written ahead of the groups is zeros. */
const isGroup = ({ kind, path, buffers }: DiskOperation): boolean =>
  kind === 'writeDurable' && path.includes('/journal-') && buffers.some((buffer) => buffer.some((byte) => byte !== 0));

/** A disk whose operation number `at`, counted from when it is armed, fails. */
class FailingDisk {
  readonly disk: MemoryDisk;
  failed: DiskOperation | undefined;
  onOperation: (operation: DiskOperation) => void = () => undefined;
  #at = -1;
  readonly #fault: FailedOperation;

  constructor(fault: FailedOperation) {
    this.#fault = fault;
    this.disk = new MemoryDisk({
      faults: (operation) => {
        this.onOperation(operation);
        if (operation.number !== this.#at) return 'run';
        this.failed = operation;
        return fits(this.#fault, operation) ? this.#fault : 'run';
      },
    });
  }

  arm(at: number): void {
    this.failed = undefined;
    this.#at = this.disk.operations() + at;
  }
}

/** What waits for room looks for it again. */
const lookMs = 1000;
const looksMax = 5;

type Outcome = 'done' | 'waits' | { readonly error: unknown };

/** It ends, throws, or waits for ever for what a node that stopped will not report; then nobody is at work. */
async function outcomeOf(work: Promise<unknown>, clock: TestClock, isOver: () => boolean): Promise<Outcome> {
  let outcome: Outcome | undefined;
  const ended = work.then(
    () => {
      outcome = 'done';
    },
    (error: unknown) => {
      outcome = { error };
    },
  );
  for (let look = 0; look <= looksMax; look += 1) {
    await Promise.race([ended, turn()]);
    if (outcome !== undefined || isOver()) break;
    clock.advance(lookMs);
  }
  // What else is on its way gets there.
  await turn();
  return outcome ?? 'waits';
}

export async function failureAt(workload: Workload, point: Point<FailureMode>): Promise<Verdict> {
  const { seed, at, mode } = point;
  const fault = faultOf(mode);
  const failing = new FailingDisk(fault);
  const scene = new Scene(failing.disk, workload, seed);
  const touched: string[] = [];
  let durableThen = 0;
  failing.onOperation = ({ kind, path }) => {
    if (failing.failed === undefined) durableThen = scene.history.durable;
    const hasStopped = scene.nodes.some((node) => node.halts.length > 0);
    if (hasStopped && changes.has(kind) && path.includes('/journal-')) touched.push(`${kind} ${path}`);
  };
  failing.arm(at);
  const hasHalted = (): boolean => scene.nodes.some((node) => node.halts.length > 0);
  const ended = await outcomeOf(workload.run(scene), scene.clock, hasHalted);
  if (failing.failed === undefined) return 'beyond';
  if (!fits(fault, failing.failed)) return 'same';
  const problem =
    (ended !== 'waits' || hasHalted()
      ? undefined
      : `${failing.failed.kind} ${failing.failed.path}: it waits for ever`) ??
    problemOfStop({ scene, durableThen, ended, operation: failing.failed, code: fault.fail }) ??
    (touched.length > 0 ? `after the stop: ${touched.join(', ')}` : undefined) ??
    (await problemAfterwards(failing, { workload, scene, point }).catch((error: unknown) => String(error)));
  return problem === undefined ? 'fine' : { problem: `${nameOf(workload, point)}: ${problem}` };
}

function problemOfStop(what: {
  readonly scene: Scene;
  readonly durableThen: number;
  readonly ended: Outcome;
  readonly operation: DiskOperation;
  readonly code: string;
}): string | undefined {
  const { scene, durableThen, ended, operation, code } = what;
  const where = `${operation.kind} ${operation.path}`;
  const isRejected = typeof ended !== 'string';
  if (isRejected && !isTyped(ended.error)) return `${where}: ${String(ended.error)}`;
  const halts = scene.nodes.flatMap((node) => node.halts);
  if (halts.length > 1) return `${where}: the node stops ${halts.length} times`;
  const [halt] = halts;
  if (halt === undefined && !isRejected) return mayGoOn(operation, code) ? undefined : `${where}: it goes on`;
  if (halt !== undefined && !isSentence(halt, code)) return `${where}: it stops with ${String(halt)}`;
  const { durable, reportedAfterStop } = scene.history;
  if (reportedAfterStop > 0) return `${where}: ${reportedAfterStop} states are reported durable after the stop`;
  // What fails beside a group says nothing of that one; a group that failed, or what it waited for, is never durable.
  return durable === durableThen || !isGroup(operation)
    ? undefined
    : `${where}: ${durable - durableThen} more states are reported durable`;
}

const isTyped = (error: unknown): boolean => error instanceof DiskError || isSluiceError(error);

const isSentence = (error: Error, code: string): boolean =>
  isSluiceError(error) &&
  error.code === 'STORAGE_FAILED' &&
  error.message.includes(code) &&
  error.message.endsWith('.');

async function problemAfterwards(
  failing: FailingDisk,
  { workload, scene, point }: { workload: Workload; scene: Scene; point: Point<FailureMode> },
): Promise<string | undefined> {
  const { disk } = failing;
  const { limits, logNumbers } = workload;
  const random = new SeededRandom(point.at);
  // What is cached is gone with the power, as though it had been dropped.
  const isCached = point.mode === 'EIO-cached';
  const isKilled = isCached || (point.at + failureModes.indexOf(point.mode)) % 2 === 0;
  const end = (): void => (isKilled ? disk.killProcess() : disk.crash({ keep: 'nothing' }));
  end();
  failing.arm(random.below(workload.recoveryOperations));
  const clock = new TestClock();
  let first = '';
  const recovering = openTestNode({ disk, limits, clock }).then(async (node) => {
    first = await stateOf(node, logNumbers);
  });
  const recovered = await outcomeOf(recovering, clock, () => false);
  if (recovered === 'waits') return 'recovery waits for ever';
  if (recovered !== 'done' && !isTyped(recovered.error)) return `recovery fails with ${String(recovered.error)}`;
  if (recovered === 'done' && !scene.history.mayBe(first)) return `recovery met a failure and found ${first}`;
  await turn();
  end();
  failing.arm(Number.POSITIVE_INFINITY);
  const node = await openTestNode({ disk, limits });
  const state = await stateOf(node, logNumbers);
  const { history } = scene;
  if (!history.mayBe(state)) return `durable ${history.durable}, recovered ${state}`;
  const dead = await history.readableDead(node.log, logNumbers);
  if (!isCached) await node.close();
  return dead ?? (isCached ? problemAfterPowerCut(disk, workload, state) : undefined);
}

/** What a process found, and said, must still be found when the page cache is gone. */
async function problemAfterPowerCut(disk: MemoryDisk, workload: Workload, state: string): Promise<string | undefined> {
  await turn();
  disk.crash({ keep: 'nothing' });
  const again = await recoveredState(disk, workload);
  return again === state ? undefined : `${state} was found, then ${again}`;
}
