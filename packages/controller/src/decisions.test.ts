import { brokerEpoch, clusterId, directoryId, logIndex, nodeId, SluiceError, term, topicId } from '@sluice/base';
import type { LogIndex } from '@sluice/base';
import { decodeRecords, MetadataImage } from '@sluice/metadata';
import type { RegisterNodeRequest } from '@sluice/metadata';
import type { Entry, Proposal } from '@sluice/raft';
import { expect, test } from 'vitest';
import { Decisions } from './decisions.ts';

/** A log of one: entries are proposed, and committed when the test says so. */
class Log {
  readonly image = new MetadataImage();
  readonly proposed: Entry[] = [];
  outcome: Proposal['outcome'] | 'unknown' = 'accepted';
  term = 1;
  /** Reads that the quorum has not confirmed yet, and whether it does at once. */
  readonly reads: number[] = [];
  confirming = true;
  readonly decisions: Decisions = new Decisions({
    image: this.image,
    propose: (payload) => this.#propose(payload),
    read: (id) => {
      this.reads.push(id);
      if (this.confirming) this.confirm();
    },
  });

  confirm(index: LogIndex = this.image.appliedIndex): void {
    const outcomes = this.reads.splice(0).map((id) => ({ id, outcome: 'confirmed', index }) as const);
    this.decisions.onReads(outcomes);
  }

  #propose(payload: Uint8Array): Proposal | undefined {
    if (this.outcome === 'unknown') return undefined;
    if (this.outcome !== 'accepted') return { outcome: this.outcome } as Proposal;
    const index = logIndex(this.image.appliedIndex + 1);
    this.proposed.push({ index, term: term(this.term), kind: 'command', payload });
    return { outcome: 'accepted', firstIndex: index, term: term(this.term) } as Proposal;
  }

  commit(replacement?: Entry): void {
    const entry = replacement ?? this.proposed.at(-1)!;
    const decoded = decodeRecords(entry.payload);
    this.image.replayEntry(entry.index, decoded.ok ? decoded.records : []);
    this.decisions.onApplied(entry);
  }
}

const codeOf = (error: unknown): string => (error instanceof SluiceError ? error.code : String(error));
const outcome = (promise: Promise<unknown>): Promise<unknown> => promise.catch(codeOf);

const registration = (id: number): RegisterNodeRequest => ({
  type: 'registerNode',
  nodeId: nodeId(id),
  directoryId: directoryId(String(id).repeat(32)),
  incarnation: 'e'.repeat(32),
  softwareVersion: 'test',
  rack: null,
  clientListeners: [{ name: 'client', protocol: 'grpc', address: 'a:1' }],
  peerAddress: 'a:2',
  adminAddress: 'a:3',
  lastBrokerEpoch: null,
  lossy: false,
  unclean: false,
  sessionLive: false,
});

async function born(): Promise<Log> {
  const log = new Log();
  log.decisions.lead();
  const initialised = log.decisions.ask({ type: 'initialize', clusterId: clusterId('c'.repeat(32)), level: 1 });
  log.commit();
  await initialised;
  return log;
}

test('who was elected keeps what is asked until it leads, and refuses it when it never does', async () => {
  const log = new Log();
  const request = { type: 'initialize', clusterId: clusterId('c'.repeat(32)), level: 1 } as const;
  log.decisions.elected();
  const refused = outcome(log.decisions.ask(request));
  log.decisions.stepDown();
  expect([await refused, await outcome(log.decisions.ask(request))]).toEqual(['NOT_CONTROLLER', 'NOT_CONTROLLER']);
  log.decisions.elected();
  const asked = log.decisions.ask(request);
  expect(log.proposed).toEqual([]);
  log.decisions.lead();
  expect(log.proposed).toHaveLength(1);
  log.commit();
  await asked;
});

test('before it leads nothing is decided (Q1)', async () => {
  const log = new Log();
  const asked = log.decisions.ask({ type: 'initialize', clusterId: clusterId('c'.repeat(32)), level: 1 });
  expect(await outcome(asked)).toBe('NOT_CONTROLLER');
  expect(log.proposed).toEqual([]);
});

test('one request is out at a time, and the next is decided on what the last one left (Q2)', async () => {
  const log = await born();
  const [one, again] = [log.decisions.ask(registration(1)), log.decisions.ask(registration(1))];
  expect(log.proposed).toHaveLength(2);
  log.commit();
  expect(await one).toEqual({ brokerEpoch: 2, lossy: false });
  // The same incarnation asked twice: the second finds the first registered, and needs no record.
  expect(await again).toEqual({ brokerEpoch: 2, lossy: false });
  expect(log.proposed).toHaveLength(2);
});

test('a registration is answered with the index of its entry as broker epoch', async () => {
  const log = await born();
  const first = log.decisions.ask(registration(1));
  log.commit();
  const second = log.decisions.ask(registration(2));
  log.commit();
  expect([(await first).brokerEpoch, (await second).brokerEpoch]).toEqual([2, 3]);
  expect(log.image.node(nodeId(2))?.brokerEpoch).toBe(3);
});

test('nothing is answered before it is committed', async () => {
  const log = await born();
  let answered = false;
  const asked = log.decisions.ask(registration(1)).then(() => (answered = true));
  await new Promise<void>((resolve) => void setImmediate(resolve));
  expect(answered).toBe(false);
  log.commit();
  expect(await asked).toBe(true);
});

test('when leadership ends what is out is indefinite, what waits is definite (Q3)', async () => {
  const log = await born();
  const [out, waiting] = [log.decisions.ask(registration(1)), log.decisions.ask(registration(2))];
  log.decisions.stepDown();
  expect([await outcome(out), await outcome(waiting), await outcome(log.decisions.ask(registration(3)))]).toEqual([
    'CONTROLLER_CHANGED',
    'NOT_CONTROLLER',
    'NOT_CONTROLLER',
  ]);
  // It is committed after all, by the next leader: nobody waits for it any more.
  log.commit();
  expect(log.image.node(nodeId(1))?.brokerEpoch).toBe(2);
});

test('an entry of another term in its place answers CONTROLLER_CHANGED, never success', async () => {
  const log = await born();
  const asked = log.decisions.ask(registration(1));
  const mine = log.proposed.at(-1)!;
  log.commit({ ...mine, term: term(9) });
  expect(await outcome(asked)).toBe('CONTROLLER_CHANGED');
});

test.each([
  ['tail-full', 'LIMIT_EXCEEDED'],
  ['not-leader', 'NOT_CONTROLLER'],
  // The node halted on the way: the records may have left it.
  ['unknown', 'CONTROLLER_CHANGED'],
])('a proposal that is refused (%s) is answered %s, and the next request goes on', async (refusal, code) => {
  const log = await born();
  log.outcome = refusal as Log['outcome'];
  expect(await outcome(log.decisions.ask(registration(1)))).toBe(code);
  log.outcome = 'accepted';
  const next = log.decisions.ask(registration(1));
  log.commit();
  expect((await next).brokerEpoch).toBe(2);
});

test('a refusal of decide rejects with its error, and one that throws takes nobody with it', async () => {
  const log = await born();
  const first = log.decisions.ask(registration(1));
  const unknown = log.decisions.ask({ type: 'deleteTopic', namespace: 'default', name: 'none' });
  const broken = log.decisions.ask({ type: 'no such request' } as never);
  const epoch = brokerEpoch(2);
  const after = log.decisions.ask({ type: 'allocateProducerIds', nodeId: nodeId(1), brokerEpoch: epoch });
  log.commit();
  await first;
  expect(await outcome(unknown)).toBe('UNKNOWN_TOPIC');
  await expect(broken).rejects.toThrow('unreachable');
  log.commit();
  expect((await after).first).toBe(0);
  expect(topicId('a'.repeat(32))).toHaveLength(32);
});

test('more requests than anyone could still wait for are refused', async () => {
  const log = await born();
  void outcome(log.decisions.ask(registration(1)));
  const waiting = Array.from({ length: 10_000 }, () => outcome(log.decisions.ask(registration(2))));
  expect(await outcome(log.decisions.ask(registration(3)))).toBe('LIMIT_EXCEEDED');
  log.decisions.stepDown();
  expect(new Set(await Promise.all(waiting))).toEqual(new Set(['NOT_CONTROLLER']));
});

const deletion = (name: string) => ({ type: 'deleteTopic', namespace: 'default', name }) as const;
const settled = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

test('an answer that commits nothing waits for a quorum, and nothing waits behind it (Q4)', async () => {
  const log = await born();
  log.confirming = false;
  let answered: unknown;
  const refused = outcome(log.decisions.ask(deletion('none'))).then((code) => (answered = code));
  const behind = log.decisions.ask(registration(1));
  log.commit();
  expect([(await behind).brokerEpoch, answered]).toEqual([2, undefined]);
  // What is so already waits like a refusal.
  const again = log.decisions.ask(registration(1));
  log.confirm();
  await settled();
  expect(answered).toBe('UNKNOWN_TOPIC');
  expect(log.reads).toHaveLength(1);
  log.confirm();
  expect([await refused, (await again).brokerEpoch]).toEqual(['UNKNOWN_TOPIC', 2]);
});

test('those who come while a read is under way share the next, however many they are', async () => {
  const log = await born();
  log.confirming = false;
  const answers = Array.from({ length: 100 }, () => outcome(log.decisions.ask(deletion('none'))));
  const confirmed = log.decisions.confirm();
  let rounds = 0;
  for (; log.reads.length > 0; rounds += 1) log.confirm();
  await confirmed;
  expect([rounds, new Set(await Promise.all(answers))]).toEqual([2, new Set(['UNKNOWN_TOPIC'])]);
});

test('a confirmed answer waits for what the read asks to have applied', async () => {
  const log = await born();
  log.confirming = false;
  let answered = false;
  const refused = outcome(log.decisions.ask(deletion('none'))).then(() => (answered = true));
  const behind = log.decisions.ask(registration(1));
  log.confirm(logIndex(2));
  await settled();
  expect(answered).toBe(false);
  log.commit();
  await behind;
  expect(await refused).toBe(true);
});

test('a leader that is not confirmed answers NOT_CONTROLLER, and hears no late confirmation', async () => {
  const log = await born();
  log.confirming = false;
  const [one, two] = [outcome(log.decisions.ask(deletion('none'))), outcome(log.decisions.confirm())];
  log.decisions.stepDown();
  expect([await one, await two, await outcome(log.decisions.confirm())]).toEqual(Array(3).fill('NOT_CONTROLLER'));
  const late = log.reads.splice(0);
  log.decisions.lead();
  const three = outcome(log.decisions.ask(deletion('none')));
  log.decisions.onReads(late.map((id) => ({ id, outcome: 'confirmed', index: log.image.appliedIndex })));
  await settled();
  expect(log.reads).toHaveLength(1);
  log.decisions.onReads(log.reads.map((id) => ({ id, outcome: 'not-leader' })));
  expect(await three).toBe('NOT_CONTROLLER');
});
