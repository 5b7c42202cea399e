import { logIndex } from '@sluice/base';
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { MetadataImage } from './image.ts';
import { action, replicated } from './request-actions.testing.ts';
import { Cluster } from './request-history.testing.ts';
import { plainImage } from './view.ts';

test('whoever leads, or may, holds every acked record, and the image keeps its invariants', () => {
  let [acks, forgiven, recovered, lost, ledFromElr] = [0, 0, 0, 0, 0];
  fc.assert(
    fc.property(fc.array(action, { maxLength: 60, size: 'max' }), (actions) => {
      const cluster = new Cluster();
      cluster.create(2, 3);
      cluster.create(2, 3, replicated);
      for (const act of actions) act(cluster);
      acks += cluster.acks;
      forgiven += cluster.forgiven;
      recovered += cluster.recovered;
      lost += cluster.lost;
      ledFromElr += cluster.ledFromElr;
    }),
    { numRuns: 600 },
  );
  // A run in which nothing was ever acked would prove nothing.
  expect(acks).toBeGreaterThan(1_000);
  expect(forgiven).toBeGreaterThan(10);
  expect(recovered).toBeGreaterThan(100);
  expect(lost).toBeGreaterThan(10);
  expect(ledFromElr).toBeGreaterThan(100);
});

test('once the faults are over every partition is whole again, led by its preferred replica', () => {
  fc.assert(
    fc.property(fc.array(action, { maxLength: 40, size: 'max' }), (actions) => {
      const cluster = new Cluster();
      cluster.create(4, 3);
      for (const act of actions) act(cluster);
      cluster.heal();
      expect(cluster.unhealed()).toEqual([]);
    }),
    { numRuns: 150 },
  );
});

test('replaying the log from scratch, or on a copy made anywhere, gives the same image', () => {
  fc.assert(
    fc.property(fc.array(action, { maxLength: 40, size: 'max' }), fc.nat(), (actions, cut) => {
      const cluster = new Cluster();
      cluster.create(3, 3);
      for (const act of actions) act(cluster);
      let replayed = new MetadataImage();
      const copyAt = cut % cluster.entries.length;
      let original = plainImage(replayed);
      let left: MetadataImage | undefined;
      for (const [at, { index, records }] of cluster.entries.entries()) {
        if (at === copyAt) {
          left = replayed;
          original = plainImage(left);
          replayed = replayed.copy();
        }
        replayed.replayEntry(logIndex(index), records);
      }
      expect(plainImage(replayed)).toEqual(plainImage(cluster.image));
      // The image that was copied is not moved by what happens to the copy.
      expect(plainImage(left!)).toEqual(original);
      for (const node of cluster.image.nodes.keys()) {
        expect(replayed.replicaCount(node)).toBe(cluster.image.replicaCount(node));
        expect(replayed.leaderCount(node)).toBe(cluster.image.leaderCount(node));
        expect(replayed.preferredCount(node)).toBe(cluster.image.preferredCount(node));
      }
    }),
    { numRuns: 150 },
  );
});
