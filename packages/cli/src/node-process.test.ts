import { configKeys, environmentName } from '@sluice/server';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { devConfig, devLayout } from './dev-layout.ts';
import { environmentForNode, nodeEnvironment } from './node-process.ts';

test('the environment overrides nothing that sets the nodes of one machine apart', () => {
  const environment = Object.fromEntries(configKeys.map((key) => [environmentName(key), 'another']));
  const all = devLayout('data', 1, 7650);
  const written = all.map((node) => parse(devConfig(node, all)) as object).flatMap((file) => keysOf(file, ''));
  const overridden = Object.keys(environmentForNode(environment)).filter((name) => written.includes(name));
  // Which defaults the nodes have is for whoever starts them.
  expect(overridden).toEqual(['SLUICE_PROFILE']);
});

test('other variables are passed on, with what the allocator and the threads need', () => {
  const environment = environmentForNode({ PATH: '/bin', SLUICE_LOG_LEVEL: 'debug', UV_THREADPOOL_SIZE: '1' });
  expect(environment).toEqual({ PATH: '/bin', SLUICE_LOG_LEVEL: 'debug', ...nodeEnvironment });
});

/** `SLUICE_LISTENERS_PEER_BIND` for `listeners: {peer: {bind}}`; lists are values. */
const keysOf = (file: object, prefix: string): string[] =>
  Object.entries(file as Readonly<Record<string, unknown>>).flatMap(([name, value]) =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? keysOf(value, `${prefix}${name}.`)
      : [environmentName(`${prefix}${name}`)],
  );
