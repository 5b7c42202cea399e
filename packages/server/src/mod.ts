/** The composition root: configuration and one node over ports. `main.ts` adds the process around it. */
export { loadConfig } from './config/load.ts';
export type { ConfigSources } from './config/load.ts';
export { configKeys, configTable, environmentName, profiles } from './config/table.ts';
export type { ClientListener, ConfigKey, ConfigRow, NodeConfig, VoterAddress } from './config/table.ts';
export { isReady } from './health.ts';
export type { Readiness } from './health.ts';
export { metricsTable, stages } from './metrics-table.ts';
export type { MetricRow, Stage } from './metrics-table.ts';
export { assembleNode } from './node.ts';
export type { Node, NodeInspection, NodePorts } from './node.ts';
