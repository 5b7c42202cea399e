/** Runs the controller quorum of a node: birth, Raft, metadata, broker sessions. */
export type { ConfiguredVoter } from './birth-process.ts';
export { ControllerNode } from './controller-node.ts';
export type { ControllerConfig, ControllerOptions, ControllerStanding } from './controller-node.ts';
export { decodeRaftMessage, encodeRaftMessage } from './raft-codec.ts';
