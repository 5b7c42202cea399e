/** A compacted topic beside one with retention: half each of what is appended, in the same files. */
import { type Clock, leaderEpoch, offset, SeededRandom, silentLogger } from '../../packages/base/src/mod.ts';
import { Compaction } from '../../packages/broker/src/compaction.ts';
import { BatchBuilder, compressionOver, draftOf, patchBatch, unstamped } from '../../packages/record/src/mod.ts';
import {
  type Beside,
  batchesOf,
  type Traffic,
  type Workload,
} from '../../packages/storage/src/amplification.testing.ts';
import type { LogStore, NodeLog } from '../../packages/storage/src/mod.ts';
import { inlineZlib, keyHash } from '../../packages/wire/src/mod.ts';

export type Keys = 'uniform' | 'skewed';

const MiB = 1024 * 1024;
const keyCount = 10_000;
const updatesOfKey = 20;
const recordsInBatch = 16;
const valueBytes = 500;
const batchesInRound = 16;
const hourMs = 3_600_000;
const roundMs = hourMs / 60;
const lookRounds = 5;

/** What the log of the topic takes by what the newest record of each key takes, in each round that counts. */
export interface CompactedSize {
  readonly ratios: number[];
  passes: number;
}

/** Each key is written about twenty times; of skewed ones a tenth takes about half of that. */
export function compactedBeside(keys: Keys, spaceAmplificationMax: number, size: CompactedSize): Workload {
  const random = new SeededRandom(1);
  const next = (): number => Math.floor(keyCount * (random.nextUint32() / 2 ** 32) ** (keys === 'skewed' ? 3.3 : 1));
  const seen = new Set<number>();
  const compacted: Traffic = {
    partitions: 1,
    appendsIn: () => batchesInRound,
    batchFor: (base) => keyedBatch(base, Array.from({ length: recordsInBatch }, next), seen),
  };
  const batchBytes = recordsInBatch * valueBytes;
  const ordinary: Traffic = {
    partitions: 4,
    appendsIn: () => batchesInRound,
    batchFor: batchesOf(batchBytes),
    retention: { rounds: 240 },
  };
  const rounds = (keyCount * updatesOfKey) / (recordsInBatch * batchesInRound);
  return {
    topics: [compacted, ordinary],
    journalBytesMax: 4 * MiB,
    spaceAmplificationMax,
    roundsInHour: hourMs / roundMs,
    warmupRounds: Math.floor(rounds * 0.4),
    rounds: Math.floor(rounds * 0.6),
    start: ({ log }, clock, logs) => {
      const compactedLog = logs[0]?.[0];
      if (compactedLog === undefined) throw new Error('the first topic has no partition');
      return beside({ log, clock, compactedLog, seen, size });
    },
  };
}

interface Started {
  readonly log: NodeLog;
  readonly clock: Clock;
  readonly compactedLog: LogStore;
  readonly seen: ReadonlySet<number>;
  readonly size: CompactedSize;
}

/** Passes as a broker makes them. Of the log all but what lies in the open file may be compacted. */
function beside({ log, clock, compactedLog, seen, size }: Started): Beside {
  const compaction = new Compaction({
    hosts: [
      {
        id: compactedLog.id,
        topicName: 'states',
        cuts: 0,
        log: compactedLog,
        replica: { removableEnd: offset(Number.MAX_SAFE_INTEGER), producerWindows: () => new Set() },
      },
    ],
    configOf: () => config,
    clocksAgree: () => true,
    nodeLog: log,
    compression: compressionOver(inlineZlib),
    hash: keyHash,
    clock: unthrottled(clock),
    random: new SeededRandom(1),
    logger: silentLogger,
    intervalMs: lookRounds * roundMs,
    memoryBytesMax: 64 * MiB,
    readBytesPerSecondMax: Number.POSITIVE_INFINITY,
  });
  compaction.start();
  const onRound = (): void => void size.ratios.push(compactedLog.bytes / (seen.size * valueBytes));
  const stop = (): void => {
    compaction.stop();
    size.passes = compaction.stats.passes;
  };
  return { onRound, stop };
}

const config = {
  cleanupPolicy: 'compact',
  minIsr: 1,
  durability: 'fsync',
  recordBytesMax: MiB,
  retentionMs: -1,
  retentionBytes: -1,
  tombstoneRetentionMs: 24 * 60 * roundMs,
  compactionLagMsMin: 0,
} as const;

/** A wait for a rate without limit is none: a pass ends while the clock stands still. */
const unthrottled = (clock: Clock): Clock => ({
  monotonicMs: () => clock.monotonicMs(),
  wallMs: () => clock.wallMs(),
  defer: (run) => clock.defer(run),
  setTimer: (delayMs, onFire) => {
    if (delayMs > 0) return clock.setTimer(delayMs, onFire);
    clock.defer(onFire);
    return { cancel: () => undefined };
  },
});

function keyedBatch(base: number, keys: readonly number[], seen: Set<number>): ReturnType<Traffic['batchFor']> {
  const builder = new BatchBuilder();
  for (const number of keys) {
    seen.add(number);
    const key = new TextEncoder().encode(`key ${number}`);
    const value = new Uint8Array(valueBytes - key.length).fill(number % 256);
    builder.append(draftOf({ timestamp: 1_700_000_000_000 + base, key, value, headers: [] }));
  }
  const batch = builder.build(unstamped);
  patchBatch(batch, 0, { baseOffset: offset(base), leaderEpoch: leaderEpoch(0) });
  return { batch, end: base + keys.length };
}
