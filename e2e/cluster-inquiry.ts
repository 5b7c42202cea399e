/**
 * What tests ask a cluster, one of processes or of containers alike: who leads, and whether all is well. Owns the clients
 * that it asks with; owned by the cluster that it asks.
 */
import { Sluice } from '@sluice/client';
import { isNodeReady } from '@sluice/cli/node-ready';
import { methods } from '@sluice/wire';
import type { DescribeClusterResponse } from '@sluice/wire';
import { RawClient } from './raw-client.ts';
import { until } from './until.ts';

export interface NodeAddresses {
  readonly id: number;
  readonly client: string;
  readonly admin: string;
}

/** What loads and rounds need of a cluster that they run on. */
export interface TestCluster {
  readonly nodes: readonly NodeAddresses[];
  readonly bootstrap: readonly string[];
  /** Of the cluster's own, for asking; loads bring theirs. */
  readonly client: Sluice;
  /** Where the logs of its nodes are, for messages. */
  readonly logsAt: string;
  /** Waits until there is one. */
  leaderOf(topic: string, partition: number): Promise<number>;
  controllerLeader(): Promise<number>;
  waitHealthy(timeoutMs?: number): Promise<void>;
  /** SIGKILL to all of them at once; resolves when they are gone. */
  kill(...ids: readonly number[]): Promise<void>;
  /** Starts again who was killed; resolves when the processes run, not when they are ready. */
  start(...ids: readonly number[]): Promise<void>;
}

export const healthTimeoutMs = 30_000;
const viewTimeoutMs = 2000;

export class ClusterInquiry implements AsyncDisposable {
  readonly #nodes: readonly NodeAddresses[];
  readonly #raw = new RawClient();
  #client: Sluice | undefined;

  constructor(nodes: readonly NodeAddresses[]) {
    this.#nodes = nodes;
  }

  get bootstrap(): readonly string[] {
    return this.#nodes.map((node) => node.client);
  }

  get client(): Sluice {
    this.#client ??= new Sluice({ bootstrap: this.bootstrap, clientId: 'e2e-cluster', requestTimeoutMs: 5000 });
    return this.#client;
  }

  leaderOf(topic: string, partition: number): Promise<number> {
    const look = async (): Promise<number | undefined> => {
      const { partitions } = await this.client.admin.describeTopic(topic);
      return partitions[partition]?.leader ?? undefined;
    };
    return until(look, { what: `a leader of ${topic} ${partition}`, timeoutMs: healthTimeoutMs });
  }

  controllerLeader(): Promise<number> {
    const look = async (): Promise<number | undefined> =>
      (await this.client.admin.describeCluster()).controllerLeader ?? undefined;
    return until(look, { what: 'a controller leader', timeoutMs: healthTimeoutMs });
  }

  /** The cluster as this very node sees it. */
  viewOf({ client }: NodeAddresses): Promise<DescribeClusterResponse> {
    return this.#raw.rpc.unary(methods.admin.describeCluster, client, {}, { timeoutMs: viewTimeoutMs });
  }

  /** All nodes up, and nothing under-replicated: who was away has caught up and is in sync again. */
  async waitHealthy(timeoutMs: number = healthTimeoutMs): Promise<void> {
    let views: readonly DescribeClusterResponse[] = [];
    const look = async (): Promise<true | undefined> => {
      // One that was just killed and started again is up in the eyes of the others until they notice.
      const ready = await Promise.all(this.#nodes.map(({ admin }) => isNodeReady(admin)));
      if (ready.includes(false)) return undefined;
      views = await Promise.all(this.#nodes.map((node) => this.viewOf(node)));
      // One that was cut off or held still sees the cluster of before until it has heard of what happened since.
      const same = new Set(views.map((view) => `${view.controllerLeader} ${view.metadataOffset}`)).size === 1;
      return same && views.every((view) => isWhole(view, this.#nodes.length)) ? true : undefined;
    };
    const standing = (): string => JSON.stringify(views);
    await until(look, { what: 'a healthy cluster', timeoutMs, everyMs: 50, standing });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#raw[Symbol.dispose]();
    await this.#client?.close();
  }
}

function isWhole(view: DescribeClusterResponse, nodes: number): boolean {
  const up = view.nodes.length === nodes && view.nodes.every((node) => node.state === 'up');
  // Without a controller leader nobody can say that a node is gone.
  return up && view.controllerLeader !== 0 && view.underReplicated + view.underMinIsr + view.leaderless === 0;
}
