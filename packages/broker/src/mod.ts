/** Hosts partitions; serves produce, fetch, replication and administration over the ports of `base`. */
export { BrokerNode, type BrokerConfig, type BrokerOptions } from './broker-node.ts';
export type { Registration } from './controller-link.ts';
export type { NodeIdentity } from './node-identity.ts';
export type { Stage, StageTimes } from './stage-times.ts';
