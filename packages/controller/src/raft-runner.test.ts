import { logIndex, SeededRandom, silentLogger, term } from '@sluice/base';
import { defaultRaftConfig, memberId, Raft } from '@sluice/raft';
import type { Entry, MemberId, RaftMessage, ReadOutcome, Snapshot } from '@sluice/raft';
import type { RaftStore, RaftWrite } from '@sluice/storage';
import { DataDirectory, MemoryDisk, openNodeLog } from '@sluice/storage';
import { expect, test } from 'vitest';
import { ManualClock } from '@sluice/wire';
import type { RaftPeers } from './raft-peers.ts';
import { RaftRunner } from './raft-runner.ts';
import { storedSnapshot } from './stored-snapshot.ts';

const self = memberId('1-a');
const other = memberId('2-b');
const third = memberId('3-c');

const writingDown = (raft: RaftStore, writes: RaftWrite[]): RaftStore => ({
  load: () => raft.load(),
  doubtful: false,
  logBytes: 0,
  saveSnapshot: (snapshot) => raft.saveSnapshot(snapshot),
  healed: () => undefined,
  persist: (write, onDurable) => {
    writes.push(write);
    raft.persist(write, onDurable);
  },
});

/** A runner over a real node log, whose disk the test holds; what it would send is written down instead. */
async function subject(voters: readonly MemberId[] = [self, other, third]) {
  const clock = new ManualClock();
  const halts: Error[] = [];
  const halt = { halt: (reason: Error): void => void halts.push(reason) };
  const disk = new MemoryDisk();
  const directory = await DataDirectory.open(disk, '/data');
  const nodeLog = await openNodeLog({ directory, clock, halt, logger: silentLogger });
  const writes: RaftWrite[] = [];
  const store = writingDown(nodeLog.raft, writes);
  store.load();
  const sent: { to: MemberId; message: RaftMessage }[] = [];
  const committed: Entry[] = [];
  const reads: ReadOutcome[] = [];
  const saves: Snapshot[] = [];
  const restored: Snapshot[] = [];
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
    onSaveSnapshot: (snapshot) => void saves.push(snapshot),
    onRestore: (snapshot) => void restored.push(snapshot),
    onReads: (outcomes) => void reads.push(...outcomes),
    onLeadership: () => undefined,
  });
  const peers = {
    send: (to: MemberId, message: RaftMessage) => void sent.push({ to, message }),
    dropUnsent: () => void (dropped += 1),
  };
  const logTimers = clock.timers;
  runner.start(peers as unknown as RaftPeers);
  return {
    logTimers,
    clock,
    halts,
    disk,
    raft,
    runner,
    sent,
    committed,
    reads,
    saves,
    restored,
    writes,
    store,
    dropped: () => dropped,
  };
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

test('a snapshot that the leader sent is saved, named by a durable write, and only then the state, before entries', async () => {
  const { clock, disk, runner, sent, saves, restored, committed, writes, store, raft } = await subject();
  const session = { term: term(1), configIndex: logIndex(0), attempt: 0 };
  const bytes = Uint8Array.of(1, 2, 3);
  const from = { kind: 'message', from: other } as const;
  const chunk: RaftMessage = {
    kind: 'snapshot-chunk',
    term: term(1),
    session,
    index: logIndex(7),
    lastTerm: term(1),
    membership: raft.membership,
    bytesTotal: 3,
    checksum: 0,
    offset: 0,
    chunk: bytes,
    chunkChecksum: 0,
  };
  runner.step({ ...from, message: chunk });
  await clock.settle();
  expect(saves).toMatchObject([{ index: 7, bytes }]);
  expect([restored, sent.some(({ message }) => message.kind === 'append-accepted')]).toEqual([[], false]);
  await store.saveSnapshot(storedSnapshot(saves[0]!));
  disk.holdSyncs();
  runner.step({ kind: 'snapshot-saved', snapshot: saves[0]! });
  await clock.settle();
  expect(writes.at(-1)).toEqual({ snapshot: { index: 7, term: 1, keepFrom: 8, replacesLog: true } });
  expect([restored, sent.some(({ message }) => message.kind === 'append-accepted')]).toEqual([[], false]);
  disk.releaseSyncs();
  await clock.settle();
  expect(restored).toEqual(saves);
  expect(sent.at(-1)?.message).toMatchObject({ kind: 'append-accepted', matchIndex: 7 });
  const entry: Entry = { index: logIndex(8), term: term(1), kind: 'command', payload: bytes };
  const append = { term: term(1), session, prevIndex: logIndex(7), prevTerm: term(1), commitIndex: logIndex(8) };
  runner.step({ ...from, message: { kind: 'append', ...append, entries: [entry] } });
  await clock.settle();
  expect(committed.map(({ index }) => index)).toEqual([8]);
});
