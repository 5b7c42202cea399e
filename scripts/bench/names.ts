/** The benchmarks by name. Each measures one layer by itself, beside the limit that it runs into. */
import { client } from './client.ts';
import type { Benchmark } from './figure.ts';
import { record } from './record.ts';
import { replication } from './replication.ts';
import { storage, storageParts } from './storage.ts';
import { wire } from './wire.ts';

export const benchmarks: Readonly<Record<string, Benchmark>> = {
  record: { run: record },
  client: { run: client },
  storage: { parts: storageParts, run: storage },
  wire: { run: wire },
  replication: { run: replication },
};
