/**
 * A cluster of containers and the words to treat it badly: `cluster.kill(await cluster.leaderOf('orders', 0))`. Owns its
 * two networks, a volume for each node, and the containers; all of them carry the label of the tests.
 */
import { randomUUID } from 'node:crypto';
import { freeBasePort } from '@sluice/cli/free-ports';
import type { Sluice } from '@sluice/client';
import { ClusterInquiry } from './cluster-inquiry.ts';
import type { NodeAddresses, TestCluster } from './cluster-inquiry.ts';
import { nodeCount } from './compose-settings.ts';
import { dockerEngine, NodeContainer, testLabels } from './node-container.ts';
import type { ContainerState, Ended, Engine, Network, Place } from './node-container.ts';

export interface ContainerClusterOptions {
  /** Added to what compose.yaml has, for every node. */
  readonly environment?: Readonly<Record<string, string>>;
}

interface Member extends NodeAddresses {
  readonly volume: string;
  readonly container: NodeContainer;
}

/** Between the ports of one node and of the next, as `freeBasePort` looks for them. */
const portsPerNode = 10;
const adminPort = 2;
const startLogLines = 100;

export class ContainerCluster implements TestCluster, AsyncDisposable {
  readonly nodes: readonly NodeAddresses[];
  readonly #engine: Engine;
  readonly #members: ReadonlyMap<number, Member>;
  readonly #inquiry: ClusterInquiry;
  readonly #open: AsyncDisposableStack;

  private constructor(engine: Engine, members: readonly Member[], open: AsyncDisposableStack) {
    this.#engine = engine;
    this.#members = new Map(members.map((member) => [member.id, member]));
    this.nodes = members.map(({ id, client, admin }) => ({ id, client, admin }));
    this.#open = open;
    this.#inquiry = open.use(new ClusterInquiry(this.nodes));
  }

  /** Resolves when it is healthy. */
  static async start({ environment = {} }: ContainerClusterOptions = {}): Promise<ContainerCluster> {
    const engine = await dockerEngine();
    await using open = new AsyncDisposableStack();
    const members = await createMembers(engine, open, environment);
    await Promise.all(members.map(({ container }) => container.start()));
    const cluster = new ContainerCluster(engine, members, open.move());
    try {
      await cluster.waitHealthy();
      return cluster;
    } catch (error) {
      const logs = await cluster.logs(startLogLines);
      await cluster[Symbol.asyncDispose]();
      throw new Error(`The cluster did not come up. Its logs:\n${logs}`, { cause: error });
    }
  }

  get bootstrap(): readonly string[] {
    return this.#inquiry.bootstrap;
  }

  get client(): Sluice {
    return this.#inquiry.client;
  }

  get logsAt(): string {
    return [...this.#members.values()].map(({ container }) => `docker logs ${container.name}`).join(', ');
  }

  leaderOf(topic: string, partition: number): Promise<number> {
    return this.#inquiry.leaderOf(topic, partition);
  }

  controllerLeader(): Promise<number> {
    return this.#inquiry.controllerLeader();
  }

  waitHealthy(timeoutMs?: number): Promise<void> {
    return this.#inquiry.waitHealthy(timeoutMs);
  }

  async kill(...ids: readonly number[]): Promise<void> {
    await this.#each(ids, (container) => container.kill());
  }

  /** The same container, or a new one from the same volume when it was removed. */
  async start(...ids: readonly number[]): Promise<void> {
    await this.#each(ids, (container) => container.start());
  }

  /** As `docker stop`. */
  stop(id: number): Promise<Ended> {
    return this.#member(id).container.stop();
  }

  /** As `docker rm --force`; the volume stays. */
  async remove(...ids: readonly number[]): Promise<void> {
    await this.#each(ids, (container) => container.remove());
  }

  /** Removes the container and its volume; `start` makes both anew. */
  async loseDisk(id: number): Promise<void> {
    const { container, volume } = this.#member(id);
    await container.remove();
    await this.#engine.getVolume(volume).remove();
    await createVolume(this.#engine, volume);
  }

  pause(id: number): Promise<void> {
    return this.#member(id).container.pause();
  }

  unpause(id: number): Promise<void> {
    return this.#member(id).container.unpause();
  }

  /** From the other nodes alone: clients still reach it by its published port. */
  cut(id: number): Promise<void> {
    return this.#member(id).container.cut();
  }

  heal(id: number): Promise<void> {
    return this.#member(id).container.heal();
  }

  node(id: number): NodeAddresses {
    return this.#member(id);
  }

  state(id: number): Promise<ContainerState> {
    return this.#member(id).container.state();
  }

  networks(id: number): Promise<string[]> {
    return this.#member(id).container.networks();
  }

  log(id: number): Promise<string> {
    return this.#member(id).container.log();
  }

  /** The last lines of all nodes, for whoever must find out what went wrong. */
  async logs(linesMax: number): Promise<string> {
    const texts = [...this.#members].map(async ([id, { container }]) => {
      // One that was removed has none.
      const text = await container.log().catch(String);
      return `--- node ${id}\n${text.trimEnd().split('\n').slice(-linesMax).join('\n')}`;
    });
    return (await Promise.all(texts)).join('\n');
  }

  /** Resolves when no container, network and volume of it is left. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#open.disposeAsync();
  }

  #member(id: number): Member {
    const member = this.#members.get(id);
    if (member === undefined) throw new Error(`the cluster has no node ${id}`);
    return member;
  }

  async #each(ids: readonly number[], act: (container: NodeContainer) => Promise<void>): Promise<void> {
    await Promise.all(ids.map((id) => act(this.#member(id).container)));
  }
}

/** Whatever is made is on `open` before the next is. */
async function createMembers(
  engine: Engine,
  open: AsyncDisposableStack,
  environment: Readonly<Record<string, string>>,
): Promise<Member[]> {
  const prefix = `sluice-e2e-${randomUUID().slice(0, 8)}`;
  // By name the first of a container's networks that leads outside carries its published ports: the peer network does not.
  const clientNetwork = await createNetwork(engine, open, { name: `${prefix}-client`, internal: false });
  const peerNetwork = await createNetwork(engine, open, { name: `${prefix}-peer`, internal: true });
  const basePort = await freeBasePort(nodeCount);
  const members: Member[] = [];
  for (let id = 1; id <= nodeCount; id += 1) {
    const volume = `${prefix}-node-${id}`;
    await createVolume(engine, volume);
    open.defer(() => engine.getVolume(volume).remove());
    const port = basePort + portsPerNode * (id - 1);
    const addresses = { client: `127.0.0.1:${port}`, admin: `127.0.0.1:${port + adminPort}` };
    const place: Place = { ...addresses, volume, clientNetwork, peerNetwork };
    const container = await NodeContainer.create({ engine, id, name: `${prefix}-${id}`, environment, place });
    open.use(container);
    members.push({ id, ...addresses, volume, container });
  }
  return members;
}

async function createNetwork(
  engine: Engine,
  open: AsyncDisposableStack,
  { name, internal }: { readonly name: string; readonly internal: boolean },
): Promise<Network> {
  await engine.createNetwork({ Name: name, Internal: internal, Labels: testLabels });
  const network = engine.getNetwork(name);
  open.defer(() => network.remove());
  return network;
}

async function createVolume(engine: Engine, name: string): Promise<void> {
  await engine.createVolume({ Name: name, Labels: testLabels });
}
