/** The fuzz target for state snapshots: what `partition` makes of bytes that `storage` keeps for it. */
import { leaderEpoch, offset, producerEpoch, producerId, type Random } from '@sluice/base';
import { decodeSnapshot, encodeSnapshot, type ReplicaSnapshot } from '../packages/partition/src/state-snapshot.ts';
import type { FuzzTarget } from '../packages/storage/src/fuzz-targets.testing.ts';

const logEnd = offset(5000);

function sample(producers: number, epochs: number): Uint8Array {
  const snapshot: ReplicaSnapshot = {
    logEnd,
    epochs: Array.from({ length: epochs }, (_, at) => ({
      epoch: leaderEpoch(2 * at + 1),
      startOffset: offset(at * 300),
    })),
    producers: Array.from({ length: producers }, (_, at) => ({
      producerId: producerId(at * 7),
      producerEpoch: producerEpoch(at % 3),
      ageMs: at * 1000,
      batches: Array.from({ length: 1 + (at % 5) }, (_unused, n) => ({
        baseSequence: n * 4,
        lastSequence: n * 4 + 3,
        baseOffset: offset(100 + n * 10),
        endOffset: offset(104 + n * 10),
      })),
    })),
  };
  return encodeSnapshot(snapshot);
}

/** Undefined when nothing is wrong with what was made of these bytes. */
function decode(input: Uint8Array, random: Random): string | undefined {
  const end = random.below(8) === 0 ? offset(random.nextUint32()) : logEnd;
  const known = decodeSnapshot(input, end);
  if (known === undefined) return undefined;
  const items = known.epochs.length + known.producers.length;
  if (items * 2 > input.length) return `${items} epochs and producers from ${input.length} bytes`;
  const again = decodeSnapshot(encodeSnapshot(known), end);
  return JSON.stringify(again) === JSON.stringify(known) ? undefined : 'what was read is written as something else';
}

export const snapshotTarget: FuzzTarget = {
  samples: [sample(0, 0), sample(1, 1), sample(8, 4), sample(30, 16)],
  // Written again: a varint has up to ten bytes.
  allocation: { perByte: 64, beside: 4096 },
  decode,
};
