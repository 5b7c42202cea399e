import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { loadConfig } from './config/load.ts';

test('the configuration that operators start from is legal', () => {
  const file = new URL('../../../deploy/node.yaml', import.meta.url);
  const config = loadConfig({ file: { name: 'node.yaml', text: readFileSync(file, 'utf8') } });
  expect(config.nodeId).toBe(1);
  expect(config['cluster.voters']).toHaveLength(3);
});
