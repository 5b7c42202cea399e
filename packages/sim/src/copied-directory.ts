/** The directory of a simulated node, taken and put back: a machine that is restored from a copy of itself. */
import type { SimCluster } from './sim-cluster.ts';

/** What a copy of the machine would hold: whatever is durable, without the lock of the process. */
export async function directoryOf(cluster: SimCluster, id: number): Promise<ReadonlyMap<string, Uint8Array>> {
  const disk = cluster.disk(id);
  const names = await cluster.simulation.settle('a list', 1_000, disk.list('/data'));
  return new Map(
    names.filter((name) => !name.startsWith('lock')).map((name) => [name, disk.durableBytes(`/data/${name}`)]),
  );
}

/** In place of the disk there was; the node must be dead. */
export async function putDirectory(
  cluster: SimCluster,
  id: number,
  files: ReadonlyMap<string, Uint8Array>,
): Promise<void> {
  cluster.wipe(id);
  const disk = cluster.disk(id);
  await cluster.simulation.settle('a directory', 1_000, disk.makeDirectory('/data'));
  for (const [name, bytes] of files) disk.plant(`/data/${name}`, bytes);
}
