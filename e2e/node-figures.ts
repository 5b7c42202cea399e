/** What a node says of itself: its log, its metrics, and to whoever asks on its peer port. */
import { readFileSync } from 'node:fs';
import { identityMessage, methods } from '@sluice/wire';
import type { BirthCertificate, Identity } from '@sluice/wire';
import { brokerEpoch, directoryId, nodeId } from '@sluice/base';
import type { NodeFacts } from './node-processes.ts';
import type { RawClient } from './raw-client.ts';

export interface LogLine {
  readonly level: string;
  readonly msg: string;
  readonly [field: string]: unknown;
}

/** The log of all processes that ran under the configuration, in order; lines that are no JSON are Node's own. */
export function logLines(directory: string, id: number): LogLine[] {
  const text = readFileSync(`${directory}/node-${id}.log`, 'utf8').trimEnd();
  return text === '' ? [] : text.split('\n').map(parseLine);
}

export function parseLine(text: string): LogLine {
  try {
    return JSON.parse(text) as LogLine;
  } catch {
    return { level: 'fatal', msg: text };
  }
}

/** The value of a metric without labels; undefined when the node does not answer. */
export async function metric({ admin }: NodeFacts, name: string): Promise<number | undefined> {
  try {
    const response = await fetch(`http://${admin}/metrics`, { signal: AbortSignal.timeout(1000) });
    const line = (await response.text()).split('\n').find((each) => each.startsWith(`${name} `));
    return line === undefined ? undefined : Number(line.slice(name.length));
  } catch {
    return undefined;
  }
}

/** Some other node, as one that is not born yet presents itself. */
export const stranger: Identity = identityMessage({
  nodeId: nodeId(99),
  directoryId: directoryId('9'.repeat(32)),
  incarnation: '8'.repeat(32),
  clusterId: null,
  brokerEpoch: brokerEpoch(0),
});

export interface Membership {
  readonly identity: Identity;
  readonly certificate: BirthCertificate;
  /** The directory is in the voter set that the cluster was born with. */
  readonly votes: boolean;
}

export async function membership(raw: RawClient, node: NodeFacts): Promise<Membership> {
  const asked = await raw.rpc.unary(methods.birth.probe, node.peer, { identity: stranger }, { timeoutMs: 5000 });
  const { identity, certificate } = asked;
  if (identity === null || certificate === null) throw new Error(`node ${node.id} is not born yet`);
  const votes = certificate.voters.some((voter) => voter.directoryId === identity.directoryId);
  return { identity, certificate, votes };
}
