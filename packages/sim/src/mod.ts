/** A whole cluster in one thread, from one seed: simulated clock, network and disk under the real shells. */
export { SimCluster } from './sim-cluster.ts';
export type { LogLine } from './sim-cluster.ts';
export { SimClock } from './sim-clock.ts';
export { Simulation } from './simulation.ts';
