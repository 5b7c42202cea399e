/** Configuration of a node as its file says it, changed in places: for nodes that are set up in another way, or wrong. */
import { readFileSync, writeFileSync } from 'node:fs';
import { parse, stringify } from 'yaml';
import type { NodeFacts } from './node-processes.ts';

export interface ClientListener {
  name: string;
  protocol: string;
  bind: string;
  advertise?: string;
}

/** As `sluice dev` writes it, and what a test may add. */
export interface NodeFile {
  nodeId: number;
  dataDirectory: string;
  cluster: { voters: { nodeId: number; peerAddress: string }[] };
  listeners: { client: ClientListener[]; peer: { bind: string; advertise?: string }; admin: { bind: string } };
  [key: string]: unknown;
}

export const readNodeFile = ({ config }: NodeFacts): NodeFile => parse(readFileSync(config, 'utf8')) as NodeFile;

export const writeNodeFile = (file: string, config: NodeFile): void => writeFileSync(file, stringify(config));
