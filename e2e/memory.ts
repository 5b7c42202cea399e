/**
 * `npm run -s memory -- [--seconds 120] [--json]`: memory of each node while producers push as fast as they are let, into
 * few partitions with large batches and into 1,000 partitions with a batch a record, beside a follower that is stopped
 * half of the time and a consumer that stopped reading. A line a sample, then a summary; exit 0 only when every node
 * stayed under the bound and nothing acked is missing.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Sluice } from '@sluice/client';
import type { Producer } from '@sluice/client';
import { LocalCluster } from './cluster.ts';

/** Tail, pending writes and receive budget of 64 MiB each, three windows a peer, and a quiet node's own 200 MiB. */
const residentBytesMax = 600 * 1024 * 1024;
const sampleMs = 5000;
const stopMs = 300;
const widePartitions = 1000;

interface Sample {
  readonly second: number;
  readonly node: number;
  readonly residentBytes: number;
  readonly externalBytes: number;
  readonly arrayBuffersBytes: number;
}

interface Flood {
  acked: number;
  failed: number;
}

function flood(
  producer: Producer,
  topic: string,
  value: Uint8Array,
  isOver: () => boolean,
): { done: Promise<void>; book: Flood } {
  const book: Flood = { acked: 0, failed: 0 };
  const run = async (): Promise<void> => {
    for (let sent = 0; !isOver(); sent += 1) {
      const post = (): boolean =>
        producer.post(topic, { key: `key-${sent % 100_000}`, value }, (error) => {
          if (error === undefined) book.acked += 1;
          else book.failed += 1;
        });
      while (!post()) await producer.ready();
      // Lets answers in between.
      if (sent % 256 === 255) await sleep(0);
    }
    await producer.flush();
  };
  return { done: run(), book };
}

async function sampleOf(cluster: LocalCluster, second: number): Promise<readonly Sample[]> {
  return Promise.all(
    cluster.nodes.map(async ({ id, admin }) => {
      const text = await (await fetch(`http://${admin}/metrics`)).text();
      const read = (name: string): number => Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1]);
      return {
        second,
        node: id,
        residentBytes: read('sluice_process_resident_bytes'),
        externalBytes: read('sluice_process_external_bytes'),
        arrayBuffersBytes: read('sluice_process_array_buffers_bytes'),
      };
    }),
  );
}

/** Stops and continues a process by turns: a follower at half speed. */
async function hobble(pid: number, isOver: () => boolean): Promise<void> {
  while (!isOver()) {
    process.kill(pid, 'SIGSTOP');
    await sleep(stopMs);
    process.kill(pid, 'SIGCONT');
    await sleep(stopMs);
  }
}

/** Reads one batch and then never again; its credit is all that the node may keep for it. */
async function stall(sluice: Sluice, topic: string): Promise<void> {
  const consumer = sluice.consumer({
    assignments: [
      { topic, partition: 0 },
      { topic, partition: 1 },
    ],
  });
  for await (const batch of consumer.batches()) {
    if (batch.nextOffset > batch.baseOffset) break;
  }
}

async function committed(sluice: Sluice, topic: string): Promise<number> {
  const bounds = await sluice.admin.listOffsets(topic);
  return bounds.reduce((sum, { highWatermark }) => sum + highWatermark, 0);
}

async function run({ seconds, json }: { readonly seconds: number; readonly json: boolean }): Promise<0 | 1> {
  await using cluster = await LocalCluster.start();
  await using sluice = new Sluice({ bootstrap: cluster.bootstrap, clientId: 'memory' });
  await sluice.admin.createTopic({ name: 'deep', partitions: 6, replication: 3 });
  await sluice.admin.createTopic({ name: 'wide', partitions: widePartitions, replication: 3 });
  const endMs = performance.now() + seconds * 1000;
  const isOver = (): boolean => performance.now() > endMs;
  const options = { deliveryTimeoutMs: 300_000 };
  const floods = [
    flood(sluice.producer({ ...options, batchBytesMax: 262_144 }), 'deep', new Uint8Array(1024), isOver),
    // One record fills a batch.
    flood(
      sluice.producer({ ...options, batchBytesMax: 128, bufferBytesMax: 8 * 1024 * 1024 }),
      'wide',
      new Uint8Array(100),
      isOver,
    ),
  ];
  const stalled = stall(sluice, 'deep');
  const slow = cluster.node(3).pid;
  const hobbling = hobble(slow, isOver);
  const peaks = new Map<number, Sample>();
  for (let second = 0; !isOver(); second += sampleMs / 1000) {
    await sleep(sampleMs);
    for (const sample of await sampleOf(cluster, second + sampleMs / 1000)) {
      if (sample.residentBytes > (peaks.get(sample.node)?.residentBytes ?? 0)) peaks.set(sample.node, sample);
      console.log(json ? JSON.stringify(sample) : lineOf(sample));
    }
  }
  await hobbling;
  await Promise.all([...floods.map(({ done }) => done), stalled]);
  const acked = floods.map(({ book }) => book.acked);
  const stored = [await committed(sluice, 'deep'), await committed(sluice, 'wide')];
  const missing = acked.some((count, at) => (stored[at] ?? 0) < count);
  const over = [...peaks.values()].some(({ residentBytes }) => residentBytes > residentBytesMax);
  const failed = floods.reduce((sum, { book }) => sum + book.failed, 0);
  const ok = !missing && !over;
  const summary = { summary: true, ok, seconds, acked, stored, failed, residentBytesMax, peaks: [...peaks.values()] };
  console.log(json ? JSON.stringify(summary) : `${ok ? 'ok' : 'FAILED'}: ${JSON.stringify(summary)}`);
  return ok ? 0 : 1;
}

const mib = (bytes: number): string => `${Math.round(bytes / 1024 / 1024)} MiB`;

const lineOf = ({ second, node, residentBytes, externalBytes, arrayBuffersBytes }: Sample): string =>
  `${second} s  node ${node}: resident ${mib(residentBytes)}, external ${mib(externalBytes)}, array buffers ${mib(arrayBuffersBytes)}`;

const { values } = parseArgs({
  args: process.argv.slice(2),
  options: { seconds: { type: 'string', default: '120' }, json: { type: 'boolean', default: false } },
});
process.exitCode = await run({ seconds: Number(values.seconds), json: values.json });
