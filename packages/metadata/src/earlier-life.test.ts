/** Nodes that come back before anybody noticed that they were gone. */
import { clusterId, directoryId, logIndex, nodeId, partitionIndex, topicId } from '@sluice/base';
import { beforeEach, describe, expect, test } from 'vitest';
import { decide } from './decide.ts';
import { MetadataImage } from './image.ts';
import type { MetadataRequest } from './requests.ts';
import type { PartitionState } from './state.ts';

const id = (number: number): string => number.toString(16).padStart(32, '0');
const topic = topicId(id(7));

let image: MetadataImage;

function ask(request: MetadataRequest): void {
  const { records, response } = decide(image, request);
  if (!response.ok) throw new Error(response.error.message);
  if (records.length > 0) image.replayEntry(logIndex(image.appliedIndex + 1), records);
}

const identity = (node: number) => ({ nodeId: nodeId(node), brokerEpoch: image.node(nodeId(node))!.brokerEpoch });
const partition = (): PartitionState => image.partition(topic, partitionIndex(0))!;

function register(node: number, life: number): void {
  ask({
    type: 'registerNode',
    nodeId: nodeId(node),
    directoryId: directoryId(id(node)),
    incarnation: id(node * 16 + life),
    softwareVersion: '0.1.0',
    rack: null,
    clientListeners: [{ name: 'client', protocol: 'grpc', address: `n${node}:1` }],
    peerAddress: `n${node}:2`,
    adminAddress: `n${node}:3`,
    lastBrokerEpoch: image.node(nodeId(node))?.brokerEpoch ?? null,
    lossy: false,
    unclean: false,
    sessionLive: false,
  });
  ask({ type: 'unfenceNode', ...identity(node), metadataIndex: image.appliedIndex });
}

function comeBack(node: number): void {
  ask({ type: 'fenceEarlierLife', node: identity(node) });
  register(node, 2);
}

beforeEach(() => {
  image = new MetadataImage();
  ask({ type: 'initialize', clusterId: clusterId(id(1)), level: 1 });
  for (const node of [1, 2, 3]) register(node, 1);
  const create = { type: 'createTopic', topicId: topic, namespace: 'default', name: 't', partitions: 1 } as const;
  ask({ ...create, replication: 3, config: {} });
});

describe('after a power cut of all nodes', () => {
  test.each([1, 2, 3])('the others serve when node %i never comes back', (lost) => {
    for (const node of [1, 2, 3].filter((each) => each !== lost)) comeBack(node);
    ask({ type: 'fenceNodes', nodes: [identity(lost)] });
    expect(partition().isr).toHaveLength(2);
    expect(partition().isr).not.toContain(lost);
    expect(partition().leader).not.toBeNull();
    expect(partition().leader).not.toBe(lost);
  });

  test('all of them stay in sync when all come back', () => {
    for (const node of [1, 2, 3]) comeBack(node);
    expect(partition().isr).toEqual([1, 2, 3]);
  });
});

test('what the node led gets another leader, with a new epoch, and the node stays in sync', () => {
  const before = partition();
  ask({ type: 'fenceEarlierLife', node: identity(before.leader!) });
  expect(partition().leader).not.toBe(before.leader);
  expect(partition().leaderEpoch).toBe(before.leaderEpoch + 1);
  expect(partition().isr).toEqual(before.isr);
});

test('asking again, or of a life that is over, changes nothing', () => {
  const first = identity(1);
  ask({ type: 'fenceEarlierLife', node: first });
  const { appliedIndex } = image;
  ask({ type: 'fenceEarlierLife', node: first });
  expect(image.appliedIndex).toBe(appliedIndex);
  register(1, 2);
  const after = image.appliedIndex;
  ask({ type: 'fenceEarlierLife', node: first });
  expect(image.appliedIndex).toBe(after);
});
