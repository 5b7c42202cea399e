import { clusterId, logIndex, nodeId, term } from '@sluice/base';
import { encodeImage, encodeRecords } from '@sluice/metadata';
import type { MetadataImage } from '@sluice/metadata';
import type { Entry, Snapshot } from '@sluice/raft';
import { expect, test } from 'vitest';
import { CommittedMetadata } from './committed-metadata.ts';

const entry = (index: number, payload: Uint8Array, kind: Entry['kind'] = 'command'): Entry => ({
  index: logIndex(index),
  term: term(1),
  kind,
  payload,
});
const birth = encodeRecords([{ type: 'featureLevel', version: 1, level: 1, clusterId: clusterId('c'.repeat(32)) }]);

function subject() {
  const halts: Error[] = [];
  const metadata = new CommittedMetadata({ halt: (reason) => void halts.push(reason) }, () => []);
  const heard: string[] = [];
  const stop = metadata.subscribe({
    onApplied: (index) => void heard.push(`applied ${index}, image at ${metadata.image.appliedIndex}`),
    onController: (controller) => void heard.push(`controller ${controller?.nodeId ?? 'none'}`),
  });
  return { metadata, halts, heard, stop };
}

test('entries are replayed in order, no-ops included, and told when the image stands at them', () => {
  const { metadata, heard, stop } = subject();
  metadata.apply(entry(1, new Uint8Array(0), 'no-op'));
  metadata.apply(entry(2, birth));
  expect(heard).toEqual(['applied 1, image at 1', 'applied 2, image at 2']);
  expect(metadata.image.clusterId).toBe('c'.repeat(32));
  stop();
  metadata.apply(entry(3, new Uint8Array(0), 'no-op'));
  expect(heard).toHaveLength(2);
});

test('an entry that cannot be decoded stops the node, and nothing after it is applied', () => {
  const { metadata, halts, heard } = subject();
  metadata.apply(entry(1, birth));
  metadata.apply(entry(2, Uint8Array.of(1, 2, 3)));
  metadata.apply(entry(3, new Uint8Array(0), 'no-op'));
  expect([halts.length, metadata.broken, metadata.image.appliedIndex, heard.length]).toEqual([1, true, 1, 1]);
  expect(halts[0]?.message).toContain('entry 2');
});

const snapshotOf = (image: MetadataImage, index: number = image.appliedIndex): Snapshot => ({
  index: logIndex(index),
  term: term(1),
  membership: { index: logIndex(0), voters: [] },
  bytes: encodeImage(image),
});

test('a snapshot takes the place of the entries up to its index, and is one change; entries go on after it', () => {
  const ahead = subject();
  for (let index = 1; index <= 5; index += 1)
    ahead.metadata.apply(entry(index, index === 1 ? birth : encodeRecords([])));
  const { metadata, halts, heard } = subject();
  metadata.apply(entry(1, birth));
  metadata.restore(snapshotOf(ahead.metadata.image));
  metadata.apply(entry(6, encodeRecords([])));
  expect(heard).toEqual(['applied 1, image at 1', 'applied 5, image at 5', 'applied 6, image at 6']);
  expect([metadata.image.clusterId, halts]).toEqual(['c'.repeat(32), []]);
});

test.each<[string, (image: MetadataImage) => Snapshot]>([
  ['that cannot be read', (image) => ({ ...snapshotOf(image), bytes: Uint8Array.of(1) })],
  ['that holds the state of another index', (image) => snapshotOf(image, 9)],
])('a snapshot %s stops the node', (_what, make) => {
  const ahead = subject();
  ahead.metadata.apply(entry(1, birth));
  ahead.metadata.apply(entry(2, encodeRecords([])));
  const { metadata, halts, heard } = subject();
  metadata.restore(make(ahead.metadata.image));
  metadata.restore(snapshotOf(ahead.metadata.image));
  expect([metadata.broken, halts.length, heard, metadata.image.appliedIndex]).toEqual([true, 1, [], 0]);
  expect(halts[0]?.message).toMatch(/^Metadata snapshot \d: /);
});

test('a controller is told when it changes, not when it is named again', () => {
  const { metadata, heard } = subject();
  const one = { nodeId: nodeId(1), address: 'a:1' };
  for (const controller of [undefined, one, { ...one }, { ...one, address: 'b:1' }, undefined]) {
    metadata.setController(controller);
  }
  expect(heard).toEqual(['controller 1', 'controller 1', 'controller none']);
});
