/** Replication of one partition at one node: what happened goes in by `step`, what is to be done comes out. */
export * from './config.ts';
export * from './effects.ts';
export { EpochCache, type EpochEnd } from './epoch-cache.ts';
export * from './events.ts';
export { batchFactsOf, LogScan, producerFactsOf } from './log-scan.ts';
export * from './replica.ts';
export { unsyncedBytesMax, unsyncedMsMax } from './unsynced.ts';
export { decodeSnapshot, encodeSnapshot, type ReplicaSnapshot } from './state-snapshot.ts';
