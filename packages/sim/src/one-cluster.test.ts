/** A cluster is born once, also while everything goes wrong; a run in which two are says so. */
import { SeededRandom } from '@sluice/base';
import { expect, test } from 'vitest';
import { damagingKinds, endMs, type Fault } from './faults/fault.ts';
import { FaultDriver } from './faults/fault-driver.ts';
import { drawBirthFaults } from './faults/swarm.ts';
import { OneCluster } from './one-cluster.ts';
import { SimCluster } from './sim-cluster.ts';

const line = (node: string, phrase: string, clusterId: string) => ({
  atMs: 1,
  node,
  level: 'info',
  phrase,
  fields: { clusterId },
});

test('two ids of clusters are a violation, wherever the second one is seen', () => {
  const cluster = new OneCluster();
  cluster.onLine(line('node1', 'cluster born', 'a'));
  cluster.onLine(line('node2', 'cluster born', 'a'));
  cluster.onLine(line('node3', 'node started', 'b'));
  expect(cluster.violation).toBeUndefined();
  cluster.onLine(line('node3', 'joined cluster as an observer', 'b'));
  expect(cluster.violation).toMatchObject({
    invariant: 'born-once',
    details: { second: { node: 'node3', clusterId: 'b' } },
  });
});

const plans: Readonly<Record<string, readonly Fault[]>> = {
  'crashes, of which some tear what was written': [
    { kind: 'restart-loop', atMs: 20, node: 1, times: 5, upMs: 40 },
    { kind: 'crash', atMs: 30, node: 2, forMs: 100, keeps: 'some', tears: true, silent: true },
    { kind: 'power-cut', atMs: 250, forMs: 50, keeps: 'some' },
  ],
  'one that is cut off from the others': [
    {
      kind: 'isolate',
      atMs: 0,
      forMs: 4000,
      links: [
        [1, 2],
        [1, 3],
        [2, 1],
        [3, 1],
      ],
    },
  ],
  'disks that fail and hang': [
    { kind: 'disk-error', atMs: 5, node: 1, operation: 'sync', effect: 'part' },
    { kind: 'disk-error', atMs: 5, node: 2, operation: 'write', effect: 'part' },
    { kind: 'hung-disk', atMs: 20, forMs: 2000, node: 3 },
  ],
};

test.each(Object.entries(plans))('a birth under %s: in the end it is born, once', async (_what, faults) => {
  const cluster = new SimCluster(1);
  const { simulation } = cluster;
  const one = new OneCluster();
  cluster.onLine = (said) => one.onLine(said);
  const driver = new FaultDriver({
    cluster,
    random: simulation.random.fork('faults'),
    topics: ['orders'],
    onFault: () => undefined,
    onRolledBack: () => undefined,
  });
  driver.plan(faults);
  // All at once: the faults are to find them there.
  for (const id of cluster.ids) void cluster.boot(id);
  await simulation.until('the cluster is born', 20_000, () => cluster.isReady());
  expect(driver.total).toBe(faults.length);
  await simulation.pass(Math.max(...faults.map(endMs)));
  await simulation.until('it stays', 20_000, () => cluster.isReady());
  expect(one.violation).toBeUndefined();
  expect(cluster.log.filter(({ phrase }) => phrase === 'cluster born').length).toBeGreaterThanOrEqual(3);
});

test('a share of the seeds is born under faults, which take no disk', () => {
  const drawn = Array.from({ length: 400 }, (_, seed) => drawBirthFaults(new SeededRandom(seed), [1, 2, 3]));
  const faults = drawn.flat();
  const share = drawn.filter(({ length }) => length > 0).length / drawn.length;
  expect(share).toBeGreaterThan(0.1);
  expect(share).toBeLessThan(0.2);
  expect(faults.every(({ atBirth }) => atBirth === true)).toBe(true);
  expect(faults.filter(({ kind }) => damagingKinds.has(kind))).toEqual([]);
});
