/** What the files of container tests share: a cluster for the file, its logs where a test fails, and lines to read. */
import { afterAll, beforeAll, beforeEach } from 'vitest';
import { ContainerCluster } from './container-cluster.ts';
import type { ContainerClusterOptions } from './container-cluster.ts';

/** Lines of each node's log that are shown when a test fails. */
const shownLines = 60;

/** One cluster for all tests of a file; call the result for it. */
export function clusterOfFile(options?: ContainerClusterOptions): () => ContainerCluster {
  let cluster: ContainerCluster | undefined;
  beforeAll(async () => {
    cluster = await ContainerCluster.start(options);
  });
  beforeEach(({ onTestFailed }) => {
    onTestFailed(async () => say((await cluster?.logs(shownLines)) ?? ''));
  });
  afterAll(() => cluster?.[Symbol.asyncDispose]());
  return () => {
    if (cluster === undefined) throw new Error('the cluster did not start');
    return cluster;
  };
}

/** Figures that a test asserts only loosely, for whoever reads the output. */
export function say(text: string): void {
  process.stderr.write(`${text}\n`);
}
