import { brokerEpoch, clusterId, directoryId, nodeId, SeededRandom } from '@sluice/base';
import { expect, test } from 'vitest';
import { DataDirectory } from './data-directory.ts';
import { type DirectoryIdentity, IdentityStore } from './identity.ts';
import { IdentityKeeper } from './identity-keeper.ts';
import { MemoryDisk } from './memory-disk.ts';

const open = async (disk: MemoryDisk): Promise<IdentityStore> =>
  new IdentityStore(await DataDirectory.open(disk, '/node'));

const born = (identity: DirectoryIdentity): DirectoryIdentity => {
  const cluster = clusterId('ab'.repeat(16));
  const voters = [
    { nodeId: nodeId(1), directoryId: identity.directoryId },
    { nodeId: nodeId(2), directoryId: directoryId('cd'.repeat(16)) },
  ];
  return {
    ...identity,
    clusterId: cluster,
    birth: { clusterId: cluster, voters },
    voters,
    brokerEpoch: brokerEpoch(9),
    votesRevoked: true,
  };
};

test('an empty directory has no identity; a formatted one has the same for ever', async () => {
  const disk = new MemoryDisk();
  const store = await open(disk);
  expect(await store.load(nodeId(1))).toBeUndefined();
  const identity = await store.create(nodeId(1), new SeededRandom(5));
  expect(identity.directoryId).toMatch(/^[0-9a-f]{32}$/);
  disk.crash({ keep: 'nothing' });
  const again = await open(disk);
  expect(await again.load(nodeId(1))).toEqual(identity);
  await again.save(born(identity));
  disk.crash({ keep: 'nothing' });
  expect(await (await open(disk)).load(nodeId(1))).toEqual(born(identity));
});

test('an interrupted save leaves the old identity or the new one', async () => {
  for (let from = 0; from < 12; from += 1) {
    for (const keep of ['nothing', 'everything', new SeededRandom(from)] as const) {
      let hangFrom = Number.POSITIVE_INFINITY;
      const disk = new MemoryDisk({ faults: ({ number }) => (number < hangFrom ? 'run' : 'hang') });
      const store = await open(disk);
      const identity = await store.create(nodeId(1), new SeededRandom(5));
      hangFrom = disk.operations() + from;
      void store.save(born(identity));
      await new Promise<void>((resolve) => void setImmediate(resolve));
      disk.crash({ keep });
      hangFrom = Number.POSITIVE_INFINITY;
      const found = await (await open(disk)).load(nodeId(1));
      expect([identity, born(identity)]).toContainEqual(found);
    }
  }
});

test('the directory of another node is refused', async () => {
  const disk = new MemoryDisk();
  const store = await open(disk);
  await store.create(nodeId(1), new SeededRandom(5));
  await expect(store.load(nodeId(2))).rejects.toMatchObject({
    code: 'WRONG_IDENTITY',
    message: '/node belongs to node 1, this is node 2; point the node to its own directory.',
  });
});

test('a damaged or impossible identity says what to do, and is never taken for an empty directory', async () => {
  const disk = new MemoryDisk();
  const store = await open(disk);
  await store.create(nodeId(1), new SeededRandom(5));
  const good = disk.durableBytes('/node/identity');
  for (let position = 0; position < good.length; position += 1) {
    disk.plant('/node/identity', good);
    disk.flipBit('/node/identity', position, position % 8);
    const refused = await store.load(nodeId(1)).catch((error: unknown) => error);
    expect(['DIRECTORY_DAMAGED', 'UNSUPPORTED_VERSION']).toContain((refused as { code?: string }).code);
  }
  for (const bytes of [0, 1, 30, good.length - 1]) {
    disk.plant('/node/identity', good.subarray(0, bytes));
    await expect(store.load(nodeId(1))).rejects.toMatchObject({ code: 'DIRECTORY_DAMAGED' });
  }
});

test('a node log without an identity is damage', async () => {
  const disk = new MemoryDisk();
  const store = await open(disk);
  disk.plant('/node/manifest', new Uint8Array(3));
  await expect(store.load(nodeId(1))).rejects.toMatchObject({ code: 'DIRECTORY_DAMAGED' });
});

test('updates follow each other, and after a failed one none succeeds', async () => {
  const disk = new MemoryDisk();
  const store = await open(disk);
  const keeper = new IdentityKeeper(store, await store.create(nodeId(1), new SeededRandom(5)));
  const grant = (by: number): Promise<void> =>
    keeper.update((current) => ({ ...current, brokerEpoch: brokerEpoch(current.brokerEpoch + by) }));
  await Promise.all([grant(1), grant(2), grant(3)]);
  expect(keeper.current.brokerEpoch).toBe(6);
  disk.failSyncs(1);
  await expect(grant(1)).rejects.toMatchObject({ code: 'EIO' });
  await expect(grant(1)).rejects.toMatchObject({ code: 'EIO' });
  expect(keeper.current.brokerEpoch).toBe(6);
});

test('a directory is held once', async () => {
  const disk = new MemoryDisk();
  const directory = await DataDirectory.open(disk, '/node');
  await expect(DataDirectory.open(disk, '/node')).rejects.toMatchObject({ code: 'DIRECTORY_LOCKED' });
  await directory.release();
  await DataDirectory.open(disk, '/node');
});
