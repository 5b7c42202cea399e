/** What replicas do with a node log at its start, and when a file is finished: read their state, and give snapshots of it. */
import {
  leaderEpoch,
  type LogId,
  offset,
  producerEpoch,
  producerId,
  silentLogger,
} from '../../packages/base/src/mod.ts';
import { LogLoads } from '../../packages/broker/src/log-loads.ts';
import { readLog } from '../../packages/broker/src/log-reading.ts';
import { encodeSnapshot, type ProducerSnapshot } from '../../packages/partition/src/mod.ts';
import type { LogStore, NodeLog } from '../../packages/storage/src/mod.ts';

/** In each partition, with as many batches as a window holds. */
const producersPerPartition = 10;
const windowBatches = 5;
const producerCountMax = 1000;

/** From now on each log gives the snapshots that a replica with some producers gives. */
export function giveSnapshots(log: NodeLog): void {
  for (const id of log.logIds()) ownLog(log.log(id));
}

function ownLog(log: LogStore): void {
  log.snapshot = () => {
    const logEnd = log.endOffset;
    const count = Math.min(windowBatches, logEnd);
    if (count === 0) return undefined;
    const batches = Array.from({ length: count }, (_, at) => ({
      baseSequence: at,
      lastSequence: at,
      baseOffset: offset(logEnd - count + at),
      endOffset: offset(logEnd - count + at + 1),
    }));
    const producers = Array.from({ length: producersPerPartition }, (_, at): ProducerSnapshot => {
      return { producerId: producerId(1000 + at), producerEpoch: producerEpoch(0), ageMs: 60_000, batches };
    });
    const epochs = [{ epoch: leaderEpoch(0), startOffset: offset(0) }];
    return { offset: logEnd, bytes: encodeSnapshot({ logEnd, epochs, producers }) };
  };
}

/** As a broker loads the replicas of its partitions. Resolves with how many knew of all those producers. */
export function loadReplicas(log: NodeLog): Promise<number> {
  const ids = log.logIds();
  const loads = new LogLoads();
  let loaded = 0;
  let knowing = 0;
  const read = async (id: LogId): Promise<void> => {
    const scan = await readLog(log.log(id), { producerCountMax, logger: silentLogger });
    if (scan.producers().length >= producersPerPartition) knowing += 1;
  };
  return new Promise((resolve, reject) => {
    if (ids.length === 0) resolve(0);
    for (const id of ids) {
      const load = async (): Promise<void> => {
        await read(id).catch(reject);
        loaded += 1;
        if (loaded === ids.length) resolve(knowing);
      };
      loads.add({ load });
    }
  });
}
