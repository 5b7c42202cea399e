import { logIndex, SeededRandom, silentLogger, term } from '@sluice/base';
import { defaultRaftConfig, memberId, Raft } from '@sluice/raft';
import type { Entry, MemberId, RaftMessage, ReadOutcome } from '@sluice/raft';
import type { RaftStore, RaftWrite } from '@sluice/storage';
import { DataDirectory, MemoryDisk, openNodeLog } from '@sluice/storage';
import { expect, test } from 'vitest';
import { ManualClock } from '@sluice/wire';
import type { RaftPeers } from './raft-peers.ts';
import { RaftRunner } from './raft-runner.ts';

const self = memberId('1-a');
const other = memberId('2-b');
const third = memberId('3-c');

/** A runner over a real node log, whose disk the test holds; what it would send is written down instead. */
async function subject(voters: readonly MemberId[] = [self, other, third]) {
  const clock = new ManualClock();
  const halts: Error[] = [];
  const halt = { halt: (reason: Error): void => void halts.push(reason) };
  const disk = new MemoryDisk();
  const directory = await DataDirectory.open(disk, '/data');
  const nodeLog = await openNodeLog({ directory, clock, halt, logger: silentLogger });
  const writes: RaftWrite[] = [];
  const store: RaftStore = {
    load: () => nodeLog.raft.load(),
    doubtful: false,
    logBytes: 0,
    saveSnapshot: (snapshot) => nodeLog.raft.saveSnapshot(snapshot),
    healed: () => undefined,
    persist: (write, onDurable) => {
      writes.push(write);
      nodeLog.raft.persist(write, onDurable);
    },
  };
  store.load();
  const sent: { to: MemberId; message: RaftMessage }[] = [];
  const committed: Entry[] = [];
  const reads: ReadOutcome[] = [];
  let dropped = 0;
  const raft = new Raft({
    self,
    initialVoters: voters.map((id) => ({ id, address: '' })),
    votingAllowed: true,
    hardState: { term: term(0), votedFor: undefined },
    snapshot: undefined,
    entries: [],
    checksum: () => 0,
    config: defaultRaftConfig,
    random: new SeededRandom(1),
    nowMs: clock.monotonicMs(),
  });
  const runner = new RaftRunner({
    raft,
    store,
    clock,
    logger: silentLogger,
    halt,
    onCommitted: (entries) => void committed.push(...entries),
    onMembership: () => undefined,
    onReads: (outcomes) => void reads.push(...outcomes),
    onLeadership: () => undefined,
  });
  const peers = {
    send: (to: MemberId, message: RaftMessage) => void sent.push({ to, message }),
    dropUnsent: () => void (dropped += 1),
  };
  const logTimers = clock.timers;
  runner.start(peers as unknown as RaftPeers);
  return { logTimers, clock, halts, disk, raft, runner, sent, committed, reads, writes, dropped: () => dropped };
}

const voteRequest = (number: number): RaftMessage => ({
  kind: 'vote-request',
  pre: false,
  transfer: false,
  term: term(number),
  lastIndex: logIndex(0),
  lastTerm: term(0),
});

test('a vote leaves only when it is durable (M1)', async () => {
  const { clock, disk, runner, sent } = await subject();
  disk.holdSyncs();
  runner.step({ kind: 'message', from: other, message: voteRequest(1) });
  await clock.settle();
  expect(sent).toEqual([]);
  disk.releaseSyncs();
  await clock.settle();
  expect(sent).toMatchObject([{ to: other, message: { kind: 'vote-reply', granted: true, term: 1 } }]);
});

test('several writes that become durable together are each told once, and all that waited for them leaves in order', async () => {
  const { clock, disk, runner, sent, halts, raft } = await subject();
  disk.holdSyncs();
  const session = { term: term(1), configIndex: logIndex(0), attempt: 0 };
  for (let index = 1; index <= 3; index += 1) {
    const entry: Entry = { index: logIndex(index), term: term(1), kind: 'command', payload: Uint8Array.of(index) };
    const prev = { prevIndex: logIndex(index - 1), prevTerm: term(index === 1 ? 0 : 1) };
    const message: RaftMessage = {
      kind: 'append',
      term: term(1),
      session,
      ...prev,
      entries: [entry],
      commitIndex: logIndex(0),
    };
    runner.step({ kind: 'message', from: other, message });
  }
  await clock.settle();
  expect([sent, raft.durableIndex]).toEqual([[], 0]);
  disk.releaseSyncs();
  await clock.settle();
  expect(sent.map(({ message }) => (message.kind === 'append-accepted' ? message.matchIndex : message.kind))).toEqual([
    1, 2, 3,
  ]);
  expect([raft.durableIndex, halts]).toEqual([3, []]);
});

test('what waits for a sync that fails never leaves, and the node stops', async () => {
  const { clock, disk, runner, sent, halts } = await subject();
  disk.failSyncs();
  runner.step({ kind: 'message', from: other, message: voteRequest(1) });
  await clock.settle();
  expect([sent, halts.length]).toEqual([[], 1]);
  // The log takes nothing more, and says so by throwing: the runner ends there (M2).
  runner.step({ kind: 'message', from: other, message: voteRequest(2) });
  runner.step({ kind: 'message', from: other, message: voteRequest(3) });
  await clock.settle();
  expect([sent, halts.length]).toEqual([[], 2]);
});

test('a broken invariant inside a step stops the node and is not thrown at whoever called (M2)', async () => {
  const { logTimers, clock, runner, sent, halts } = await subject();
  runner.step({ kind: 'message', from: self, message: voteRequest(1) });
  expect(halts).toMatchObject([{ name: 'InvariantError' }]);
  runner.step({ kind: 'message', from: other, message: voteRequest(1) });
  await clock.pass(10_000);
  expect([sent, halts.length, clock.timers]).toEqual([[], 1, logTimers]);
});

test('votes that are withdrawn while they wait for the disk never leave', async () => {
  const { clock, disk, runner, sent, raft, dropped } = await subject();
  disk.holdSyncs();
  runner.step({ kind: 'message', from: other, message: voteRequest(1) });
  runner.withdrawVotes();
  disk.releaseSyncs();
  await clock.settle();
  expect([sent, dropped(), raft.votingAllowed]).toEqual([[], 1, false]);
});

test('a sole voter elects itself, commits only what is durable, and its timer follows what its own proposals change', async () => {
  const { clock, disk, runner, committed, reads, raft } = await subject([self]);
  await clock.until('it leads', () => raft.isLeader);
  disk.holdSyncs();
  const proposal = runner.step({ kind: 'propose', payloads: [Uint8Array.of(1)] });
  await clock.pass(500);
  expect([proposal?.outcome, committed.map(({ kind }) => kind)]).toEqual(['accepted', ['no-op']]);
  disk.releaseSyncs();
  await clock.settle();
  expect(committed.map(({ kind }) => kind)).toEqual(['no-op', 'command']);
  runner.step({ kind: 'read', id: 7 });
  expect(reads).toEqual([{ id: 7, outcome: 'confirmed', index: raft.commitIndex }]);
  runner.stop();
  expect(runner.step({ kind: 'propose', payloads: [Uint8Array.of(1)] })).toBe(undefined);
});

test('remembered of a member is what it cannot have without a disk: no tentative term, no match that is not committed', async () => {
  const { runner } = await subject();
  const session = { term: term(1), configIndex: logIndex(0), attempt: 0 };
  runner.step({ kind: 'message', from: other, message: { ...voteRequest(9), pre: true } as RaftMessage });
  expect(runner.remembered(other)).toEqual({ term: 0, matchIndex: 0 });
  runner.step({ kind: 'message', from: other, message: voteRequest(3) });
  runner.step({
    kind: 'message',
    from: other,
    message: { kind: 'append-accepted', term: term(3), session, matchIndex: logIndex(50) },
  });
  expect([runner.remembered(other), runner.remembered(third)]).toEqual([
    { term: 3, matchIndex: 0 },
    { term: 0, matchIndex: 0 },
  ]);
});
