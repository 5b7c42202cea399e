/**
 * Whole clusters in which every part of the storage engine is at work at once: small files are finished, rewritten,
 * compacted, trimmed, expired and scrubbed while machines lose power, disks and bits.
 */
import { SeededRandom } from '@sluice/base';
import { expect, test } from 'vitest';
import { isClean, verdict } from './ledger.ts';
import { SimCluster } from './sim-cluster.ts';
import { readBack, simClient, SimLoad } from './sim-load.ts';

const all = [1, 2, 3] as const;
const keyCount = 30;
const settings = { retentionCheckMs: '200ms', scrubBytesPerSecondMax: '64MiB', scrubIntervalMs: '1s' };

class EveryPart {
  readonly cluster: SimCluster;
  readonly random: SeededRandom;
  readonly #admin: ReturnType<typeof simClient>;
  /** A voter that lost its disk votes no more: a second one would end the controller. */
  #wiped = false;

  constructor(seed: number) {
    this.cluster = new SimCluster(seed, all.length, settings);
    this.random = new SeededRandom(seed);
    this.#admin = simClient(this.cluster, 'admin');
  }

  async start(): Promise<{ orders: SimLoad; keys: SimLoad; noise: SimLoad }> {
    const { cluster } = this;
    await cluster.start();
    await this.#ready();
    await this.#create('orders', { durability: 'fsync' });
    await this.#create('keys', { cleanupPolicy: 'compact' });
    await this.#create('noise', { durability: 'replicated', retentionBytes: '500000' });
    const orders = new SimLoad(cluster, { topic: 'orders', everyMs: 5, keys: 40, valueBytes: 700 });
    const keys = new SimLoad(cluster, { topic: 'keys', everyMs: 5, keys: keyCount, valueBytes: 900 });
    const noise = new SimLoad(cluster, { topic: 'noise', everyMs: 3, keys: 40, valueBytes: 6000 });
    return { orders, keys, noise };
  }

  async misfortune(): Promise<void> {
    const { cluster, random } = this;
    const { simulation } = cluster;
    await simulation.pass(200 + random.below(600));
    const id = all[random.below(all.length)] ?? 1;
    const draw = random.below(5);
    if (draw === 0) {
      cluster.kill(id, random);
      await simulation.pass(random.below(2000));
      await cluster.start(id);
    } else if (draw === 1) {
      for (const each of all) cluster.kill(each, 'nothing');
      await cluster.start(...all);
    } else if (draw === 2 && !this.#wiped) await this.#wipe(id);
    else if (draw === 3) {
      const trimmed = this.#admin.admin.trim('noise', [{ partition: 0, before: 'end' }]);
      // Whether it is done in time is not what this is about.
      await simulation.settle('trim', 60_000, Promise.allSettled([trimmed]));
    } else await this.#flip(id);
    await this.#ready();
  }

  async whole(): Promise<void> {
    const { cluster } = this;
    await cluster.simulation.until('all is whole', 120_000, () => cluster.isReady() && cluster.isWhole());
  }

  async #wipe(id: number): Promise<void> {
    this.#wiped = true;
    await this.whole();
    this.cluster.kill(id);
    this.cluster.wipe(id);
    await this.cluster.start(id);
    await this.whole();
  }

  /** Of a finished file, most of the time; found by the scrub. */
  async #flip(id: number): Promise<void> {
    const { cluster, random } = this;
    await this.whole();
    const disk = cluster.disk(id);
    const names = await cluster.simulation.settle('list', 1000, disk.list('/data'));
    const files = names.filter((name) => /^(journal|sorted)-/.test(name));
    const path = `/data/${files[random.below(Math.max(1, files.length - 1))]}`;
    const bytes = disk.durableBytes(path).length;
    if (bytes > 8192) disk.flipBit(path, 4096 + random.below(bytes - 4096), random.below(8));
    await cluster.simulation.pass(3000);
    await this.whole();
  }

  #ready(): Promise<void> {
    return this.cluster.simulation.until('all nodes ready', 60_000, () => this.cluster.isReady());
  }

  #create(name: string, config: Record<string, string>): Promise<unknown> {
    const { simulation } = this.cluster;
    return simulation.settle(
      'topic',
      10_000,
      this.#admin.admin.createTopic({ name, partitions: 2, replication: 3, config }),
    );
  }
}

test.each([4, 6])(
  'nothing synced is lost, twice or out of order, and each key ends with its newest value (seed %i)',
  async (seed) => {
    const run = new EveryPart(seed);
    const { cluster } = run;
    const { orders, keys, noise } = await run.start();
    for (let round = 0; round < 4; round += 1) await run.misfortune();
    // From now on the newest value of each key comes to lie in files that are finished and compacted.
    await keys.stop();
    for (let round = 0; round < 5; round += 1) await run.misfortune();
    for (const load of [orders, noise]) await load.stop();
    await run.whole();
    const read = verdict(orders.acked, await readBack(cluster, 'orders'), orders.sent);
    expect(read).toMatchObject({ lost: 0, duplicated: 0, reordered: 0, unexpected: 0 });
    expect(isClean(read)).toBe(true);
    const newest = new Map<number, number>();
    for (const { id } of keys.acked) newest.set(id % keyCount, Math.max(id, newest.get(id % keyCount) ?? 0));
    const found = new Map<number, number>();
    const held = await readBack(cluster, 'keys', 'key reader');
    for (const { id } of held) found.set(id % keyCount, id);
    for (const [key, id] of newest) expect([key, (found.get(key) ?? -1) >= id]).toEqual([key, true]);
    // Compaction was at work.
    expect(held.length).toBeLessThan(keys.acked.length);
    expect(cluster.halted).toEqual([]);
  },
  120_000,
);
