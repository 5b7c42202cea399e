/**
 * Leaderships go back to the preferred replicas, batch by batch. Each partition pauses for the moment that its move takes;
 * were all to move at once, all would pause at once.
 */
import { SluiceError } from '@sluice/base';
import { methods } from '@sluice/wire';
import type { Deadline } from './deadline.ts';
import type { NodeCalls } from './node-calls.ts';
import { pause } from './waiting.ts';

export interface PreferredElectionProgress {
  /** Partitions that have moved. */
  readonly changed: number;
  /** Partitions that still could. */
  readonly remaining: number;
}

const batchPartitionsMax = 100;
/** Longer than a batch needs until its new leaders serve. */
const batchPauseMs = 250;

/** Resolves to the number of partitions that moved. Rejects with `TIMEOUT` when the time is up before all have. */
export async function electPreferred(
  calls: NodeCalls,
  deadline: Deadline,
  onBatch: (progress: PreferredElectionProgress) => void,
): Promise<number> {
  const request = { partitionsMax: batchPartitionsMax };
  let moved = 0;
  for (;;) {
    // Asked twice it moves no more than there is to move.
    const { changed, remaining } = await calls.ask(methods.admin.electPreferred, request, deadline.limits);
    moved += changed;
    onBatch({ changed: moved, remaining });
    if (remaining === 0) return moved;
    if (deadline.leftMs <= batchPauseMs) {
      const message = `${moved} leaderships have moved, ${remaining} have not; ask again, or allow more time.`;
      throw new SluiceError('TIMEOUT', { message, details: { changed: moved, remaining } });
    }
    await pause(calls.clock, batchPauseMs, deadline.signal);
  }
}
