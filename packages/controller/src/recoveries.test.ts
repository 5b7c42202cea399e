/** Who is asked for its logs, and when, over a real image and real decisions that commit at once. */
import { clusterId, directoryId, logIndex, nodeId, partitionIndex, silentLogger, topicId } from '@sluice/base';
import { decide, MetadataImage } from '@sluice/metadata';
import type { MetadataRequest } from '@sluice/metadata';
import { ManualClock } from '@sluice/wire';
import { expect, test } from 'vitest';
import type { Decisions } from './decisions.ts';
import { Recoveries } from './recoveries.ts';

const id = (number: number): string => number.toString(16).padStart(32, '0');
const topic = topicId(id(7));

/** One node that lost its only replicas, and is back. */
class Lost {
  readonly image = new MetadataImage();
  readonly clock = new ManualClock();
  readonly recoveries: Recoveries;

  /** `heldBy`: the log end of a partition. */
  constructor(partitions: number, heldBy: (partition: number) => number) {
    this.ask({ type: 'initialize', clusterId: clusterId(id(1)), level: 1 });
    this.register(1, false);
    const create = { type: 'createTopic', topicId: topic, namespace: 'default', name: 't', config: {} } as const;
    this.ask({ ...create, partitions, replication: 1 });
    this.ask({ type: 'fenceNodes', nodes: [this.identity()] });
    this.register(2, true);
    this.recoveries = new Recoveries({
      image: this.image,
      decisions: { ask: (request: MetadataRequest) => Promise.resolve(this.ask(request)) } as unknown as Decisions,
      clock: this.clock,
      logger: silentLogger,
      describeLogs: (node, asked) => {
        const logs = asked.map(({ partition }) => ({
          lastEpoch: heldBy(partition) === 0 ? -1 : 0,
          logEnd: heldBy(partition),
          error: null,
        }));
        return Promise.resolve({ identity: { ...node, protocolVersion: 1 }, logs } as never);
      },
    });
  }

  identity() {
    return { nodeId: nodeId(1), brokerEpoch: this.image.node(nodeId(1))!.brokerEpoch };
  }

  ask(request: MetadataRequest): unknown {
    const { records, response } = decide(this.image, request);
    if (!response.ok) throw new Error(response.error.message);
    if (records.length > 0) this.image.replayEntry(logIndex(this.image.appliedIndex + 1), records);
    return response.value;
  }

  register(life: number, lossy: boolean): void {
    this.ask({
      type: 'registerNode',
      nodeId: nodeId(1),
      directoryId: directoryId(id(1)),
      incarnation: id(life),
      softwareVersion: '0',
      rack: null,
      clientListeners: [{ name: 'client', protocol: 'grpc', address: 'n:1' }],
      peerAddress: 'n:2',
      adminAddress: 'n:3',
      lastBrokerEpoch: this.image.node(nodeId(1))?.brokerEpoch ?? null,
      lossy,
      unclean: lossy,
      sessionLive: false,
    });
    this.ask({ type: 'unfenceNode', ...this.identity(), metadataIndex: this.image.appliedIndex });
  }

  get led(): number {
    return this.image.topic(topic)!.partitions.filter(({ leader }) => leader !== null).length;
  }
}

test('partitions that cannot be recovered keep no others from it, however many they are', async () => {
  const held = 1_001;
  const lost = new Lost(held + 1, (partition) => (partition < held ? 0 : 5));
  expect(lost.led).toBe(0);
  lost.recoveries.look();
  await lost.clock.pass(1_500);
  lost.recoveries.end();
  expect(lost.led).toBe(1);
});

test('a partition whose last replica reports that it cannot serve its log is recovered (E6)', async () => {
  const lost = new Lost(1, () => 5);
  lost.recoveries.look();
  await lost.clock.pass(100);
  expect(lost.led).toBe(1);
  const damaged = { topicId: topic, partition: partitionIndex(0), serves: false };
  lost.ask({ type: 'reportDamage', ...lost.identity(), ...damaged });
  expect(lost.led).toBe(0);
  lost.recoveries.look();
  await lost.clock.pass(100);
  lost.recoveries.end();
  expect(lost.led).toBe(1);
});
