/** Images as bytes, over random histories of requests: nothing is lost, and what listeners are told adds up. */
import { logIndex } from '@sluice/base';
import type { NodeId } from '@sluice/base';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodeImage, encodeImage, imageDigest } from './image-codec.ts';
import { imageDifference } from './image-difference.ts';
import { MetadataImage } from './image.ts';
import { encodeRecords } from './records.ts';
import { action, replicated } from './request-actions.testing.ts';
import { Cluster } from './request-history.testing.ts';
import type { ImageChange, NodeState, PartitionState } from './state.ts';
import { plainImage } from './view.ts';

const decoded = (bytes: Uint8Array): MetadataImage => {
  const result = decodeImage(bytes);
  if (!result.ok) throw new Error(result.failure.message);
  return result.image;
};

/** Everything that the indexes answer, which is not a part of the bytes (M6). */
function indexed(image: MetadataImage): unknown {
  const keys = (states: Iterable<PartitionState>): readonly string[] =>
    [...states].map((state) => `${state.topicId}/${state.partition}`).toSorted();
  const topics = [...image.topics.values()].map(({ namespace, name }) => image.topicNamed(namespace, name)?.topicId);
  return {
    partitionCount: image.partitionCount,
    topics: new Set(topics),
    nodes: [1, 2, 3, 4].map((id) => [
      keys(image.replicasOn(id as NodeId)),
      image.replicaCount(id as NodeId),
      keys(image.ledBy(id as NodeId)),
      image.leaderCount(id as NodeId),
      image.preferredCount(id as NodeId),
    ]),
  };
}

/** What a listener keeps who reads of the image only what it was told of, as brokers do. */
class Listener {
  readonly nodes = new Map<NodeId, NodeState>();
  readonly partitions = new Map<string, PartitionState>();

  onApplied(image: MetadataImage, change: ImageChange): void {
    for (const id of change.nodes) this.nodes.set(id, image.node(id)!);
    for (const { topicId } of change.topicsDeleted) {
      for (const key of this.partitions.keys()) if (key.startsWith(topicId)) this.partitions.delete(key);
    }
    for (const { topicId, partition } of change.partitions) {
      this.partitions.set(`${topicId}/${partition}`, image.partition(topicId, partition)!);
    }
  }
}

const asSets = ({ nodes, topicsCreated, topicsDeleted, partitions }: ImageChange): unknown => ({
  nodes: new Set(nodes),
  topicsCreated: new Set(topicsCreated),
  topicsDeleted: new Set(topicsDeleted.map(({ topicId }) => topicId)),
  partitions: new Set(partitions.map(({ topicId, partition }) => `${topicId}/${partition}`)),
});

/** What happened, and a number to draw a place in it from. */
const histories = fc.tuple(fc.array(action, { maxLength: 40, size: 'max' }), fc.nat());

function run(actions: readonly ((cluster: Cluster) => void)[]): Cluster {
  const cluster = new Cluster();
  cluster.create(2, 3);
  cluster.create(1, 1, replicated);
  for (const act of actions) act(cluster);
  return cluster;
}

/** Replays the entries from position `from` up to `to` of the history on `image`. */
function replayed({ entries }: Cluster, [from, to]: readonly [number, number], image: MetadataImage): Listener {
  const listener = new Listener();
  for (const { index, records } of entries.slice(from, to)) {
    listener.onApplied(image, image.replayEntry(logIndex(index), records));
  }
  return listener;
}

describe('over random histories', () => {
  test('an image that was encoded and decoded is equal, its indexes included, and so is what is replayed on it', () => {
    fc.assert(
      fc.property(histories, ([actions, random]) => {
        const cluster = run(actions);
        const end = cluster.entries.length;
        const cut = random % (end + 1);
        const original = new MetadataImage();
        replayed(cluster, [0, cut], original);
        const restored = decoded(encodeImage(original));
        expect(plainImage(restored)).toEqual(plainImage(original));
        expect(indexed(restored)).toEqual(indexed(original));
        replayed(cluster, [cut, end], restored);
        expect(plainImage(restored)).toEqual(plainImage(cluster.image));
        expect(indexed(restored)).toEqual(indexed(cluster.image));
        expect(encodeImage(restored)).toEqual(encodeImage(cluster.image));
        expect(imageDigest(restored)).toBe(imageDigest(cluster.image));
      }),
      { numRuns: 150 },
    );
  });

  test('who is told of a restored image as one change knows what it would know step by step', () => {
    fc.assert(
      fc.property(histories, fc.nat(), ([actions, random], length) => {
        const cluster = run(actions);
        const end = cluster.entries.length;
        const from = random % end;
        const to = from + 1 + (length % (end - from));
        const [image, steps] = [new MetadataImage(), new MetadataImage()];
        const jumped = replayed(cluster, [0, from], image);
        const stepped = replayed(cluster, [0, to], steps);
        const told = imageDifference(image, steps);
        const change = image.become(decoded(encodeImage(steps)));
        expect(asSets(change)).toEqual(asSets(told));
        jumped.onApplied(image, change);
        expect(jumped).toEqual(stepped);
        expect(plainImage(image)).toEqual(plainImage(steps));
        const nothing: ImageChange = { nodes: [], topicsCreated: [], topicsDeleted: [], partitions: [] };
        expect(imageDifference(image, steps)).toEqual(nothing);
        replayed(cluster, [to, end], image);
        expect([plainImage(image), indexed(image)]).toEqual([plainImage(cluster.image), indexed(cluster.image)]);
      }),
      { numRuns: 150 },
    );
  });

  test('every entry changes the digest', () => {
    const cluster = run([]);
    const image = new MetadataImage();
    const digests = new Set([imageDigest(image)]);
    for (const { index, records } of cluster.entries) {
      image.replayEntry(logIndex(index), records);
      digests.add(imageDigest(image));
    }
    image.replayEntry(logIndex(cluster.entries.length + 1), []);
    expect(digests.add(imageDigest(image)).size).toBe(cluster.entries.length + 2);
  });
});

test('an image before the first record survives, too', () => {
  const image = new MetadataImage();
  image.replayEntry(logIndex(3), []);
  expect(plainImage(decoded(encodeImage(image)))).toEqual(plainImage(image));
});

test('a topic deleted and created anew under its name is told as both', () => {
  const cluster = new Cluster();
  cluster.create(2, 3);
  const before = cluster.image.copy();
  cluster.ask({ type: 'deleteTopic', namespace: 'default', name: 't1' });
  for (let at = 0; at < 3; at += 1) cluster.create(1, 2);
  const after = cluster.image.topicNamed('default', 't1')!;
  const change = imageDifference(before, cluster.image);
  expect(change.topicsDeleted.map(({ name, partitions }) => [name, partitions.length])).toEqual([['t1', 2]]);
  expect(change.topicsCreated).toContain(after.topicId);
  expect(change.topicsCreated).toHaveLength(3);
  expect(change.partitions).toContainEqual({ topicId: after.topicId, partition: 0 });
});

test('an image is replaced only by a later one', () => {
  const { image } = run([]);
  expect(() => image.become(image.copy())).toThrow('later one');
});

test('the bytes of an image stay what they are', () => {
  const bytes = encodeImage(run([]).image);
  // Change of format? Raise its version, then this.
  expect([bytes[0], bytes.length, imageDigest(run([]).image)]).toEqual([3, 751, '796f39b2d0b4b945']);
});

describe('bytes that are no image', () => {
  const good = encodeImage(run([]).image);
  const changed = (at: number, ...values: readonly number[]): Uint8Array => {
    const bytes = good.slice();
    bytes.set(values, at);
    return bytes;
  };

  test.each([
    ['nothing', new Uint8Array(), 'INTERNAL', 'is empty'],
    ['a newer format', changed(0, 9), 'UNSUPPORTED_VERSION', 'has format 9'],
    ['a newer feature level', changed(9, 0, 0, 0, 9), 'UNSUPPORTED_VERSION', 'has feature level 9'],
    ['one byte more', new Uint8Array([...good, 0]), 'INTERNAL', 'is cut off or malformed'],
    ['an applied index before its nodes', changed(1, 0, 0, 0, 0, 0, 0, 0, 1), 'INTERNAL', 'is of a later time'],
    ['a count beyond the bytes', changed(37, 0xff, 0xff, 0xff, 0xff), 'INTERNAL', 'is cut off or malformed'],
    ['the payload of an entry', encodeRecords([]), 'UNSUPPORTED_VERSION', 'has format 1'],
  ])('%s', (_what, bytes, code, message) => {
    const result = decodeImage(bytes);
    expect(result).toMatchObject({ ok: false, failure: { code } });
    expect(result.ok ? '' : result.failure.message).toContain(message);
  });

  test('cut anywhere it is refused', () => {
    for (let end = 0; end < good.length; end += 1) expect(decodeImage(good.subarray(0, end)).ok).toBe(false);
  });

  test('no bytes make it throw, and what it takes is the one spelling of what it read', () => {
    let taken = 0;
    const check = (bytes: Uint8Array): void => {
      const result = decodeImage(bytes);
      if (result.ok) taken += 1;
      expect(result.ok ? encodeImage(result.image) : bytes).toEqual(bytes);
    };
    fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), check));
    fc.assert(
      fc.property(fc.nat({ max: good.length - 1 }), fc.uint8Array({ minLength: 1, maxLength: 4 }), (at, values) => {
        check(changed(Math.min(at, good.length - values.length), ...values));
      }),
      { numRuns: 3_000 },
    );
    // Some changes only change a value.
    expect(taken).toBeGreaterThan(10);
  });
});
