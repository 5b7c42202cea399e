/** All canaries, by name. */
import type { Canary } from './canary.ts';
import { metadataCanaries } from './metadata-canaries.ts';
import { partitionCanaries } from './partition-canaries.ts';
import { raftCanaries } from './raft-canaries.ts';
import { storageCanaries } from './storage-canaries.ts';

export const canaries: ReadonlyMap<string, Canary> = new Map(
  [...raftCanaries, ...storageCanaries, ...metadataCanaries, ...partitionCanaries].map((canary) => [
    canary.name,
    canary,
  ]),
);
