import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { NodeDisk } from '@sluice/storage';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { DevCluster, OtherNodeCount } from './dev-cluster.ts';

let directory: string;

beforeEach(() => {
  directory = mkdtempSync(path.join(tmpdir(), 'sluice-dev-cluster-'));
});

afterEach(() => rmSync(directory, { recursive: true }));

const start = (nodes: number, port = 7650): Promise<DevCluster> =>
  DevCluster.start({ directory, nodes, port, environment: {}, onExit: () => undefined });

test('V3: a directory in use keeps its configurations, whatever ports the second cluster asks for', async () => {
  const config = path.join(directory, 'node-1.yaml');
  writeFileSync(config, 'of the first');
  const lock = await new NodeDisk().lock(path.join(directory, 'lock'));
  await expect(start(3)).rejects.toMatchObject({ code: 'DIRECTORY_LOCKED' });
  expect(readFileSync(config, 'utf8')).toBe('of the first');
  await lock.release();
});

test('another number of nodes is wrong usage, also while the directory is in use', async () => {
  writeFileSync(path.join(directory, 'cluster.json'), '{"nodes":3}');
  const lock = await new NodeDisk().lock(path.join(directory, 'lock'));
  await expect(start(2)).rejects.toThrow(OtherNodeCount);
  await lock.release();
});

test('a start that was refused lets go of the directory and leaves no cluster behind', async () => {
  const taken = createServer().listen(0, '127.0.0.1');
  await once(taken, 'listening');
  await expect(start(1, (taken.address() as AddressInfo).port)).rejects.toMatchObject({ code: 'PORT_IN_USE' });
  taken.close();
  const lock = await new NodeDisk().lock(path.join(directory, 'lock'));
  await lock.release();
  expect(existsSync(path.join(directory, 'cluster.json'))).toBe(false);
});
