/**
 * Processes of nodes that are not all alike: with roles of their own, and voters that are some of them. For what
 * `sluice dev` does not start; else `LocalCluster`.
 */
import type { ChildProcess } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { freeBasePort } from '@sluice/cli/free-ports';
import { isNodeReady } from '@sluice/cli/node-ready';
import { writeNodeFile } from './node-config.ts';
import { end, hasEnded, isAlive, startNode } from './node-processes.ts';
import type { NodeFacts } from './node-processes.ts';
import { until } from './until.ts';

export interface NodeGroupOptions {
  /** Of nodes 1, 2, …, in order. */
  readonly roles: readonly (readonly ('controller' | 'broker')[])[];
  /** Node ids of those that found the cluster. */
  readonly voters: readonly number[];
}

const host = '127.0.0.1';
const portsPerNode = 10;
const stopPatienceMs = 12_000;
const readyTimeoutMs = 60_000;

export class NodeGroup implements AsyncDisposable {
  readonly directory: string = mkdtempSync(path.join(tmpdir(), 'sluice-group-'));
  readonly nodes: readonly NodeFacts[];
  readonly #roles: NodeGroupOptions['roles'];
  readonly #processes = new Map<number, ChildProcess>();

  private constructor({ roles, voters }: NodeGroupOptions, port: number) {
    this.#roles = roles;
    this.nodes = roles.map((_, at) => this.#facts(at + 1, port + portsPerNode * at));
    for (const { id } of this.nodes) this.configure(id, voters);
  }

  /** Writes the configuration that its next start reads. */
  configure(id: number, voters: readonly number[]): void {
    const node = this.node(id);
    writeNodeFile(node.config, {
      profile: 'dev',
      nodeId: id,
      roles: this.#roles[id - 1],
      dataDirectory: node.data,
      cluster: { voters: voters.map((voter) => ({ nodeId: voter, peerAddress: this.node(voter).peer })) },
      listeners: {
        client: [{ name: 'client', protocol: 'grpc', bind: node.client }],
        peer: { bind: node.peer },
        admin: { bind: node.admin },
      },
    });
  }

  /** Resolves when all are ready. */
  static async start(options: NodeGroupOptions): Promise<NodeGroup> {
    const group = new NodeGroup(options, await freeBasePort(options.roles.length));
    try {
      const ids = group.nodes.map(({ id }) => id);
      group.start(...ids);
      await group.ready(...ids);
      return group;
    } catch (error) {
      await group[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Client addresses of those that have one. */
  get bootstrap(): readonly string[] {
    return this.nodes.filter(({ id }) => this.#roles[id - 1]?.includes('broker')).map(({ client }) => client);
  }

  node(id: number): NodeFacts {
    const node = this.nodes[id - 1];
    if (node === undefined) throw new Error(`the group has no node ${id}`);
    return node;
  }

  start(...ids: readonly number[]): void {
    for (const id of ids) this.#processes.set(id, startNode(this.node(id), this.directory));
  }

  async ready(...ids: readonly number[]): Promise<void> {
    for (const id of ids) {
      const look = async (): Promise<true | undefined> => ((await isNodeReady(this.node(id).admin)) ? true : undefined);
      await until(look, { what: `node ${id} being ready`, timeoutMs: readyTimeoutMs });
    }
  }

  /** SIGKILL, SIGSTOP or SIGCONT. */
  signal(id: number, signal: NodeJS.Signals): void {
    this.#process(id).kill(signal);
  }

  /** SIGKILL; resolves when it is gone. */
  async kill(id: number): Promise<void> {
    const { pid = 0 } = this.#process(id);
    this.signal(id, 'SIGKILL');
    const gone = (): true | undefined => (isAlive(pid) ? undefined : true);
    await until(gone, { what: `the end of node ${id}`, timeoutMs: 5000, everyMs: 1 });
  }

  /** The node must be dead. */
  wipe(id: number): void {
    rmSync(this.node(id).data, { recursive: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const running = [...this.#processes.values()].filter((child) => !hasEnded(child));
    for (const child of running) child.kill('SIGCONT');
    await Promise.all(running.map((child) => end(child, stopPatienceMs)));
    rmSync(this.directory, { recursive: true, force: true });
  }

  #process(id: number): ChildProcess {
    const child = this.#processes.get(id);
    if (child === undefined) throw new Error(`node ${id} was never started`);
    return child;
  }

  #facts(id: number, port: number): NodeFacts {
    const data = path.join(this.directory, `node-${id}`);
    mkdirSync(data, { recursive: true });
    return {
      id,
      pid: 0,
      client: `${host}:${port}`,
      peer: `${host}:${port + 1}`,
      admin: `${host}:${port + 2}`,
      data,
      config: path.join(this.directory, `node-${id}.yaml`),
    };
  }
}
