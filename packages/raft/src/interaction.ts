/**
 * Test bed of the transcripts: a group on a network and on disks that do nothing by themselves. Every command is one
 * line; what it caused comes back as text. Time stands still until `wait`; random delays are always the shortest.
 *
 * - `add <members> [voters=a,b] [log=1,1,2] [term=n] [vote=x] [voting=no] [caps=messages] [single=yes] [chunk=bytes]
 *   [trailing=entries]`: `log` gives the terms of the entries; `caps` bounds what is under way, `single` sends one entry
 *   an append, `trailing` (1) is what compaction leaves below a snapshot
 * - `wait <ms>`, `tick <member>`, `due <member>` (wait until its next tick is due, then tick)
 * - `propose <member> <payload>…`, `refuse <member> <peer>`, `voting <member> yes|no`
 * - `read <member> <id>`, `transfer|resign <member> <to>`, `add-voter|remove-voter <member> <who>`, `hint <member> <who>…`
 * - `persist <member> [count]`: completes writes, all by default
 * - `snapshot <member>`: begins to save one of what is applied; `save <member> [count]`: completes saves, all by default
 * - `deliver|repeat|drop <from> <to> [position]`: the message at a position (0: oldest) between two; `repeat` keeps it
 * - `deliver|drop all [member]`: everything in the network now, or all that goes to or comes from one
 * - `damage <from> <to> chunk|whole`: flips a bit of the first snapshot chunk between two; with `whole` its own checksum
 *   fits again, as if the sender had read it so
 * - `cut <member>…`: from now on nothing reaches or leaves these; without members all are joined again
 * - `ask-vote <from> <to> <term>`: a real vote request out of nowhere, with a log ahead of all
 * - `settle [member]…`: persist and deliver until nothing moves, showing only what commits and who leads; the writes of
 *   those named wait
 * - `restart <member>`: loses what is not durable; `show <member>…`, `network`
 */
import { logIndex, term, utf8Encode } from '@sluice/base';
import type { Random } from '@sluice/base';
import { defaultRaftConfig } from './config.ts';
import type { RaftEffects } from './effects.ts';
import { effectsText, entryText, messageText } from './effects-text.ts';
import { MemoryMember, testChecksum, votersOf } from './memory-member.ts';
import { memberId } from './messages.ts';
import type { Entry, Envelope, MemberId } from './messages.ts';

const shortest: Random = {
  nextUint32: () => 0,
  below: () => 0,
  identity: () => '0'.repeat(32),
  fork: () => shortest,
};

interface InFlight extends Envelope {
  readonly from: MemberId;
}

type Command = (words: readonly string[]) => void;

export class Interaction {
  readonly #members = new Map<string, MemoryMember>();
  #network: InFlight[] = [];
  #nowMs = 0;
  #lines: string[] = [];
  #isTerse = false;
  #cut: ReadonlySet<string> = new Set();

  readonly #commands: Readonly<Record<string, Command>> = {
    add: (words) => this.#add(words),
    wait: ([ms]) => {
      this.#nowMs += Number(ms);
    },
    tick: ([name]) => void this.#member(name).step({ kind: 'tick', nowMs: this.#nowMs }),
    due: ([name]) => {
      this.#nowMs = Math.max(this.#nowMs, this.#member(name).raft.nextTickAtMs);
      this.#lines.push(`at ${this.#nowMs}`);
      this.#member(name).step({ kind: 'tick', nowMs: this.#nowMs });
    },
    propose: ([name, ...payloads]) => {
      const event = { kind: 'propose', payloads: payloads.map(utf8Encode), nowMs: this.#nowMs } as const;
      this.#member(name).step(event);
    },
    read: ([name, id]) => {
      this.#member(name).step({ kind: 'read', id: Number(id), nowMs: this.#nowMs });
    },
    refuse: ([name, peer]) => {
      this.#member(name).step({ kind: 'peer-refused', peer: memberId(peer ?? ''), nowMs: this.#nowMs });
    },
    voting: ([name, allowed]) => {
      this.#member(name).step({ kind: 'voting', allowed: allowed === 'yes', nowMs: this.#nowMs });
    },
    persist: ([name, count]) => {
      const member = this.#member(name);
      member.completeWrites(count === undefined ? member.writing.length : Number(count), this.#nowMs);
    },
    snapshot: ([name]) => {
      if (!this.#member(name).takeSnapshot()) this.#lines.push('nothing to take');
    },
    save: ([name, count]) => {
      const member = this.#member(name);
      member.completeSaves(count === undefined ? member.saving.length : Number(count), this.#nowMs);
    },
    damage: (words) => this.#damage(words),
    deliver: (words) => this.#take(words).forEach((message) => this.#deliver(message)),
    repeat: (words) => {
      const before = [...this.#network];
      const taken = this.#take(words);
      this.#network = before;
      for (const message of taken) this.#deliver(message);
    },
    drop: (words) => void this.#take(words),
    settle: (held) => this.#settle(held),
    cut: (names) => {
      this.#cut = new Set(names);
    },
    'add-voter': ([name, added]) => {
      const [voter] = votersOf([memberId(added ?? '')]);
      if (voter === undefined) throw new Error('add whom?');
      this.#member(name).step({ kind: 'change-membership', change: { add: voter }, nowMs: this.#nowMs });
    },
    'remove-voter': ([name, removed]) => {
      const change = { remove: memberId(removed ?? '') };
      this.#member(name).step({ kind: 'change-membership', change, nowMs: this.#nowMs });
    },
    transfer: ([name, to]) => {
      this.#member(name).step({ kind: 'transfer', to: memberId(to ?? ''), nowMs: this.#nowMs });
    },
    resign: ([name, to]) => {
      this.#member(name).step({ kind: 'resign', to: memberId(to ?? ''), nowMs: this.#nowMs });
    },
    hint: ([name, ...members]) => {
      this.#member(name).step({ kind: 'voters-hint', members: members.map(memberId), nowMs: this.#nowMs });
    },
    'ask-vote': ([from, to, asked]) => {
      const position = { lastIndex: logIndex(99), lastTerm: term(Number(asked) - 1) };
      const message = {
        kind: 'vote-request',
        pre: false,
        transfer: false,
        term: term(Number(asked)),
        ...position,
      } as const;
      this.#deliver({ from: memberId(from ?? ''), to: memberId(to ?? ''), message });
    },
    restart: ([name]) => this.#member(name).crash(0, this.#nowMs),
    show: (names) => names.forEach((name) => this.#show(this.#member(name))),
    network: () =>
      this.#network.forEach((sent) => this.#lines.push(`${sent.from} to ${sent.to}: ${messageText(sent.message)}`)),
  };

  /** The lines that one command line causes. Throws on an unknown command, and whatever the member throws. */
  run(line: string): string[] {
    this.#lines = [];
    const [name = '', ...words] = line.split(/\s+/);
    const command = this.#commands[name];
    if (command === undefined) throw new Error(`unknown command: ${line}`);
    command(words);
    return this.#lines;
  }

  #member(name: string | undefined): MemoryMember {
    const member = this.#members.get(name ?? '');
    if (member === undefined) throw new Error(`no such member: ${name}`);
    return member;
  }

  #add(words: readonly string[]): void {
    const names = words.filter((word) => !word.includes('=')).map(memberId);
    const given = new Map(
      words.filter((word) => word.includes('=')).map((word) => word.split('=') as [string, string]),
    );
    const voters = given.get('voters')?.split(',').map(memberId) ?? names;
    const terms = given.get('log')?.split(',').map(Number) ?? [];
    const entries = terms.map((entryTerm, at): Entry => {
      return { index: logIndex(at + 1), term: term(entryTerm), kind: 'command', payload: utf8Encode(`${entryTerm}`) };
    });
    const vote = given.get('vote');
    const caps = given.get('caps');
    for (const self of names) {
      const options = {
        self,
        initialVoters: votersOf(voters),
        config: {
          ...defaultRaftConfig,
          appendBytesMax: given.get('single') === 'yes' ? 1 : defaultRaftConfig.appendBytesMax,
          snapshotChunkBytesMax: Number(given.get('chunk') ?? defaultRaftConfig.snapshotChunkBytesMax),
          compactionTrailingEntries: Number(given.get('trailing') ?? 1),
          inflightMessagesMax: caps === undefined ? defaultRaftConfig.inflightMessagesMax : Number(caps),
          uncommittedBytesMax: caps === undefined ? defaultRaftConfig.uncommittedBytesMax : 300,
        },
        random: shortest,
        nowMs: this.#nowMs,
        votingAllowed: given.get('voting') !== 'no',
        hardState: {
          term: term(Number(given.get('term') ?? terms.at(-1) ?? 0)),
          votedFor: vote === undefined ? undefined : memberId(vote),
        },
        entries,
      };
      const member = new MemoryMember(
        options,
        (stepped, effects) => this.#print(stepped, effects),
        (from, envelope) => {
          if (!this.#cut.has(from) && !this.#cut.has(envelope.to)) this.#network.push({ from, ...envelope });
        },
      );
      this.#members.set(self, member);
    }
  }

  #print(member: MemoryMember, effects: RaftEffects): void {
    const lines = effectsText(effects);
    const shown = this.#isTerse
      ? lines.filter((line) => /^(leadership|membership|committed|restore|read |trace truncated)/.test(line))
      : lines;
    for (const line of shown) this.#lines.push(`${member.raft.self} ${line}`);
  }

  #damage([from, to, part]: readonly string[]): void {
    const isChunk = (sent: InFlight): boolean =>
      sent.from === from && sent.to === to && sent.message.kind === 'snapshot-chunk';
    const at = this.#network.findIndex(isChunk);
    const sent = this.#network[at];
    if (sent?.message.kind !== 'snapshot-chunk') throw new Error('no snapshot chunk there');
    const chunk = Uint8Array.from(sent.message.chunk, (byte, position) => (position === 0 ? byte ^ 1 : byte));
    const chunkChecksum = part === 'whole' ? testChecksum(chunk) : sent.message.chunkChecksum;
    this.#network[at] = { ...sent, message: { ...sent.message, chunk, chunkChecksum } };
  }

  #take(words: readonly string[]): InFlight[] {
    const [from, to, position] = words;
    const isWanted = (sent: InFlight): boolean =>
      from === 'all' ? to === undefined || sent.from === to || sent.to === to : sent.from === from && sent.to === to;
    const wanted = this.#network.filter(isWanted);
    const taken = from === 'all' ? wanted : wanted.slice(Number(position ?? 0), Number(position ?? 0) + 1);
    // Not an error: that nothing is under way is often the point.
    if (taken.length === 0) this.#lines.push('nothing under way');
    this.#network = this.#network.filter((sent) => !taken.includes(sent));
    return taken;
  }

  #deliver({ from, to, message }: InFlight): void {
    if (!this.#isTerse) this.#lines.push(`${from} to ${to}: ${messageText(message)}`);
    this.#member(to).step({ kind: 'message', from, message, nowMs: this.#nowMs });
  }

  #settle(held: readonly string[]): void {
    this.#isTerse = true;
    for (let rounds = 0; ; rounds += 1) {
      if (rounds > 1000) throw new Error('the group does not settle');
      const sent = this.#network;
      this.#network = [];
      for (const message of sent) this.#deliver(message);
      let moved = sent.length > 0;
      for (const member of this.#members.values()) {
        if (member.writing.length + member.saving.length === 0 || held.includes(member.raft.self)) continue;
        moved = true;
        member.completeWrites(member.writing.length, this.#nowMs);
        member.completeSaves(member.saving.length, this.#nowMs);
      }
      if (!moved) break;
    }
    this.#isTerse = false;
  }

  #show({ raft, diskEntries, diskHardState, diskSnapshot, applied }: MemoryMember): void {
    const log: string[] = [];
    for (let at: number = raft.firstIndex; at <= raft.lastIndex; at += 1) {
      const entry = raft.entryAt(logIndex(at));
      if (entry !== undefined) log.push(entryText(entry));
    }
    const positionText = (at: { index: number; term: number } | undefined): string =>
      at === undefined ? '' : ` snapshot=${at.index}/${at.term}`;
    this.#lines.push(
      `${raft.self} ${raft.role} term=${raft.term} vote=${raft.votedFor ?? 'none'} leader=${raft.leader ?? 'none'} ` +
        `commit=${raft.commitIndex} delivered=${raft.deliveredIndex} durable=${raft.durableIndex}` +
        `${positionText(raft.snapshot)} log=[${log.join(' ')}]`,
      `${raft.self} disk term=${diskHardState.term} vote=${diskHardState.votedFor ?? 'none'}` +
        `${positionText(diskSnapshot)} log=[${diskEntries.map(entryText).join(' ')}]`,
    );
    const incoming = raft.incomingSnapshot;
    if (incoming !== undefined) {
      this.#lines.push(`${raft.self} incoming snapshot=${incoming.index} received=${incoming.receivedBytes}`);
    }
    if (raft.snapshot !== undefined) this.#lines.push(`${raft.self} state "${applied.join(' ')}"`);
    for (const peer of raft.peers) {
      this.#lines.push(`${raft.self} peer ${peer.peer} ${peer.state} match=${peer.matchIndex} next=${peer.nextIndex}`);
    }
  }
}
