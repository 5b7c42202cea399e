/** Workloads for `amplification.testing.ts`, scaled down: ratios are of files and rounds, not of their sizes. */
import { batchesOf, type Traffic, type Workload } from './amplification.testing.ts';

const KiB = 1024;
/** Above what the policy takes for short. */
const longRunBytes = 256 * KiB;
const hour = 60;

/** One partition, 64 KiB at a time: eight journal files stay, by size. */
export function longRuns(): Workload {
  const batchBytes = 64 * KiB;
  const journalBytesMax = 16 * longRunBytes;
  const topic = {
    partitions: 1,
    appendsIn: () => longRunBytes / batchBytes,
    batchFor: batchesOf(batchBytes),
    retention: { partitionBytes: 8 * journalBytesMax },
  };
  return { topics: [topic], journalBytesMax, roundsInHour: hour, warmupRounds: 160, rounds: 160 };
}

/**
 * One topic: in each group every partition gets so many batches of 1 KiB. Eight journal files stay, by age; from two sets
 * to four are made of what follows.
 */
export function shortRuns(partitions: number, batchesInRun: number, groupsInFile = 4): Workload {
  const appends = partitions * batchesInRun;
  const files = groupsInFile > 4 ? 8 : 16;
  const topic = {
    partitions,
    appendsIn: () => appends,
    batchFor: batchesOf(KiB),
    retention: { rounds: 8 * groupsInFile },
  };
  return {
    topics: [topic],
    journalBytesMax: (groupsInFile + 0.5) * appends * KiB,
    roundsInHour: hour,
    warmupRounds: 16 * groupsInFile,
    rounds: files * groupsInFile,
  };
}

/**
 * Four topics in the same files, with 35, 30, 30 and 5 % of the bytes, which stay one hour, four, sixteen, and for ever; a
 * journal file is filled in twenty minutes. Long runs: of 256 KiB, one in each group. Short: a batch of 1 KiB to each of 25
 * partitions of each topic in turn.
 */
export function mixed(
  runs: 'long' | 'short',
  spaceAmplificationMax: number,
  { roundsInHour, hours }: { readonly roundsInHour: number; readonly hours: number } = { roundsInHour: 60, hours: 32 },
): Workload {
  const topics = keptHours.map((kept, topic): Traffic => {
    const share = shares[topic] ?? 0;
    const isItsTurn = (round: number): boolean => longTurns[round % longTurns.length] === topic;
    const one = {
      partitions: 1,
      appendsIn: (round: number) => (isItsTurn(round) ? 4 : 0),
      batchFor: batchesOf(64 * KiB),
    };
    const many = { partitions: 25, appendsIn: () => Math.round(256 * share), batchFor: batchesOf(KiB) };
    const traffic = runs === 'long' ? one : many;
    return kept === undefined ? traffic : { ...traffic, retention: { rounds: kept * roundsInHour } };
  });
  return {
    topics,
    journalBytesMax: (roundsInHour / 3) * longRunBytes,
    spaceAmplificationMax,
    roundsInHour,
    warmupRounds: 18 * roundsInHour,
    rounds: hours * roundsInHour,
  };
}

const keptHours = [1, 4, 16, undefined];
const shares = [0.35, 0.3, 0.3, 0.05];
/** Whose round it is. */
const longTurns = [0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 3];
