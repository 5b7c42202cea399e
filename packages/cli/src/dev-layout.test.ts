import { expect, test } from 'vitest';
import { loadConfig } from '@sluice/server';
import { devConfig, devLayout } from './dev-layout.ts';

test('ports and files of three nodes', () => {
  const nodes = devLayout('/d', 3, 7650);
  expect(nodes.map(({ client, peer, admin }) => [client, peer, admin])).toEqual([
    ['127.0.0.1:7650', '127.0.0.1:7651', '127.0.0.1:7652'],
    ['127.0.0.1:7660', '127.0.0.1:7661', '127.0.0.1:7662'],
    ['127.0.0.1:7670', '127.0.0.1:7671', '127.0.0.1:7672'],
  ]);
  expect(nodes[2]).toMatchObject({ id: 3, data: '/d/node-3', config: '/d/node-3.yaml' });
});

test('every node takes the configuration written for it', () => {
  const nodes = devLayout('/a directory: with #odd "name"', 3, 7650);
  for (const node of nodes) {
    const config = loadConfig({ file: { name: node.config, text: devConfig(node, nodes) } });
    expect(config.nodeId).toBe(node.id);
    expect(config.dataDirectory).toBe(node.data);
    expect(config['cluster.voters'].map(({ nodeId }) => nodeId)).toEqual([1, 2, 3]);
    expect(config['listeners.client'][0]?.advertise).toBe(node.client);
  }
});
