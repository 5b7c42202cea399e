/** A snapshot of many topics reaches a member that has nothing, over a network that loses, repeats and reorders its chunks. */
import { toSluiceError } from '@sluice/base';
import { MemoryTransport, methods, RpcClient } from '@sluice/wire';
import { expect, test } from 'vitest';
import { calmRaftMessages } from './faults/network-conditions.ts';
import { nodeAddress, SimCluster } from './sim-cluster.ts';

/** `SIM_SNAPSHOT_TOPICS=10000` for the whole of it. */
const topics = Number(process.env['SIM_SNAPSHOT_TOPICS'] ?? 2000);
const atATime = 50;
const chunkBytes = 16 * 1024;

async function make(cluster: SimCluster, count: number): Promise<void> {
  const rpc = new RpcClient(new MemoryTransport(cluster.network, 'maker'));
  let made = 0;
  const maker = async (): Promise<void> => {
    while (made < count) {
      made += 1;
      const request = { name: `topic-${made}`, partitions: 1, replication: 1 };
      await rpc.unary(methods.admin.createTopic, nodeAddress(1, 'client'), request, { timeoutMs: 30_000 });
    }
  };
  const makers = Promise.all(Array.from({ length: atATime }, maker));
  await cluster.simulation.settle(
    'topics',
    600_000,
    makers.catch((error: unknown) => Promise.reject(toSluiceError(error))),
  );
}

test(`${topics} topics`, { timeout: 300_000 }, async () => {
  const cpu = process.cpuUsage();
  const settings = { 'raft.snapshotChunkBytesMax': chunkBytes, 'raft.compactionTrailingEntries': 1 };
  // Node 4 keeps no partitions: only the metadata comes to it.
  const cluster = new SimCluster(
    1,
    4,
    (id) => ({ ...settings, ...(id === 4 ? { roles: ['controller'] } : {}) }),
    [1, 2, 3],
  );
  const { simulation, conditions } = cluster;
  await cluster.start();
  await simulation.until('all nodes ready', 30_000, () => cluster.isReady());
  await make(cluster, topics);
  cluster.kill(4);
  cluster.wipe(4);
  conditions.raftMessages = {
    ...calmRaftMessages,
    lossPercent: 20,
    duplicatePercent: 20,
    delayPercent: 20,
    delayMsMax: 50,
  };
  const { counts } = conditions;
  const before = { ...counts };
  const startMs = simulation.nowMs;
  await cluster.start(4);
  const image = () => cluster.inspect(4)?.image;
  await simulation.until('it holds all topics', 120_000, () => image()?.topics.size === topics);
  const tookMs = simulation.nowMs - startMs;
  const restored = cluster.log.filter(
    ({ node, phrase }) => node === 'node4' && phrase === 'metadata restored from a snapshot',
  );
  expect(restored.length).toBeGreaterThan(0);
  expect(counts.raftLost - before.raftLost).toBeGreaterThan(5);
  expect(counts.raftDuplicated - before.raftDuplicated).toBeGreaterThan(5);
  expect(counts.raftDelayed - before.raftDelayed).toBeGreaterThan(5);
  conditions.raftMessages = calmRaftMessages;
  await simulation.until('all images stand at one index', 30_000, () => {
    const indexes = new Set(cluster.ids.map((id) => cluster.inspect(id)?.image.appliedIndex));
    return indexes.size === 1;
  });
  expect(new Set(cluster.ids.map((id) => cluster.inspect(id)?.imageDigest())).size).toBe(1);
  expect(cluster.halted).toEqual([]);
  const { user, system } = process.cpuUsage(cpu);
  const bytes = cluster.node(4).figures().sluice_metadata_snapshot_bytes;
  process.stderr.write(
    `${topics} topics: snapshot of ${bytes} bytes, ${Math.round(tookMs)} ms simulated, ${Math.round((user + system) / 1e6)} s of processor time\n`,
  );
});
