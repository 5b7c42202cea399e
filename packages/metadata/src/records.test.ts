import {
  clusterId,
  directoryId,
  leaderEpoch,
  nodeId,
  partitionEpoch,
  partitionIndex,
  producerId,
  topicId,
  utf8Decode,
  utf8Encode,
} from '@sluice/base';
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { decodeRecords, encodeRecords } from './records.ts';
import type { MetadataRecord } from './records.ts';

const topic = topicId('0123456789abcdef0123456789abcdef');
const one = nodeId(1);
const two = nodeId(2);

/** One of each type, with every field. */
const samples: { readonly [Type in MetadataRecord['type']]: Extract<MetadataRecord, { type: Type }> } = {
  featureLevel: { type: 'featureLevel', version: 1, level: 1, clusterId: clusterId('a'.repeat(32)) },
  nodeRegistered: {
    type: 'nodeRegistered',
    version: 1,
    nodeId: one,
    directoryId: directoryId('b'.repeat(32)),
    incarnation: 'c'.repeat(32),
    softwareVersion: '0.1.0',
    rack: 'Zürich',
    clientListeners: [{ name: 'client', protocol: 'grpc', address: 'h:7650' }],
    peerAddress: 'h:7651',
    adminAddress: '[::1]:7652',
    lossy: true,
  },
  nodeFenced: { type: 'nodeFenced', version: 1, nodeId: one },
  nodeUnfenced: { type: 'nodeUnfenced', version: 1, nodeId: one },
  nodeDraining: { type: 'nodeDraining', version: 1, nodeId: one },
  nodeStalled: { type: 'nodeStalled', version: 1, nodeId: one, stalled: true },
  topicCreated: {
    type: 'topicCreated',
    version: 3,
    topicId: topic,
    namespace: 'default',
    name: 't',
    config: {
      minIsr: 2,
      durability: 'fsync',
      recordBytesMax: 1024,
      retentionMs: -1,
      retentionBytes: 4096,
      cleanupPolicy: 'compact,delete',
      tombstoneRetentionMs: 5000,
      compactionLagMsMin: 0,
    },
  },
  partitionCreated: {
    type: 'partitionCreated',
    version: 1,
    topicId: topic,
    partition: partitionIndex(0),
    replicas: [one, two],
    isr: [one],
    leader: one,
    leaderEpoch: leaderEpoch(0),
    partitionEpoch: partitionEpoch(0),
  },
  partitionChanged: {
    type: 'partitionChanged',
    version: 4,
    topicId: topic,
    partition: partitionIndex(0),
    leader: null,
    isr: [two],
    elr: [one],
    lastKnownElr: [],
    replicas: [two, one],
    lossy: [two],
    recoveredEpoch: leaderEpoch(1),
    leaderEpoch: leaderEpoch(1),
    partitionEpoch: partitionEpoch(1),
  },
  topicDeleted: { type: 'topicDeleted', version: 1, topicId: topic },
  producerIdsAllocated: { type: 'producerIdsAllocated', version: 1, nextProducerId: producerId(1000) },
};
const all: readonly MetadataRecord[] = Object.values(samples);

test('every record survives the round trip', () => {
  expect(decodeRecords(encodeRecords(all))).toEqual({ ok: true, records: all });
  expect(decodeRecords(encodeRecords([]))).toEqual({ ok: true, records: [] });
});

test('the bytes of an entry stay what they are', () => {
  const bytes = encodeRecords([samples.nodeFenced]);
  expect(bytes[0]).toBe(1);
  expect(utf8Decode(bytes.subarray(1))).toBe('[{"type":"nodeFenced","version":1,"nodeId":1}]');
});

const entry = (json: string, format = 1): Uint8Array => new Uint8Array([format, ...utf8Encode(json)]);

test.each([
  ['an unknown type', entry('[{"type":"topicRenamed","version":1}]')],
  ['a type named as an object property', entry('[{"type":"toString","version":1}]')],
  ['a newer version', entry('[{"type":"nodeFenced","version":2,"nodeId":1}]')],
  ['an older version', entry('[{"type":"topicCreated","version":1}]')],
  ['version 0', entry('[{"type":"nodeFenced","version":0,"nodeId":1}]')],
  ['a newer feature level', entry(`[{"type":"featureLevel","version":1,"level":3,"clusterId":"${'a'.repeat(32)}"}]`)],
  ['a newer format', entry('[]', 2)],
  ['one bad record among good ones', entry('[{"type":"nodeFenced","version":1,"nodeId":1},{"type":"x","version":1}]')],
])('R2: %s is a version failure', (_what, bytes) => {
  expect(decodeRecords(bytes)).toMatchObject({ ok: false, failure: { code: 'UNSUPPORTED_VERSION' } });
});

test.each([
  ['nothing', new Uint8Array()],
  ['no JSON', entry('{')],
  ['no list', entry('{}')],
  ['a number in the list', entry('[1]')],
  ['null in the list', entry('[null]')],
  ['no type', entry('[{"version":1}]')],
  ['invalid UTF-8', new Uint8Array([1, 0xff, 0xfe])],
])('%s is damage', (_what, bytes) => {
  expect(decodeRecords(bytes)).toMatchObject({ ok: false, failure: { code: 'INTERNAL' } });
});

test('no bytes make the decoder throw', () => {
  const good = encodeRecords(all);
  const isAnswer = (bytes: Uint8Array): boolean => typeof decodeRecords(bytes).ok === 'boolean';
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      expect(isAnswer(bytes)).toBe(true);
    }),
  );
  fc.assert(
    fc.property(fc.nat({ max: good.length - 1 }), fc.integer({ min: 1, max: 255 }), (at, flip) => {
      const damaged = good.slice();
      damaged[at] = (damaged[at] ?? 0) ^ flip;
      expect(isAnswer(damaged)).toBe(true);
      expect(decodeRecords(good.subarray(0, at)).ok).toBe(false);
    }),
  );
});
