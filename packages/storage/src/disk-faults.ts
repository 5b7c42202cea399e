/**
 * What can go wrong with one operation of a `MemoryDisk`, and plans that say with which. A plan is asked once for each
 * operation, in the order of submission.
 */
import { invariant } from '@sluice/base';

export type DiskOperationKind =
  | 'open'
  | 'makeDirectory'
  | 'list'
  | 'exists'
  | 'rename'
  | 'remove'
  | 'syncDirectory'
  | 'space'
  | 'lock'
  | 'read'
  | 'write'
  | 'writeDurable'
  | 'sync'
  | 'truncate'
  | 'size'
  | 'close';

export interface DiskOperation {
  readonly kind: DiskOperationKind;
  readonly path: string;
  /** Counted from 0 over the life of the disk. */
  readonly number: number;
  /** Of a write; 0 of all else. */
  readonly bytes: number;
  /** Of a write; none of all else. */
  readonly buffers: readonly Uint8Array[];
}

/** The operation is rejected with this code. */
export interface FailedOperation {
  readonly fail: string;
  /**
   * What it did all the same: of a write the bytes that are there, unsynced, of a sync the writes that are durable, the rest
   * of which is gone (S2). Anything else is done or not, and `part` of it is nothing. `cached`, of a sync or a durable
   * write: nothing is durable, nothing is dirty any more, and readers see the writes until the power goes. Default: `none`.
   */
  readonly effect?: 'none' | 'part' | 'whole' | 'cached';
}

export type DiskFault =
  | 'run'
  /** It takes effect and never completes, as on a disk that stopped answering. */
  | 'hang'
  /** A write that is said to be done, and never reached the disk. */
  | 'lost'
  /** A read of the file as though the last write that became durable never had. */
  | 'stale'
  | FailedOperation
  /** Of what is written, or read, counted from its first; at rest: `MemoryDisk.flipBit`. */
  | { readonly flipBit: number }
  /** A write that lands there and not where it belongs; default: in the same file. The file must exist. */
  | { readonly misdirect: { readonly path?: string; readonly position: number } };

export type FaultPlan = (operation: DiskOperation) => DiskFault;

export interface PlannedFault {
  /** Absent: of any kind. */
  readonly kind?: DiskOperationKind;
  /** What the path must contain. */
  readonly path?: string;
  /** Which of the operations that match, counted from 0. */
  readonly nth: number;
  readonly fault: DiskFault;
}

/** Each fault once; of two that match the same operation the earlier in the list counts. */
export function faultsAt(faults: readonly PlannedFault[]): FaultPlan {
  const seen = faults.map(() => 0);
  return (operation) => {
    let chosen: DiskFault = 'run';
    for (const [at, { kind, path, nth, fault }] of faults.entries()) {
      if ((kind ?? operation.kind) !== operation.kind || !operation.path.includes(path ?? '')) continue;
      const count = seen[at] ?? 0;
      seen[at] = count + 1;
      if (count === nth && chosen === 'run') chosen = fault;
    }
    return chosen;
  };
}

const writes: ReadonlySet<DiskOperationKind> = new Set(['write', 'writeDurable']);

/** What can fail with the effect `cached`. */
export const flushes: ReadonlySet<DiskOperationKind> = new Set(['sync', 'writeDurable']);

/** A plan that asks for what cannot be is a mistake in the test, and shows nothing. */
export function assertFits(fault: DiskFault, { kind }: DiskOperation): void {
  if (fault === 'run' || fault === 'hang') return;
  const fits =
    fault === 'stale'
      ? kind === 'read'
      : fault === 'lost' || 'misdirect' in fault
        ? writes.has(kind)
        : 'fail' in fault
          ? fault.effect !== 'cached' || flushes.has(kind)
          : writes.has(kind) || kind === 'read';
  invariant(fits, 'the operation cannot have this fault', { kind, fault: JSON.stringify(fault) });
}

/** With one bit the other way round; as it was when there is no such bit. */
export function withFlippedBit(bytes: Uint8Array, bit: number): Uint8Array {
  const flipped = bytes.slice();
  const at = bit >>> 3;
  if (at < flipped.length) flipped[at] = (flipped[at] ?? 0) ^ (1 << (bit & 7));
  return flipped;
}
