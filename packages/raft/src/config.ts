/** Limits and times of one group. The shell validates them against its configuration table; here they are only asserted. */
import { invariant } from '@sluice/base';

export interface RaftConfig {
  /** A leader shows that it lives this often; an observer without a leader asks for one this often. */
  readonly heartbeatMs: number;
  /**
   * A member that has heard nothing of its leader for a random time between these two campaigns. Below the minimum it
   * sticks to its leader and refuses votes. A leader that no quorum has answered for the maximum steps down.
   */
  readonly electionTimeoutMsMin: number;
  readonly electionTimeoutMsMax: number;
  /**
   * A member that just started campaigns after a random time up to this; one whose leader is gone after its rank times a
   * fifth of it, and at most this.
   */
  readonly leaderlessElectionDelayMsMax: number;
  /** Payload and overhead of one append message; a single larger entry travels alone. */
  readonly appendBytesMax: number;
  /** Append messages sent to one peer and not yet acknowledged. */
  readonly inflightMessagesMax: number;
  readonly inflightBytesMax: number;
  /** Proposals beyond this much uncommitted log are refused; one is always let in when nothing is uncommitted. */
  readonly uncommittedBytesMax: number;
  readonly observersMax: number;
  /** Payload of one snapshot chunk; one chunk is under way to a peer. */
  readonly snapshotChunkBytesMax: number;
  /** Entries kept below a snapshot, so that a follower that is a little behind needs entries only. */
  readonly compactionTrailingEntries: number;
}

export const defaultRaftConfig: RaftConfig = {
  heartbeatMs: 100,
  electionTimeoutMsMin: 1000,
  electionTimeoutMsMax: 2000,
  leaderlessElectionDelayMsMax: 150,
  appendBytesMax: 1024 * 1024,
  inflightMessagesMax: 64,
  inflightBytesMax: 8 * 1024 * 1024,
  uncommittedBytesMax: 64 * 1024 * 1024,
  observersMax: 1000,
  snapshotChunkBytesMax: 256 * 1024,
  compactionTrailingEntries: 1000,
};

export function assertRaftConfig(config: RaftConfig): void {
  for (const [key, value] of Object.entries(config)) {
    invariant(Number.isInteger(value) && value >= 1, 'raft config: not a positive integer', { key, value });
  }
  invariant(
    config.heartbeatMs * 3 <= config.electionTimeoutMsMin &&
      config.electionTimeoutMsMin < config.electionTimeoutMsMax &&
      config.leaderlessElectionDelayMsMax <= config.electionTimeoutMsMin,
    'raft config: heartbeat, refused delay and election timeouts do not fit together',
    { config },
  );
}
