/**
 * Test bed: a group on a network that loses, repeats and reorders, on disks that finish late and lose what they had not
 * finished, with restarts, cuts, snapshots, damaged chunks and wiped observers, all drawn from one seed. First the unsafe phase, checked after every step; then
 * the faults stop, and the group must elect, commit and agree without help.
 */
import { SeededRandom, invariant, utf8Encode } from '@sluice/base';
import type { Random } from '@sluice/base';
import { defaultRaftConfig } from './config.ts';
import type { RaftEffects } from './effects.ts';
import { effectsText, messageText } from './effects-text.ts';
import { GroupInvariants } from './group-invariants.ts';
import { MemoryMember, votersOf } from './memory-member.ts';
import { memberId } from './messages.ts';
import type { Envelope, MemberId } from './messages.ts';

export interface RandomGroupOptions {
  readonly seed: number;
  readonly voters: number;
  readonly observers: number;
  readonly steps: number;
  /** A shell that breaks its contract: held messages leave at once. What the checks are worth is seen by this. */
  readonly breaksHolding?: boolean;
}

/** What the run went through; a run in which nothing happened proves nothing. */
export interface RunCoverage {
  leaders: number;
  committed: number;
  truncations: number;
  restarts: number;
  lostWrites: number;
  reads: number;
  /** Membership entries committed. */
  membershipChanges: number;
  transfers: number;
  resignations: number;
  compactions: number;
  installs: number;
  damaged: number;
  wiped: number;
}

interface InFlight extends Envelope {
  readonly from: MemberId;
}

/** Small limits bring rare paths near. */
const config = {
  ...defaultRaftConfig,
  electionTimeoutMsMin: 400,
  electionTimeoutMsMax: 800,
  // One entry an append: a part of what a leader sends arrives without the rest.
  appendBytesMax: 100,
  inflightMessagesMax: 3,
  uncommittedBytesMax: 1000,
  snapshotChunkBytesMax: 50,
  compactionTrailingEntries: 1,
};

const inFlightMax = 200;
const historyLines = 400;

export class RandomGroup {
  readonly coverage: RunCoverage = {
    leaders: 0,
    committed: 0,
    truncations: 0,
    restarts: 0,
    lostWrites: 0,
    reads: 0,
    membershipChanges: 0,
    transfers: 0,
    resignations: 0,
    compactions: 0,
    installs: 0,
    damaged: 0,
    wiped: 0,
  };
  /** The last lines of what happened, for the account of a failure. */
  readonly history: string[] = [];
  readonly #options: RandomGroupOptions;
  readonly #root: Random;
  readonly #random: Random;
  readonly #voters: readonly MemberId[];
  readonly #members = new Map<MemberId, MemoryMember>();
  readonly #invariants: GroupInvariants;
  #network: InFlight[] = [];
  #cut = new Set<MemberId>();
  #nowMs = 0;
  #proposals = 0;
  #reads = 0;

  constructor(options: RandomGroupOptions) {
    this.#options = options;
    this.#root = new SeededRandom(options.seed);
    this.#random = this.#root.fork('faults');
    this.#voters = Array.from({ length: options.voters }, (_, at) => memberId(`v${at + 1}`));
    const observers = Array.from({ length: options.observers }, (_, at) => memberId(`o${at + 1}`));
    this.#invariants = new GroupInvariants(this.#members, this.#voters);
    for (const self of [...this.#voters, ...observers]) this.#add(self);
  }

  #add(self: MemberId): void {
    const random = this.#root.fork(self);
    const member = new MemoryMember(
      { self, initialVoters: votersOf(this.#voters), config, random, nowMs: this.#nowMs, votingAllowed: true },
      (stepped, effects) => {
        for (const line of effectsText(effects)) this.#note(`${stepped.raft.self} ${line}`);
        this.#count(effects);
        this.#invariants.onEffects(stepped, effects);
        if (this.#options.breaksHolding) for (const held of effects.sendAfterPersist) this.#send(self, held);
      },
      (from, envelope) => this.#send(from, envelope),
    );
    this.#members.set(self, member);
  }

  #count(effects: RaftEffects): void {
    if (effects.persist?.truncateFrom !== undefined) this.coverage.truncations += 1;
    if (effects.restore !== undefined) this.coverage.installs += 1;
    for (const { kind } of effects.trace) {
      if (kind === 'compacted') this.coverage.compactions += 1;
      if (kind === 'snapshot-damaged') this.coverage.damaged += 1;
    }
  }

  run(): RunCoverage {
    for (let step = 0; step < this.#options.steps; step += 1) this.#unsafeStep();
    this.#recover();
    this.coverage.leaders = this.#invariants.leaders;
    this.coverage.reads = this.#invariants.readsConfirmed;
    this.coverage.membershipChanges = this.#invariants.committed.filter(
      ({ entry }) => entry.kind === 'membership',
    ).length;
    this.coverage.committed = this.#invariants.committed.length;
    return this.coverage;
  }

  #unsafeStep(): void {
    const member = this.#anyMember();
    const dice = this.#random.below(1000);
    if (dice < 670) this.#deliverAny();
    else if (dice < 840) member.completeWrites(1 + this.#random.below(3), this.#nowMs);
    else if (dice < 845) member.takeSnapshot();
    else if (dice < 865) member.completeSaves(1, this.#nowMs);
    else if (dice < 920) this.#tickDue();
    else if (dice < 940) this.#propose(member);
    else if (dice < 955) this.#read(this.#random.below(2) === 0 ? member : this.#leaderOrAny());
    else if (dice < 972) this.#changeMembership();
    else if (dice < 976) this.#transfer();
    else if (dice < 981) this.#restart(member);
    else if (dice < 986) this.#refuse(member);
    else if (dice < 987) this.#wipeObserver();
    else if (dice < 991) this.#cutSome();
    else if (dice < 995) this.#cut.clear();
    else this.#deliverAny();
  }

  /** Without its leader a group cuts what that one goes on to append; without a follower it goes on, and compacts. */
  #cutSome(): void {
    const cut = this.#random.below(3) > 0 ? [this.#leaderOrAny()] : [this.#anyMember()];
    if (this.#random.below(4) === 0) cut.push(this.#anyMember());
    this.#cut = new Set(cut.map(({ raft }) => raft.self));
  }

  #deliverAny(): void {
    const at = this.#random.below(Math.max(1, Math.min(this.#network.length, 8)));
    const sent = this.#network[at];
    if (sent === undefined) return;
    const dice = this.#random.below(100);
    if (dice >= 5) this.#network.splice(at, 1);
    if (dice >= 95) return;
    this.#deliver(sent.message.kind === 'snapshot-chunk' && dice >= 90 ? damaged(sent) : sent);
  }

  #deliver({ from, to, message }: InFlight): void {
    this.#note(`${from} to ${to}: ${messageText(message)}`);
    this.#members.get(to)?.step({ kind: 'message', from, message, nowMs: this.#nowMs });
  }

  #send(from: MemberId, envelope: Envelope): void {
    this.#invariants.onSend(from, envelope);
    const { message, to } = envelope;
    if (message.kind === 'vote-reply' && message.granted && !message.pre) {
      this.#invariants.onVote(from, to, message.term);
    }
    if (this.#cut.has(from) || this.#cut.has(to) || this.#network.length >= inFlightMax) return;
    this.#network.push({ from, ...envelope });
  }

  /** Time moves to the tick that is due first, or a little beyond; others may be late. */
  #tickDue(): void {
    let first: MemoryMember | undefined;
    for (const member of this.#members.values()) {
      if (first === undefined || member.raft.nextTickAtMs < first.raft.nextTickAtMs) first = member;
    }
    if (first === undefined) return;
    this.#nowMs = Math.max(this.#nowMs, first.raft.nextTickAtMs) + this.#random.below(30);
    first.step({ kind: 'tick', nowMs: this.#nowMs });
  }

  #propose(member: MemoryMember): void {
    const count = 1 + this.#random.below(3);
    const payloads = Array.from({ length: count }, () => utf8Encode(`p${(this.#proposals += 1)}`));
    member.step({ kind: 'propose', payloads, nowMs: this.#nowMs });
  }

  /** Mostly to the leader, with voters coming and going about evenly. */
  #changeMembership(): void {
    const { raft } = this.#leaderOrAny();
    const who = this.#anyMember().raft.self;
    const [added] = votersOf([who]);
    invariant(added !== undefined, 'a voter of nobody');
    const change = raft.voters.includes(who) ? { remove: who } : { add: added };
    this.#members.get(raft.self)?.step({ kind: 'change-membership', change, nowMs: this.#nowMs });
  }

  #transfer(): void {
    const leader = this.#leaderOrAny();
    const voters = leader.raft.voters;
    const to = voters[this.#random.below(voters.length)];
    if (to === undefined) return;
    if (this.#random.below(4) === 0) {
      const led = leader.raft.isLeader;
      leader.step({ kind: 'resign', to, nowMs: this.#nowMs });
      if (led && !leader.raft.isLeader) this.coverage.resignations += 1;
      return;
    }
    const effects = leader.step({ kind: 'transfer', to, nowMs: this.#nowMs });
    if (effects.transfer?.outcome === 'begun') this.coverage.transfers += 1;
  }

  #read(member: MemoryMember): void {
    this.#reads += 1;
    this.#invariants.onRead(this.#reads);
    member.step({ kind: 'read', id: this.#reads, nowMs: this.#nowMs });
  }

  #restart(member: MemoryMember): void {
    this.#note(`${member.raft.self} restarts`);
    this.coverage.restarts += 1;
    if (member.writing.length > 0) this.coverage.lostWrites += 1;
    // A crash may come when some of what was under way is already on disk, though nobody was told.
    member.crash(this.#random.below(member.writing.length + 1), this.#nowMs);
    this.#invariants.onRestart(member);
  }

  /** A wiped disk is another member (P9): it comes back with nothing, under a name of its own. */
  #wipeObserver(): void {
    // A change that takes it out may still come to nothing.
    const { committedVoters } = this.#invariants;
    const isVoter = (id: MemberId): boolean =>
      committedVoters.includes(id) || [...this.#members.values()].some(({ raft }) => raft.voters.includes(id));
    const wiped = [...this.#members.keys()].find((id) => !isVoter(id));
    if (wiped === undefined) return;
    this.coverage.wiped += 1;
    this.#members.delete(wiped);
    const fresh = memberId(`${wiped}'`);
    this.#note(`${wiped} is wiped and comes back as ${fresh}`);
    this.#add(fresh);
  }

  #refuse(member: MemoryMember): void {
    // Also a leader sees followers refused, here wrongly: they live, and must be replicated to again.
    const peer = member.raft.isLeader ? this.#anyMember().raft.self : member.raft.leader;
    if (peer !== undefined) member.step({ kind: 'peer-refused', peer, nowMs: this.#nowMs });
  }

  /** No more faults: within a bounded time one leads, a new command commits, and all members hold the same. */
  #recover(): void {
    this.#cut.clear();
    this.#hintVoters();
    let proposed: { readonly index: number; readonly term: number } | undefined;
    this.#until('the group did not recover', () => {
      // A leader that was replaced meanwhile takes what it accepted along.
      if (!this.#leads(proposed?.term)) proposed = this.#proposeToLeader();
      return proposed !== undefined && this.#agreesFrom(proposed.index);
    });
    this.#restart(this.#anyMember());
    this.#until('a restarted member of an idle group did not catch up', () => this.#agreesFrom(proposed?.index ?? 0));
  }

  /** A member that missed everything may know none of today's voters: the shell tells it of others. */
  #hintVoters(): void {
    const members = [...this.#members.keys()];
    for (const member of this.#members.values()) {
      member.step({ kind: 'voters-hint', members, nowMs: this.#nowMs });
    }
  }

  /** Time passes 50 ms a round, everything under way arrives, every write completes. */
  #until(failure: string, isDone: () => boolean): void {
    for (let round = 0; round < 600; round += 1) {
      if (isDone()) return;
      this.#nowMs += 50;
      for (const member of this.#members.values()) {
        if (member.raft.nextTickAtMs <= this.#nowMs) member.step({ kind: 'tick', nowMs: this.#nowMs });
        member.completeWrites(member.writing.length, this.#nowMs);
        member.completeSaves(member.saving.length, this.#nowMs);
      }
      const sent = this.#network;
      this.#network = [];
      for (const message of sent) this.#deliver(message);
    }
    invariant(false, `liveness: ${failure}`, { seed: this.#options.seed });
  }

  #proposeToLeader(): { readonly index: number; readonly term: number } | undefined {
    for (const member of this.#members.values()) {
      if (!member.raft.isLeader) continue;
      const effects = member.step({ kind: 'propose', payloads: [utf8Encode('last')], nowMs: this.#nowMs });
      if (effects.proposal?.outcome !== 'accepted') continue;
      return { index: effects.proposal.firstIndex, term: effects.proposal.term };
    }
    return undefined;
  }

  #leads(term: number | undefined): boolean {
    return [...this.#members.values()].some(({ raft }) => raft.isLeader && raft.term === term);
  }

  #agreesFrom(index: number): boolean {
    const members = [...this.#members.values()];
    const last = members[0]?.raft.lastIndex ?? 0;
    return last >= index && members.every(({ raft }) => raft.deliveredIndex === last && raft.lastIndex === last);
  }

  #anyMember(): MemoryMember {
    const members = [...this.#members.values()];
    const member = members[this.#random.below(members.length)];
    invariant(member !== undefined, 'a group without members');
    return member;
  }

  /** Who leads is the one most worth cutting off: that is how logs come to differ. */
  #leaderOrAny(): MemoryMember {
    for (const member of this.#members.values()) if (member.raft.isLeader) return member;
    return this.#anyMember();
  }

  #note(line: string): void {
    this.history.push(`${Math.round(this.#nowMs)} ${line}`);
    if (this.history.length > historyLines * 2) this.history.splice(0, historyLines);
  }
}

/** The last bit of the chunk, or, of an empty one, of its checksum. */
function damaged(sent: InFlight): InFlight {
  const { message } = sent;
  if (message.kind !== 'snapshot-chunk') return sent;
  if (message.chunk.length === 0) return { ...sent, message: { ...message, chunkChecksum: message.chunkChecksum ^ 1 } };
  const chunk = Uint8Array.from(message.chunk);
  chunk.set([(chunk.at(-1) ?? 0) ^ 1], chunk.length - 1);
  return { ...sent, message: { ...message, chunk } };
}
