import { nodeId } from '@sluice/base';
import type { NodeId } from '@sluice/base';
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { placeReplicas } from './placement.ts';
import type { PlacementNode } from './placement.ts';

const nodesOf = (racks: readonly (string | null)[]): readonly PlacementNode[] =>
  racks.map((rack, at) => ({ nodeId: nodeId(at + 1), rack, replicas: 0, preferred: 0 }));

const spread = (counts: readonly number[]): number => Math.max(...counts) - Math.min(...counts);

const countBy = (nodes: readonly PlacementNode[], ids: readonly (NodeId | undefined)[]): readonly number[] =>
  nodes.map((node) => ids.filter((id) => id === node.nodeId).length);

const placed = fc.array(fc.constantFrom('a', 'b', 'c', null), { minLength: 1, maxLength: 12 }).chain((racks) =>
  fc.record({
    nodes: fc.constant(nodesOf(racks)),
    partitions: fc.integer({ min: 1, max: 40 }),
    replication: fc.integer({ min: 1, max: racks.length }),
  }),
);

test('L1: replicas are on distinct nodes and as many racks as possible, evenly', () => {
  fc.assert(
    fc.property(placed, ({ nodes, partitions, replication }) => {
      const racks = Map.groupBy(nodes, (node) => node.rack);
      for (const replicas of placeReplicas(nodes, partitions, replication)) {
        expect(new Set(replicas).size).toBe(replication);
        const used = [...racks.values()].map((members) => ({
          size: members.length,
          count: members.filter((member) => replicas.includes(member.nodeId)).length,
        }));
        expect(used.filter(({ count }) => count > 0)).toHaveLength(Math.min(replication, racks.size));
        // A rack holds two replicas more than another only when the other has no node left.
        const most = Math.max(...used.map(({ count }) => count));
        for (const { size, count } of used) expect(count === size || count >= most - 1).toBe(true);
      }
    }),
  );
});

test('L2: leaders are balanced within one, whatever the racks', () => {
  fc.assert(
    fc.property(placed, ({ nodes, partitions, replication }) => {
      const placement = placeReplicas(nodes, partitions, replication);
      const leaders = placement.map((replicas) => replicas[0]);
      expect(spread(countBy(nodes, leaders))).toBeLessThanOrEqual(1);
    }),
  );
});

test('replicas are balanced within two where racks are of one size', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 4 }),
      fc.integer({ min: 1, max: 3 }),
      fc.integer({ min: 1, max: 40 }),
      fc.nat(),
      (rackCount, perRack, partitions, draw) => {
        const nodes = nodesOf(Array.from({ length: rackCount * perRack }, (_, at) => `r${at % rackCount}`));
        const replication = 1 + (draw % Math.min(nodes.length, 5));
        const placement = placeReplicas(nodes, partitions, replication);
        expect(spread(countBy(nodes, placement.flat()))).toBeLessThanOrEqual(2);
      },
    ),
  );
});

test('L3: many topics of one partition spread as one topic of many does', () => {
  let nodes = nodesOf([null, null, null, null, null]);
  for (let topic = 0; topic < 50; topic += 1) {
    const [replicas = []] = placeReplicas(nodes, 1, 3);
    nodes = nodes.map((node) => ({
      ...node,
      replicas: node.replicas + (replicas.includes(node.nodeId) ? 1 : 0),
      preferred: node.preferred + (replicas[0] === node.nodeId ? 1 : 0),
    }));
  }
  expect(spread(nodes.map((node) => node.preferred))).toBeLessThanOrEqual(1);
  expect(spread(nodes.map((node) => node.replicas))).toBeLessThanOrEqual(1);
});

test("a lost node's partitions move to all others, not to one neighbour", () => {
  const nodes = nodesOf([null, null, null, null, null, null]);
  const seconds = placeReplicas(nodes, 300, 3)
    .filter((replicas) => replicas[0] === 1)
    .map((replicas) => replicas[1]);
  expect(new Set(seconds).size).toBe(5);
});
