/** Two client listeners with addresses of their own: each tells its clients of its own kind only, and both serve. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Sluice } from '@sluice/client';
import { verdict } from '@sluice/sim/ledger';
import { LocalCluster } from '../cluster.ts';
import { Load } from '../load.ts';
import { metadataOf } from '../metadata-of.ts';
import { readNodeFile, writeNodeFile } from '../node-config.ts';
import { RawClient } from '../raw-client.ts';
import { Reader } from '../reader.ts';
import { until } from '../until.ts';

const open = new AsyncDisposableStack();
let cluster: LocalCluster;
const inside = (): readonly string[] => cluster.bootstrap;
/** Another loopback address, and a port that no `sluice dev` uses. */
const outsideOf = (client: string): string => `127.0.0.2:${Number(client.split(':')[1]) + 5}`;
const outside = (): readonly string[] => cluster.bootstrap.map(outsideOf);

beforeAll(async () => {
  cluster = open.use(await LocalCluster.start());
  const ids = cluster.nodes.map(({ id }) => id);
  await cluster.kill(...ids);
  for (const node of cluster.nodes) {
    const config = readNodeFile(node);
    const bind = outsideOf(node.client);
    config.listeners.client.push({ name: 'outside', protocol: 'grpc', bind, advertise: bind });
    writeNodeFile(node.config, config);
  }
  await cluster.start(...ids);
  await cluster.waitHealthy();
});
afterAll(() => open.disposeAsync());

test('metadata through a listener names addresses of that listener alone', async () => {
  using raw = new RawClient();
  for (const [door, addresses] of [
    ['client', inside()],
    ['outside', outside()],
  ] as const) {
    for (const address of addresses) {
      const { nodes } = await metadataOf(raw, address);
      expect({ door, told: nodes.map((node) => node.address).toSorted() }).toEqual({
        door,
        told: addresses.toSorted(),
      });
    }
  }
  await using sluice = new Sluice({ bootstrap: outside() });
  const { nodes } = await sluice.admin.describeCluster();
  expect(nodes.map((node) => node.client).toSorted()).toEqual(outside().toSorted());
});

const clean = { lost: 0, duplicated: 0, reordered: 0, unexpected: 0, failures: 0 };

test('producing and consuming through both at the same time', async () => {
  await using here = new Sluice({ bootstrap: inside(), clientId: 'inside' });
  // One node is enough to learn the others, through the same door.
  await using there = new Sluice({ bootstrap: outside().slice(0, 1), clientId: 'outside' });
  for (const name of ['from-inside', 'from-outside']) {
    await here.admin.createTopic({ name, partitions: 6, replication: 3 });
  }
  const loads = [
    { topic: 'from-inside', load: new Load({ sluice: here, topic: 'from-inside', rate: 300 }), reads: there },
    { topic: 'from-outside', load: new Load({ sluice: there, topic: 'from-outside', rate: 300 }), reads: here },
  ];
  const flowing = (): true | undefined => (loads.every(({ load }) => load.acked.length > 600) ? true : undefined);
  await until(flowing, { what: 'acks through both listeners', timeoutMs: 20_000 });
  for (const { topic, load, reads } of loads) {
    await load.stop();
    await using reader = new Reader(reads, topic, 6);
    await reader.readToEnd(20_000);
    const result = verdict(load.acked, reader.consumed, load.sent);
    expect({ topic, ...result, failures: load.failures.size }).toMatchObject(clean);
  }
});
