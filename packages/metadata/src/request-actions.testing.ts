/** What may happen to the cluster of a random history. */
import { nodeId } from '@sluice/base';
import * as fc from 'fast-check';
import { nodeCount } from './request-history.testing.ts';
import type { Cluster } from './request-history.testing.ts';

export type Action = (cluster: Cluster) => void;

export const replicated = { durability: 'replicated' };
const id = fc.integer({ min: 1, max: nodeCount }).map(nodeId);
const batch = fc.integer({ min: 0, max: 3 });
const config = fc.constantFrom<Readonly<Record<string, string>>>({}, { minIsr: '1' }, { minIsr: '3' }, replicated);

/** How often, and what. */
const weighted: readonly (readonly [number, fc.Arbitrary<Action>])[] = [
  [3, id.map((node) => (cluster) => cluster.kill(node, 'none'))],
  [
    1,
    fc.tuple(id, fc.constantFrom<'wiped' | 'corrupt'>('wiped', 'corrupt')).map(
      ([node, damage]) =>
        (cluster) =>
          cluster.kill(node, damage),
    ),
  ],
  [1, fc.array(id).map((nodes) => (cluster) => cluster.fence(nodes))],
  [
    4,
    id.map((node) => (cluster) => {
      cluster.start(node, false);
      cluster.admit(node);
    }),
  ],
  [2, id.map((node) => (cluster) => cluster.admit(node))],
  [1, id.map((node) => (cluster) => cluster.vanish(node))],
  [1, id.map((node) => (cluster) => cluster.comeBack(node))],
  [1, id.map((node) => (cluster) => cluster.stop(node))],
  [
    1,
    fc.tuple(id, batch).map(
      ([node, partitionsMax]) =>
        (cluster) =>
          cluster.drain(node, partitionsMax),
    ),
  ],
  [
    2,
    fc.tuple(id, fc.boolean()).map(
      ([node, stalled]) =>
        (cluster) =>
          cluster.stall(node, stalled),
    ),
  ],
  [
    1,
    fc.tuple(id, fc.boolean()).map(
      ([node, isBehind]) =>
        (cluster) =>
          cluster.fallBehind(node, isBehind),
    ),
  ],
  [
    2,
    fc.tuple(id, fc.boolean()).map(
      ([node, lags]) =>
        (cluster) =>
          cluster.lag(node, lags),
    ),
  ],
  [
    1,
    fc.tuple(id, fc.nat(), fc.boolean()).map(
      ([node, at, serves]) =>
        (cluster) =>
          cluster.damage(node, at, serves),
    ),
  ],
  [
    2,
    fc.tuple(fc.integer({ min: 0, max: 4 }), fc.integer({ min: 0, max: 5 }), config).map(
      ([partitions, replication, given]) =>
        (cluster) =>
          cluster.create(partitions, replication, given),
    ),
  ],
  [
    1,
    fc
      .constantFrom('t0', 't1', 't2')
      .map((name) => (cluster) => void cluster.ask({ type: 'deleteTopic', namespace: 'default', name })),
  ],
  [6, fc.constant<Action>((cluster) => cluster.write())],
  [4, fc.constant<Action>((cluster) => cluster.alter())],
  [1, fc.constant<Action>((cluster) => cluster.recover())],
  [
    1,
    fc.array(id, { minLength: 2 }).map((nodes) => (cluster) => {
      for (const node of nodes) cluster.kill(node, 'corrupt');
      for (const node of nodes) cluster.admit(node);
      cluster.recover();
    }),
  ],
  [1, batch.map((partitionsMax) => (cluster) => void cluster.ask({ type: 'electPreferred', partitionsMax }))],
];

export const action: fc.Arbitrary<Action> = fc.oneof(...weighted.map(([weight, arbitrary]) => ({ weight, arbitrary })));
