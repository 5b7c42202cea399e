import { SeededRandom, silentLogger } from '@sluice/base';
import { faultsAt, MemoryDisk } from '@sluice/storage';
import { MemoryNetwork, MemoryTransport, methods, nodeZlib, RpcClient, SystemClock } from '@sluice/wire';
import type { MetadataUpdate } from '@sluice/wire';
import { afterEach, describe, expect, test } from 'vitest';
import { loadConfig } from './config/load.ts';
import { isReady } from './health.ts';
import { assembleNode } from './node.ts';
import type { Node } from './node.ts';

const clock = new SystemClock();
const cleanup: (() => unknown)[] = [];
afterEach(async () => {
  for (const run of cleanup.splice(0)) await run();
});

interface World {
  readonly disk: MemoryDisk;
  readonly network: MemoryNetwork;
}

const newWorld = (): World => ({ disk: new MemoryDisk(), network: new MemoryNetwork({ clock }) });

const listeners = '[{name: inside, bind: "127.0.0.1:7650"}, {name: outside, bind: "127.0.0.1:7660", advertise: "h:1"}]';

function assemble({ disk, network }: World, sets: string[] = []): { node: Node; halted: Error[] } {
  const halted: Error[] = [];
  const config = loadConfig({
    sets: [
      'nodeId=1',
      'dataDirectory=/d',
      'profile=tiny',
      'raft.electionTimeoutMs=100',
      'raft.heartbeatMs=30',
      'cluster.voters=[{nodeId: 1, peerAddress: "127.0.0.1:7651"}]',
      `listeners.client=${listeners}`,
      ...sets,
    ],
  });
  const node = assembleNode(config, {
    disk,
    transport: new MemoryTransport(network, 'node-1'),
    clock,
    random: new SeededRandom(1),
    logger: silentLogger,
    halt: { halt: (reason) => void halted.push(reason) },
    codecs: nodeZlib,
    observeStage: () => undefined,
    version: '0.0.0',
  });
  cleanup.push(() => node.stop());
  return { node, halted };
}

const untilReady = (node: Node): Promise<void> =>
  expect.poll(() => isReady(node.readiness()), { timeout: 5000 }).toBe(true);

const firstUpdate = ({ network }: World, address: string): Promise<MetadataUpdate> =>
  new Promise((resolve, reject) => {
    const rpc = new RpcClient(new MemoryTransport(network, 'client'));
    const stream = rpc.stream(methods.admin.watchMetadata, address, {
      onMessage: (update) => {
        if (update.nodes.length > 0) resolve(update);
      },
      onClose: (error) => reject(error ?? new Error('closed')),
    });
    stream.send({ clientId: 'test', topicNames: [], allTopics: true });
  });

describe('a node over memory ports', () => {
  test('becomes ready, stops, and opens its directory again', async () => {
    const world = newWorld();
    const { node, halted } = assemble(world);
    expect(node.inspect()).toBe(undefined);
    expect(node.readiness()).toEqual({
      recovered: false,
      registered: false,
      unfenced: false,
      caughtUp: false,
      listenersOpen: false,
    });
    await node.start();
    await untilReady(node);
    expect(node.figures()).toMatchObject({
      sluice_node_ready: 1,
      sluice_node_controller_leader: 1,
      sluice_partitions_held: 0,
      sluice_partitions_without_leader: 0,
      sluice_fences_total: { refused: 0, unanswered: 0, silence: 0, earlier_life: 0 },
    });
    expect(node.inspect()?.raft?.isLeader).toBe(true);
    expect(node.inspect()?.image.nodes.size).toBe(1);
    await node.stop();
    expect(isReady(node.readiness())).toBe(false);
    const { node: again } = assemble(world);
    await again.start();
    await untilReady(again);
    expect(halted).toEqual([]);
  });

  test('tells a client the advertised addresses of the listener it came in on, and no other', async () => {
    const world = newWorld();
    const { node } = assemble(world);
    await node.start();
    await untilReady(node);
    const inside = await firstUpdate(world, '127.0.0.1:7650');
    const outside = await firstUpdate(world, '127.0.0.1:7660');
    expect(inside.nodes.map((each) => each.address)).toEqual(['127.0.0.1:7650']);
    expect(outside.nodes.map((each) => each.address)).toEqual(['h:1']);
  });

  test('client calls are refused on the peer listener and peer calls on a client listener', async () => {
    const world = newWorld();
    const { node } = assemble(world);
    await node.start();
    await untilReady(node);
    const rpc = new RpcClient(new MemoryTransport(world.network, 'client'));
    const options = { timeoutMs: 1000 };
    await expect(rpc.unary(methods.admin.describeCluster, '127.0.0.1:7651', {}, options)).rejects.toMatchObject({
      code: 'UNKNOWN_METHOD',
    });
    await expect(rpc.unary(methods.birth.probe, '127.0.0.1:7650', {}, options)).rejects.toMatchObject({
      code: 'UNKNOWN_METHOD',
    });
  });
});

describe('a node that cannot start leaves nothing open', () => {
  test('its directory is in use', async () => {
    const world = newWorld();
    const { node: first } = assemble(world);
    await first.start();
    const { node: second } = assemble(world);
    await expect(second.start()).rejects.toMatchObject({ code: 'DIRECTORY_LOCKED' });
  });

  test('its directory belongs to another node', async () => {
    const world = newWorld();
    const { node: first } = assemble(world);
    await first.start();
    await first.stop();
    const other = ['nodeId=2', 'cluster.voters=[{nodeId: 2, peerAddress: "127.0.0.1:7651"}]'];
    const { node: second } = assemble(world, other);
    await expect(second.start()).rejects.toMatchObject({ code: 'WRONG_IDENTITY' });
    const { node: third } = assemble(world);
    await third.start();
    await untilReady(third);
  });

  test('a port is taken: the directory is free again, and so are the ports before it', async () => {
    const world = newWorld();
    const squatter = new MemoryTransport(world.network, 'squatter');
    const taken = await squatter.listen('127.0.0.1:7660', () => ({
      onMessage: () => undefined,
      onEnd: () => undefined,
      onClose: () => undefined,
    }));
    const { node } = assemble(world);
    await expect(node.start()).rejects.toMatchObject({ code: 'PORT_IN_USE' });
    await taken.close(0);
    const { node: again } = assemble(world);
    await again.start();
    await untilReady(again);
  });
});

describe('N4: the mark of a stop in order', () => {
  const mark = '/d/clean';

  async function startAndStop(world: World): Promise<void> {
    const { node } = assemble(world);
    await node.start();
    await untilReady(node);
    expect(await world.disk.exists(mark)).toBe(false);
    await node.stop();
    expect(await world.disk.exists(mark)).toBe(true);
  }

  async function failToStart(world: World): Promise<void> {
    const squatter = new MemoryTransport(world.network, 'squatter');
    const ignore = { onMessage: () => undefined, onEnd: () => undefined, onClose: () => undefined };
    const taken = await squatter.listen('127.0.0.1:7660', () => ignore);
    await expect(assemble(world).node.start()).rejects.toMatchObject({ code: 'PORT_IN_USE' });
    await taken.close(0);
  }

  test('is there between two lives and never during one', async () => {
    const world = newWorld();
    await startAndStop(world);
    await failToStart(world);
    expect(await world.disk.exists(mark)).toBe(true);
    await startAndStop(world);
  });

  test('a disk that has no room for it does not fail the stop', async () => {
    const disk = new MemoryDisk({ faults: faultsAt([{ path: `${mark}.new`, nth: 1, fault: { fail: 'ENOSPC' } }]) });
    const { node, halted } = assemble({ ...newWorld(), disk });
    await node.start();
    await untilReady(node);
    await node.stop();
    expect(await disk.exists(mark)).toBe(false);
    expect(halted).toEqual([]);
  });

  test('after a crash it comes back only once the controller has heard of the crash', async () => {
    const world = newWorld();
    await startAndStop(world);
    await world.disk.remove(mark);
    await failToStart(world);
    expect(await world.disk.exists(mark)).toBe(false);
    await startAndStop(world);
  });
});
