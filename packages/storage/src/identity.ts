/**
 * Who this data directory is: written before the first vote and read before anything else (design §3, P9).
 * Called by `server` at start and by the controller when the cluster is born, joined or left.
 */
import type { BrokerEpoch, ClusterId, DirectoryId, NodeId, Random } from '@sluice/base';
import { brokerEpoch, clusterId, directoryId, isIdentity, isPosition, nodeId, SluiceError } from '@sluice/base';
import { type CheckedFile, damaged, readChecked, writeChecked } from './checked-file.ts';
import type { DataDirectory } from './data-directory.ts';

export interface Voter {
  readonly nodeId: NodeId;
  readonly directoryId: DirectoryId;
}

/** A promise made while a cluster is being born, before all voters have confirmed. */
export interface Birth {
  readonly clusterId: ClusterId;
  readonly voters: readonly Voter[];
}

export interface DirectoryIdentity {
  readonly nodeId: NodeId;
  readonly directoryId: DirectoryId;
  /** null until the cluster is born or joined. */
  readonly clusterId: ClusterId | null;
  readonly birth: Birth | null;
  /** The voter set agreed at birth; null before, and on observers. */
  readonly voters: readonly Voter[] | null;
  /** The last broker epoch granted to this directory; 0 when none. */
  readonly brokerEpoch: BrokerEpoch;
  /** A directory that lost state or was rolled back never votes until it is admitted again. */
  readonly votesRevoked: boolean;
}

const identityFile: CheckedFile = {
  name: 'identity',
  formatVersion: 1,
  remedy:
    'Without it nobody can tell which votes this directory has cast: keep it as evidence and give the node an empty one, which copies its replicas from the others, and votes no more.',
};

export class IdentityStore {
  readonly #directory: DataDirectory;

  constructor(directory: DataDirectory) {
    this.#directory = directory;
  }

  /**
   * Undefined when the directory was never formatted. Rejects with `WRONG_IDENTITY` when it belongs to another node,
   * and with `DIRECTORY_DAMAGED` when it cannot be read, or when there are journal files but no identity.
   */
  async load(node: NodeId): Promise<DirectoryIdentity | undefined> {
    const value = await readChecked(this.#directory, identityFile);
    const path = this.#directory.file(identityFile.name);
    if (value === undefined) {
      const names = await this.#directory.disk.list(this.#directory.path);
      if (names.includes('manifest')) throw damaged(path, identityFile, 'it is missing, beside a node log');
      return undefined;
    }
    const identity = parseIdentity(value);
    if (identity === undefined) throw damaged(path, identityFile, 'a field is missing or impossible');
    if (identity.nodeId !== node) {
      throw new SluiceError('WRONG_IDENTITY', {
        message: `${this.#directory.path} belongs to node ${identity.nodeId}, this is node ${node}; point the node to its own directory.`,
        details: { directory: this.#directory.path, found: identity.nodeId, expected: node },
      });
    }
    return identity;
  }

  /** Formats an empty directory. */
  async create(node: NodeId, random: Random): Promise<DirectoryIdentity> {
    const identity: DirectoryIdentity = {
      nodeId: node,
      directoryId: directoryId(random.identity()),
      clusterId: null,
      birth: null,
      voters: null,
      brokerEpoch: brokerEpoch(0),
      votesRevoked: false,
    };
    await this.save(identity);
    return identity;
  }

  /** Durable when it resolves. One at a time: a running node goes through `IdentityKeeper`. */
  save(identity: DirectoryIdentity): Promise<void> {
    return writeChecked(this.#directory, identityFile, identity);
  }
}

function parseIdentity(value: unknown): DirectoryIdentity | undefined {
  const fields = recordOf(value);
  const voter = parseVoter(value);
  if (fields === undefined || voter === undefined) return undefined;
  const birth = fields['birth'] === null ? null : parseBirth(fields['birth']);
  const voters = fields['voters'] === null ? null : parseVoters(fields['voters']);
  const cluster = fields['clusterId'];
  const epoch = fields['brokerEpoch'];
  const votesRevoked = fields['votesRevoked'];
  if (birth === undefined || voters === undefined) return undefined;
  if (cluster !== null && !isIdentity(cluster)) return undefined;
  if (!isPosition(epoch) || typeof votesRevoked !== 'boolean') return undefined;
  return {
    ...voter,
    clusterId: cluster === null ? null : clusterId(cluster),
    birth,
    voters,
    brokerEpoch: brokerEpoch(epoch),
    votesRevoked,
  };
}

function parseBirth(value: unknown): Birth | undefined {
  const fields = recordOf(value);
  const voters = parseVoters(fields?.['voters']);
  const cluster = fields?.['clusterId'];
  return voters === undefined || !isIdentity(cluster) ? undefined : { clusterId: clusterId(cluster), voters };
}

function parseVoters(value: unknown): readonly Voter[] | undefined {
  if (!Array.isArray(value)) return undefined;
  const voters: Voter[] = [];
  for (const item of value as readonly unknown[]) {
    const voter = parseVoter(item);
    if (voter === undefined) return undefined;
    voters.push(voter);
  }
  return voters;
}

function parseVoter(value: unknown): Voter | undefined {
  const fields = recordOf(value);
  const node = fields?.['nodeId'];
  const directory = fields?.['directoryId'];
  if (!isPosition(node) || node < 1 || node > 0x7fff_ffff || !isIdentity(directory)) return undefined;
  return { nodeId: nodeId(node), directoryId: directoryId(directory) };
}

const recordOf = (value: unknown): Readonly<Record<string, unknown>> | undefined =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Readonly<Record<string, unknown>>)
    : undefined;
