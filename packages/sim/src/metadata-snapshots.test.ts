/**
 * Metadata goes on from snapshots: with nodes of the profile `tiny` a few topics are a log that is compacted, so whoever
 * was away lacks entries. Everybody ends with the same image, wherever in between a node was killed.
 */
import { expect, test } from 'vitest';
import { isClean, verdict } from './ledger.ts';
import { SimCluster } from './sim-cluster.ts';
import { readBack, simClient, SimLoad } from './sim-load.ts';

class Metadata {
  readonly cluster: SimCluster;
  readonly #admin;
  #topics = 0;

  constructor(cluster: SimCluster) {
    this.cluster = cluster;
    this.#admin = simClient(cluster, 'admin').admin;
  }

  /** Topics made and most of them deleted again: about 1.5 KiB of log each. */
  async change(topics: number): Promise<void> {
    const { simulation } = this.cluster;
    for (let at = 0; at < topics; at += 1) {
      this.#topics += 1;
      const name = `topic-${this.#topics}`;
      const topic = { name, partitions: 3, replication: 2, config: { minIsr: '1' } };
      await simulation.settle(name, 20_000, this.#admin.createTopic(topic));
      if (this.#topics % 5 !== 0) await simulation.settle(`${name} goes`, 20_000, this.#admin.deleteTopic(name));
    }
  }

  /** Kills the node, and changes metadata until nobody has the entries any more that it lacks. */
  async leaveBehind(id: number): Promise<void> {
    const { cluster } = this;
    const { lastIndex } = cluster.inspect(id)!.raft!;
    cluster.kill(id);
    const others = cluster.ids.filter((other) => other !== id);
    const isCompacted = (): boolean =>
      others.every((other) => cluster.inspect(other)!.raft!.firstIndex > lastIndex + 1);
    while (!isCompacted()) await this.change(1);
  }

  figure(id: number, name: 'snapshot_index' | 'snapshots_total'): number {
    return this.cluster.node(id).figures()[`sluice_metadata_${name}`] ?? 0;
  }

  /** Of all nodes: where the log begins, and where its image stands. */
  async equal(): Promise<string> {
    const { cluster } = this;
    await cluster.simulation.until('all images stand at one index', 30_000, () => {
      const indexes = new Set(cluster.ids.map((id) => cluster.inspect(id)?.image.appliedIndex));
      return indexes.size === 1 && cluster.isReady();
    });
    const digests = new Set(cluster.ids.map((id) => cluster.inspect(id)!.imageDigest()));
    expect(digests.size).toBe(1);
    return [...digests][0]!;
  }

  get leader(): number {
    return this.cluster.ids.find((id) => this.cluster.inspect(id)?.raft?.isLeader === true) ?? 0;
  }
}

async function started(seed: number): Promise<Metadata> {
  const cluster = new SimCluster(seed);
  await cluster.start();
  await cluster.simulation.until('all nodes ready', 30_000, () => cluster.isReady());
  return new Metadata(cluster);
}

const underReplicated = (cluster: SimCluster): number =>
  cluster.ids.reduce((sum, id) => sum + (cluster.node(id).figures().sluice_partitions_under_replicated ?? 0), 0);

const restores = ({ log }: SimCluster): number =>
  log.filter(({ phrase }) => phrase === 'metadata restored from a snapshot').length;

test('a node that was away while the log was compacted comes back by a snapshot, and holds the same image and records', async () => {
  const metadata = await started(1);
  const { cluster } = metadata;
  await cluster.simulation.settle(
    'topic',
    10_000,
    simClient(cluster, 'maker').admin.createTopic({ name: 'orders', partitions: 3, replication: 3 }),
  );
  const load = new SimLoad(cluster, { topic: 'orders', everyMs: 20, keys: 20 });
  const away = cluster.ids.find((id) => id !== metadata.leader)!;
  const { lastIndex } = cluster.inspect(away)!.raft!;
  await metadata.leaveBehind(away);
  await cluster.start(away);
  await metadata.equal();
  expect(restores(cluster)).toBe(1);
  expect(metadata.figure(away, 'snapshot_index')).toBeGreaterThan(lastIndex);
  const { simulation } = cluster;
  await simulation.until('it is in sync again', 30_000, () => underReplicated(cluster) === 0);
  await load.stop();
  const counted = verdict(load.acked, await readBack(cluster, 'orders'), load.sent);
  expect([isClean(counted), cluster.halted]).toEqual([true, []]);
});

test('a whole cluster that loses power starts again from snapshots, with what it had', async () => {
  const metadata = await started(2);
  const { cluster } = metadata;
  await metadata.change(20);
  const before = await metadata.equal();
  const topics = cluster.inspect(1)!.image.topics.size;
  expect(cluster.ids.map((id) => metadata.figure(id, 'snapshots_total') > 0)).toEqual([true, true, true]);
  for (const id of cluster.ids) cluster.kill(id);
  await cluster.start();
  for (const id of cluster.ids) {
    await cluster.simulation.until(
      `node ${id} has a Raft log`,
      10_000,
      () => metadata.figure(id, 'snapshot_index') > 0,
    );
    expect(cluster.inspect(id)!.raft!.firstIndex).toBeGreaterThan(1);
  }
  expect(await metadata.equal()).not.toBe(before);
  expect(cluster.inspect(1)!.image.topics.size).toBe(topics);
  await metadata.change(5);
  await metadata.equal();
  expect([restores(cluster), cluster.halted]).toEqual([0, []]);
});

test('a node with a wiped disk joins by a snapshot, as an observer', async () => {
  const metadata = await started(3);
  const { cluster } = metadata;
  await metadata.change(20);
  const wiped = cluster.ids.find((id) => id !== metadata.leader)!;
  cluster.kill(wiped);
  cluster.wipe(wiped);
  await cluster.start(wiped);
  await metadata.equal();
  const { raft, image } = cluster.inspect(wiped)!;
  expect([restores(cluster), raft!.isVoter]).toEqual([1, false]);
  expect([raft!.firstIndex > 1, image.nodes.size]).toEqual([true, 3]);
  await metadata.change(5);
  await metadata.equal();
  expect(cluster.halted).toEqual([]);
});

/** Where a node is that is given a snapshot. */
function phaseOf(metadata: Metadata, id: number): string {
  const { raft, image } = metadata.cluster.inspect(id)!;
  if (metadata.figure(id, 'snapshots_total') === 0) return 'receiving or saving';
  return image.appliedIndex < (raft!.snapshot?.index ?? 0) ? 'naming' : 'restored';
}

test('killed at any moment of being given a snapshot, a node comes back to the same image', {
  timeout: 240_000,
}, async () => {
  const metadata = await started(4);
  const { cluster } = metadata;
  const { simulation } = cluster;
  const tear = simulation.random.fork('tear');
  const phases = new Map<string, number>();
  for (let round = 0; round < 24; round += 1) {
    const away = cluster.ids.find((id) => id !== metadata.leader)!;
    await metadata.leaveBehind(away);
    await cluster.start(away);
    const isGiven = (): boolean =>
      cluster.inspect(metadata.leader)?.raft?.peers.some(({ state }) => state === 'snapshot') === true;
    await simulation.until('a snapshot is on its way', 10_000, isGiven);
    await simulation.pass(round * 0.7);
    const phase = phaseOf(metadata, away);
    phases.set(phase, (phases.get(phase) ?? 0) + 1);
    // Now and then whoever sends it dies instead.
    const victim = round % 4 === 3 ? metadata.leader : away;
    cluster.kill(victim, 'nothing', tear);
    if (victim !== away) await simulation.until('another one leads', 10_000, () => metadata.leader !== 0);
    await cluster.start(victim);
    await metadata.equal();
  }
  expect(new Set(phases.keys())).toEqual(new Set(['receiving or saving', 'naming', 'restored']));
  expect(restores(cluster)).toBeGreaterThan(10);
  expect(cluster.halted).toEqual([]);
});
