import { clusterId, directoryId, logIndex, nodeId, partitionIndex, topicId } from '@sluice/base';
import type { LogIndex } from '@sluice/base';
import { describe, expect, test } from 'vitest';
import { decide } from './decide.ts';
import { MetadataImage } from './image.ts';
import type { ImageChange } from './state.ts';
import type { MetadataRequest } from './requests.ts';
import { clientAddress, describeCluster, describeTopic, listTopics } from './view.ts';

const id = (value: number): string => value.toString(16).padStart(32, '0');
const nothing: ImageChange = { nodes: [], topicsCreated: [], topicsDeleted: [], partitions: [] };

class Driver {
  readonly image = new MetadataImage();
  #index: LogIndex = logIndex(0);

  ask(request: MetadataRequest): ImageChange {
    const { records, response } = decide(this.image, request);
    if (!response.ok) throw new Error(response.error.message);
    if (records.length === 0) return nothing;
    this.#index = logIndex(this.#index + 1);
    return this.image.replayEntry(this.#index, records);
  }

  register(node: number): ImageChange {
    return this.ask({
      type: 'registerNode',
      nodeId: nodeId(node),
      directoryId: directoryId(id(node)),
      incarnation: id(node),
      softwareVersion: '0.1.0',
      rack: `rack-${node % 2}`,
      clientListeners: [
        { name: 'inside', protocol: 'grpc', address: `n${node}:1` },
        { name: 'outside', protocol: 'grpc', address: `example.org:${node}` },
      ],
      peerAddress: `n${node}:2`,
      adminAddress: `n${node}:3`,
      lastBrokerEpoch: null,
      lossy: false,
      unclean: false,
      sessionLive: false,
    });
  }

  unfence(node: number): ImageChange {
    const { brokerEpoch } = this.image.node(nodeId(node))!;
    return this.ask({ type: 'unfenceNode', nodeId: nodeId(node), brokerEpoch, metadataIndex: this.image.appliedIndex });
  }

  fence(node: number): ImageChange {
    const { brokerEpoch } = this.image.node(nodeId(node))!;
    return this.ask({ type: 'fenceNodes', nodes: [{ nodeId: nodeId(node), brokerEpoch }] });
  }

  create(topic: number, name: string, partitions: number): ImageChange {
    return this.ask({
      type: 'createTopic',
      topicId: topicId(id(topic)),
      namespace: 'default',
      name,
      partitions,
      replication: 3,
      config: {},
    });
  }
}

function cluster(nodes: number): Driver {
  const driver = new Driver();
  driver.ask({ type: 'initialize', clusterId: clusterId(id(1)), level: 1 });
  for (let node = 1; node <= nodes; node += 1) {
    driver.register(node);
    driver.unfence(node);
  }
  return driver;
}

describe('what an entry changed', () => {
  test('nodes, topics and partitions, each once', () => {
    const driver = cluster(3);
    expect(driver.create(7, 't', 2)).toEqual({
      ...nothing,
      topicsCreated: [id(7)],
      partitions: [
        { topicId: id(7), partition: 0 },
        { topicId: id(7), partition: 1 },
      ],
    });
    const fenced = driver.fence(1);
    expect(fenced.nodes).toEqual([1]);
    expect(fenced.partitions).toHaveLength(2);
    const last = driver.image.topic(topicId(id(7)));
    const deleted = driver.ask({ type: 'deleteTopic', namespace: 'default', name: 't' });
    expect(deleted).toEqual({ ...nothing, topicsDeleted: [last] });
    expect([...driver.image.replicasOn(nodeId(2))]).toEqual([]);
    expect(driver.image.preferredCount(nodeId(2))).toBe(0);
  });

  test('an entry without records only moves the position; entries never go back', () => {
    const driver = cluster(1);
    const { appliedIndex } = driver.image;
    expect(driver.image.replayEntry(logIndex(appliedIndex + 5), [])).toEqual(nothing);
    expect(driver.image.appliedIndex).toBe(appliedIndex + 5);
    expect(() => driver.image.replayEntry(logIndex(appliedIndex + 5), [])).toThrow('in order');
  });

  test('M1: the feature level comes first and once', () => {
    const image = new MetadataImage();
    expect(() => image.replayEntry(logIndex(1), [{ type: 'nodeFenced', version: 1, nodeId: nodeId(1) }])).toThrow('M1');
    const first = { type: 'featureLevel', version: 1, level: 1, clusterId: clusterId(id(1)) } as const;
    expect(() => new MetadataImage().replayEntry(logIndex(1), [first, first])).toThrow('M1');
  });

  test('M3 and M4: a record that breaks a partition stops the node', () => {
    const driver = cluster(3);
    driver.create(7, 't', 1);
    const state = driver.image.partition(topicId(id(7)), partitionIndex(0))!;
    const next = logIndex(driver.image.appliedIndex + 1);
    const change = {
      type: 'partitionChanged',
      version: 4,
      topicId: state.topicId,
      partition: state.partition,
    } as const;
    const { leaderEpoch, partitionEpoch } = state;
    const replay = (fields: object) => (): unknown =>
      driver.image.copy().replayEntry(next, [{ ...change, leaderEpoch, partitionEpoch, ...fields }]);
    expect(replay({})).toThrow('M4');
    expect(replay({ leader: nodeId(2), partitionEpoch: 1 })).toThrow('M4');
    expect(replay({ isr: [], partitionEpoch: 1 })).toThrow('M2');
    expect(replay({ isr: [nodeId(2), nodeId(9)], partitionEpoch: 1 })).toThrow('M2');
    expect(replay({ isr: [nodeId(2)], partitionEpoch: 1 })).toThrow('M3');
    expect(replay({ lossy: [nodeId(1)], partitionEpoch: 1 })).toThrow('M2');
    expect(replay({ elr: [nodeId(1)], partitionEpoch: 1 })).toThrow('M2');
    expect(replay({ isr: [nodeId(1)], partitionEpoch: 1 })).not.toThrow();
    const fence = { type: 'nodeFenced', version: 1, nodeId: nodeId(1) } as const;
    expect(() => driver.image.copy().replayEntry(next, [fence])).toThrow('M3');
  });
});

describe('views', () => {
  test('each listener is answered with its own addresses', () => {
    const driver = cluster(2);
    const node = driver.image.node(nodeId(2))!;
    expect(clientAddress(node, 'outside')).toBe('example.org:2');
    expect(clientAddress(node, 'absent')).toBeNull();
    expect(describeCluster(driver.image, 'inside').nodes.map((row) => row.client)).toEqual(['n1:1', 'n2:1']);
  });

  test('topics by name, and one of them', () => {
    const driver = cluster(3);
    driver.create(9, 'zebra', 1);
    driver.create(8, 'ant', 2);
    expect(listTopics(driver.image, 'default')).toEqual([
      { name: 'ant', namespace: 'default', id: id(8), partitions: 2, replication: 3 },
      { name: 'zebra', namespace: 'default', id: id(9), partitions: 1, replication: 3 },
    ]);
    expect(listTopics(driver.image, 'other')).toEqual([]);
    expect(describeTopic(driver.image, 'default', 'zebra')).toMatchObject({ id: id(9), config: { minIsr: 2 } });
    expect(describeTopic(driver.image, 'other', 'zebra')).toBeUndefined();
  });
});

test('10,000 partitions: one change costs what it changes, not what there is', () => {
  const small = cluster(6);
  small.create(1, 'small', 1);
  const large = cluster(6);
  for (let topic = 0; topic < 10; topic += 1) large.create(topic, `t${topic}`, 1_000);
  expect(large.image.partitionCount).toBe(10_000);
  const one = large.image.partition(topicId(id(0)), partitionIndex(0))!;
  const [leader] = one.replicas;
  const alter = large.ask({
    type: 'alterPartitions',
    nodeId: leader!,
    brokerEpoch: large.image.node(leader!)!.brokerEpoch,
    partitions: [
      {
        ...one,
        isr: [
          {
            nodeId: leader!,
            brokerEpoch: large.image.node(leader!)!.brokerEpoch,
            statedEpoch: one.partitionEpoch,
          },
        ],
      },
    ],
  });
  expect(alter.partitions).toEqual([{ topicId: one.topicId, partition: one.partition }]);
  // Fencing looks at the partitions of the lost node only: half of 10,000 with 3 replicas on 6 nodes.
  const fenced = large.fence(2);
  expect(fenced.partitions.length).toBeGreaterThan(4_900);
  expect(fenced.partitions.length).toBeLessThan(5_100);
  const untouched = [...large.image.topics.values()]
    .flatMap((topic) => topic.partitions)
    .filter((state) => state.partitionEpoch === 0);
  expect(untouched.length).toBeGreaterThanOrEqual(10_000 - fenced.partitions.length - 1);
});
