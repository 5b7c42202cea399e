/** Rules that concern more than one key: what is legal alone and impossible together. */
import { isLoopback, parseAddress } from '@sluice/base';
import { refuse } from './parsers.ts';
import type { NodeConfig } from './table.ts';

/** Throws `INVALID_CONFIG` for the first pair that cannot work. */
export function checkTogether(config: NodeConfig): void {
  checkTimes(config);
  checkSizes(config);
  checkVoters(config);
  checkListeners(config);
}

function checkTimes(config: NodeConfig): void {
  atMost(config, 'heartbeatMs', config.sessionTimeoutMs / 3, 'a third of sessionTimeoutMs, or one lost report fences');
  atMost(config, 'heartbeatMs', config.diskStallMs, 'diskStallMs, or a disk that hangs is told of too late');
  atMost(
    config,
    'raft.heartbeatMs',
    config['raft.electionTimeoutMs'] / 3,
    'a third of raft.electionTimeoutMs, or one lost report starts an election',
  );
}

function checkSizes(config: NodeConfig): void {
  atMost(config, 'groupBytesMax', config.journalBytesMax, 'journalBytesMax: a group lies in one file');
  atMost(
    config,
    'groupBytesMax',
    config.tailBytesMax,
    'tailBytesMax: followers read what was just written from memory',
  );
  atMost(config, 'produceWindowBytesMax', config.receiveBudgetBytes, 'receiveBudgetBytes, from which it is granted');
}

function checkVoters(config: NodeConfig): void {
  const voters = config['cluster.voters'];
  for (const [index, voter] of voters.entries()) {
    const at = `cluster.voters[${index}]`;
    const earlier = voters.slice(0, index);
    if (earlier.some((other) => other.nodeId === voter.nodeId)) {
      refuse(`${at}.nodeId`, voter.nodeId, 'a node id that no other voter has');
    }
    if (earlier.some((other) => other.peerAddress === voter.peerAddress)) {
      refuse(`${at}.peerAddress`, voter.peerAddress, 'an address that no other voter has');
    }
  }
  const self = voters.find((voter) => voter.nodeId === config.nodeId);
  if (self === undefined) return;
  if (self.peerAddress !== config['listeners.peer.advertise']) {
    refuse(
      'listeners.peer.advertise',
      config['listeners.peer.advertise'],
      `${self.peerAddress}, the address of node ${config.nodeId} in cluster.voters`,
    );
  }
  if (!config.roles.includes('controller')) {
    refuse('roles', config.roles, `a list with controller, because node ${config.nodeId} is in cluster.voters`);
  }
}

interface Bound {
  readonly key: string;
  readonly bind: string;
  readonly advertise: string;
}

function checkListeners(config: NodeConfig): void {
  const client = config['listeners.client'];
  for (const [index, listener] of client.entries()) {
    if (client.slice(0, index).some((other) => other.name === listener.name)) {
      refuse(`listeners.client[${index}].name`, listener.name, 'a name that no other listener has');
    }
  }
  const all: Bound[] = client.map((listener, index) => ({ key: `listeners.client[${index}]`, ...listener }));
  for (const name of ['peer', 'admin'] as const) {
    const key = `listeners.${name}` as const;
    all.push({ key, bind: config[`${key}.bind`], advertise: config[`${key}.advertise`] });
  }
  for (const [index, bound] of all.entries()) {
    const taken = all.slice(0, index).find((other) => other.bind === bound.bind);
    if (taken !== undefined) refuse(`${bound.key}.bind`, bound.bind, `another address than ${taken.key} has`);
    checkReach(bound, config['security.insecure']);
  }
}

function checkReach({ key, bind, advertise }: Bound, insecure: boolean): void {
  if (!insecure && !isLoopback(hostOf(bind))) {
    refuse(
      `${key}.bind`,
      bind,
      'a loopback address, because there is no TLS; set security.insecure: true to let anyone who reaches the port in',
    );
  }
  if (isWildcard(hostOf(advertise))) {
    refuse(`${key}.advertise`, advertise, 'an address that others can connect to, not a wildcard');
  }
}

const hostOf = (address: string): string => parseAddress(address)?.host ?? '';

const isWildcard = (host: string): boolean => host === '0.0.0.0' || host === '::';

function atMost(
  config: NodeConfig,
  key: 'heartbeatMs' | 'raft.heartbeatMs' | 'groupBytesMax' | 'produceWindowBytesMax',
  limit: number,
  reason: string,
): void {
  if (config[key] > limit) refuse(key, config[key], `at most ${Math.floor(limit)}: ${reason}`);
}
