/** Where the nodes of a local cluster live: ports, files, and the configuration of each. */
import path from 'node:path';
import { stringify } from 'yaml';

export interface DevNodeLayout {
  readonly id: number;
  readonly client: string;
  readonly peer: string;
  readonly admin: string;
  /** Data directory. */
  readonly data: string;
  /** Configuration file; `sluice server --config` starts the node again by hand. */
  readonly config: string;
  /** What the node writes to its standard output. */
  readonly log: string;
}

const host = '127.0.0.1';
export const portsPerNode = 10;

/** Node *i* has client, peer and admin ports at `port + 10·(i−1)` and the two after it. */
export function devLayout(directory: string, nodes: number, port: number): readonly DevNodeLayout[] {
  return Array.from({ length: nodes }, (_, index) => {
    const id = index + 1;
    const base = port + portsPerNode * index;
    return {
      id,
      client: `${host}:${base}`,
      peer: `${host}:${base + 1}`,
      admin: `${host}:${base + 2}`,
      data: path.join(directory, `node-${id}`),
      config: path.join(directory, `node-${id}.yaml`),
      log: path.join(directory, `node-${id}.log`),
    };
  });
}

export function devConfig(node: DevNodeLayout, all: readonly DevNodeLayout[]): string {
  return stringify({
    profile: 'dev',
    nodeId: node.id,
    dataDirectory: node.data,
    cluster: { voters: all.map(({ id, peer }) => ({ nodeId: id, peerAddress: peer })) },
    listeners: {
      client: [{ name: 'client', protocol: 'grpc', bind: node.client }],
      peer: { bind: node.peer },
      admin: { bind: node.admin },
    },
  });
}
