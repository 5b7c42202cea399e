/** The directory of a simulated node, taken and put back: a machine that is restored from a copy of itself. */
import { type Directory, durableDirectory, plantDirectory } from './directory-files.ts';
import type { SimCluster } from './sim-cluster.ts';

export const directoryOf = (cluster: SimCluster, id: number): Directory => durableDirectory(cluster.disk(id));

/** In place of the disk there was; the node must be dead. */
export function putDirectory(cluster: SimCluster, id: number, files: Directory): void {
  cluster.wipe(id);
  plantDirectory(cluster.disk(id), files);
}
