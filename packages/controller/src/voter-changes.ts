/**
 * The leader's side of adding and removing voters: which directory is meant, whether it may be done, and the wait until it
 * is committed. The rules that keep the log safe are those of `raft` (`membership-change.ts`); these keep the cluster
 * able to decide. Owned by `ControllerNode`.
 *
 * A1. A directory whose votes are revoked never becomes a voter: under its member id it may have voted in a term that
 *     nobody remembers. An empty directory is another member, and owes nobody a vote.
 * A2. Nothing is changed that would leave fewer voters in contact than a majority.
 * A3. A node gets no second vote while an older directory of it has one: a dead voter more can cost the majority, and to
 *     take the old one out first never does.
 * A4. An answer says that the change is committed. When the leadership ends before that is known it says so, indefinite.
 */
import { SluiceError } from '@sluice/base';
import type { LogIndex, NodeId, Term } from '@sluice/base';
import type { Entry, MemberId, MembershipChange, MembershipChangeOutcome, PeerView, Raft } from '@sluice/raft';
import type { ControllerMember, VoterChangeResponse } from '@sluice/wire';
import { memberOf, parseMember } from './members.ts';
import type { Announced } from './raft-peers.ts';

export interface VoterChangesOptions {
  readonly raft: () => Raft | undefined;
  readonly change: (change: MembershipChange) => MembershipChangeOutcome | undefined;
  readonly announced: (member: MemberId) => Announced | undefined;
  readonly addressesOf: (member: MemberId) => readonly string[];
  readonly nowMs: () => number;
  /** Who answered no longer ago is up. */
  readonly contactMsMax: number;
}

interface Quorum {
  readonly voters: readonly ControllerMember[];
  readonly observers: readonly ControllerMember[];
}

interface Pending {
  readonly index: LogIndex;
  readonly term: Term;
  readonly resolve: () => void;
  readonly reject: (error: SluiceError) => void;
}

/** Times a contact time: by then every node has missed the leader before, and asked for this one. */
const settledAfter = 3;

export class VoterChanges {
  readonly #options: VoterChangesOptions;
  /** By index. More than one when the disks of others commit a change before this one's, and `raft` takes the next. */
  #pending: readonly Pending[] = [];
  #ledSinceMs = 0;

  constructor(options: VoterChangesOptions) {
    this.#options = options;
  }

  lead(): void {
    this.#ledSinceMs = this.#options.nowMs();
  }

  /** Rejects with `NOT_CONTROLLER` unless this node leads. */
  describe(): Quorum {
    const raft = this.#leading();
    const peers = new Map(raft.peers.map((peer) => [peer.peer, peer]));
    const observers = raft.peers.filter(({ isVoter }) => !isVoter).map(({ peer }) => peer);
    const view = (member: MemberId): ControllerMember =>
      member === raft.self ? this.#ownView(raft) : this.#viewOf(member, peers.get(member), raft.lastIndex);
    const byNode = (one: ControllerMember, other: ControllerMember): number => one.nodeId - other.nodeId;
    return { voters: raft.voters.map(view).toSorted(byNode), observers: observers.map(view).toSorted(byNode) };
  }

  async add(node: NodeId): Promise<VoterChangeResponse> {
    const { voters, observers } = this.describe();
    const candidate = this.#newest(observers.filter(({ nodeId, state }) => nodeId === node && state === 'up'));
    if (candidate === undefined) throw this.#noCandidate(node, voters);
    const other = voters.find(({ nodeId }) => nodeId === node);
    if (other !== undefined) throw otherDirectoryVotes(other, candidate);
    const member = memberIdOf(candidate);
    const said = this.#options.announced(member);
    if (said?.isController !== true) throw new SluiceError('WRONG_ROLE');
    if (said.votesRevoked) throw revoked(candidate);
    const after = [...voters, candidate].toSorted((one, other) => one.nodeId - other.nodeId);
    demandMajority(after);
    return this.#change({ add: { id: member, address: candidate.address } }, { changed: candidate, voters: after });
  }

  /** `directory`: which of two of the same node. */
  async remove(node: NodeId, directory: string): Promise<VoterChangeResponse> {
    const { voters } = this.describe();
    const changed = chosen(
      voters.filter(({ nodeId, directoryId }) => nodeId === node && (directory === '' || directoryId === directory)),
    );
    const after = voters.filter((voter) => voter !== changed);
    if (after.length > 0) demandMajority(after);
    return this.#change({ remove: memberIdOf(changed) }, { changed, voters: after });
  }

  onCommitted(entry: Entry): void {
    const due = this.#pending.filter(({ index }) => index <= entry.index);
    if (due.length === 0) return;
    this.#pending = this.#pending.filter(({ index }) => index > entry.index);
    for (const { index, term, resolve, reject } of due) {
      if (entry.index === index && entry.term === term) resolve();
      else reject(new SluiceError('CONTROLLER_CHANGED'));
    }
  }

  /** The leadership is over; a leader that removed itself ends by the very commit that is waited for. */
  stepDown(): void {
    const pending = this.#pending;
    this.#pending = [];
    const raft = this.#options.raft();
    for (const { index, term, resolve, reject } of pending) {
      if (raft !== undefined && raft.commitIndex >= index && raft.entryAt(index)?.term === term) resolve();
      else reject(new SluiceError('CONTROLLER_CHANGED'));
    }
  }

  async #change(
    change: MembershipChange,
    answer: Pick<VoterChangeResponse, 'changed' | 'voters'>,
  ): Promise<VoterChangeResponse> {
    const outcome = this.#options.change(change);
    // This node halted on the way: nobody knows what went out before.
    if (outcome === undefined) throw new SluiceError('CONTROLLER_CHANGED');
    if (outcome.outcome === 'refused') throw refusal(outcome);
    const { index, term } = outcome;
    const raft = this.#options.raft();
    // A sole voter has committed it in the same step.
    if (raft === undefined || raft.deliveredIndex < index) {
      await new Promise<void>((resolve, reject) => {
        this.#pending = [...this.#pending, { index, term, resolve, reject }];
      });
    }
    return { ...answer, metadataOffset: index };
  }

  /** Who answered last: one whose directory was replaced a moment ago is up for a while longer. */
  #newest(members: readonly ControllerMember[]): ControllerMember | undefined {
    const peers = this.#leading().peers;
    const contactMs = (member: ControllerMember): number =>
      peers.find(({ peer }) => peer === memberIdOf(member))?.lastContactMs ?? 0;
    return members.toSorted((one, other) => contactMs(other) - contactMs(one))[0];
  }

  #noCandidate(node: NodeId, voters: readonly ControllerMember[]): SluiceError {
    const { nowMs, contactMsMax } = this.#options;
    const present = voters.filter(({ nodeId }) => nodeId === node);
    if (present.some(({ state }) => state !== 'down')) return new SluiceError('ALREADY_A_VOTER');
    const isNew = nowMs() - this.#ledSinceMs <= settledAfter * contactMsMax;
    if (present.length === 0 && !isNew) return new SluiceError('UNKNOWN_NODE');
    return new SluiceError('VOTER_NOT_CAUGHT_UP', {
      message: `Node ${node} does not follow the controller leader yet; see that it runs, and try again.`,
    });
  }

  #leading(): Raft {
    const raft = this.#options.raft();
    if (raft?.isLeader !== true) throw new SluiceError('NOT_CONTROLLER');
    return raft;
  }

  #ownView({ self, lastIndex, durableIndex, votingAllowed }: Raft): ControllerMember {
    const [address = ''] = this.#options.addressesOf(self);
    return { ...parseMember(self), address, state: 'leader', lag: lastIndex - durableIndex, mayVote: votingAllowed };
  }

  #viewOf(member: MemberId, peer: PeerView | undefined, lastIndex: number): ControllerMember {
    const { announced, addressesOf, nowMs, contactMsMax } = this.#options;
    const isUp = peer !== undefined && nowMs() - peer.lastContactMs <= contactMsMax;
    const said = announced(member);
    const [address = ''] = addressesOf(member);
    return {
      ...parseMember(member),
      address,
      state: isUp ? 'up' : 'down',
      lag: lastIndex - (peer?.matchIndex ?? 0),
      mayVote: said === undefined || (said.isController && !said.votesRevoked),
    };
  }
}

const memberIdOf = ({ nodeId, directoryId }: ControllerMember): MemberId =>
  memberOf({ nodeId, directoryId } as Parameters<typeof memberOf>[0]);

function otherDirectoryVotes(voter: ControllerMember, candidate: ControllerMember): SluiceError {
  const { nodeId, directoryId } = voter;
  return new SluiceError('OTHER_DIRECTORY_VOTES', {
    message: `Node ${nodeId} votes with directory ${directoryId}, and follows with ${candidate.directoryId}: run "sluice node remove ${nodeId} --directory ${directoryId}" first, then add it again.`,
    details: { voting: directoryId, following: candidate.directoryId },
  });
}

function chosen(found: readonly ControllerMember[]): ControllerMember {
  const [first, ...others] = found;
  if (first === undefined) throw new SluiceError('NOT_A_VOTER');
  if (others.length === 0) return first;
  const silent = found.filter(({ state }) => state === 'down');
  const [gone, ...more] = silent;
  if (gone !== undefined && more.length === 0) return gone;
  const directories = found.map(({ directoryId }) => directoryId);
  throw new SluiceError('INVALID_REQUEST', {
    message: `Node ${first.nodeId} votes with the directories ${directories.join(' and ')}, and none or all of them answer; say which one is to go.`,
    details: { directories },
  });
}

function demandMajority(voters: readonly ControllerMember[]): void {
  const answering = voters.filter(({ state }) => state !== 'down').length;
  const majority = Math.floor(voters.length / 2) + 1;
  if (answering >= majority) return;
  throw new SluiceError('NOT_ENOUGH_VOTERS', {
    message: `There would be ${voters.length} voters, of which ${answering} answer and ${majority} are a majority: nothing could be decided any more. Start those that are down, or remove them first.`,
    details: { voters: voters.length, answering, majority },
  });
}

const revoked = ({ nodeId, directoryId }: ControllerMember): SluiceError =>
  new SluiceError('ROLLED_BACK', {
    message: `Directory ${directoryId} of node ${nodeId} may have lost votes, so it never votes again; stop the node, give it an empty directory, and add it when it runs.`,
    details: { nodeId, directoryId },
  });

function refusal(refused: Extract<MembershipChangeOutcome, { outcome: 'refused' }>): SluiceError {
  switch (refused.reason) {
    case 'not-leader':
      return new SluiceError('NOT_CONTROLLER');
    case 'change-under-way':
    case 'own-term-uncommitted':
    case 'transfer-under-way':
      return new SluiceError('VOTER_CHANGE_UNDER_WAY');
    case 'already-a-voter':
      return new SluiceError('ALREADY_A_VOTER');
    case 'not-a-voter':
      return new SluiceError('NOT_A_VOTER');
    case 'last-voter':
      return new SluiceError('LAST_VOTER');
    case 'not-caught-up': {
      const { matchIndex = 0, lastIndex = 0 } = refused;
      const lag = lastIndex - matchIndex;
      return new SluiceError('VOTER_NOT_CAUGHT_UP', {
        message: `The node lacks ${lag} of ${lastIndex} entries of the metadata, so it was not made a voter; it goes on, try again.`,
        details: { lag, lastIndex },
      });
    }
  }
}
