/** What a scripted workload did, state by state, and how far it was told that it is durable; see `crash-points.testing.ts`. */
import type { Disk } from '@sluice/base';
import { logIndex, type Random, SeededRandom, term } from '@sluice/base';
import { batchesIn } from '@sluice/record';
import { batchMark, LogModel, signatureOf } from './log-model.ts';
import type { NodeLog, NodeLogLimits } from './node-log.ts';
import type { RaftCompaction, RaftSnapshot, RaftState, RaftWrite } from './raft-store.ts';
import { at } from './test-batches.ts';
import { TestClock } from './test-clock.ts';
import { openTestNode, testLogId, type TestNode } from './test-node-log.ts';
import { wrongSnapshot } from './test-snapshots.ts';

export interface Workload {
  readonly name: string;
  readonly limits: Partial<NodeLogLimits>;
  readonly logNumbers: readonly number[];
  /** Recovery is cut below so many disk operations. */
  readonly recoveryOperations: number;
  run(scene: Scene): Promise<void>;
}

const stepMs = 100;

/** What a workload is given: a place for its nodes, and somewhere to say what it did. */
export class Scene {
  readonly history = new History();
  readonly logs = new LogModel();
  readonly raft = new RaftModel();
  readonly random: SeededRandom;
  readonly clock = new TestClock();
  /** In the order in which they were opened; the last one may still run. */
  readonly nodes: TestNode[] = [];
  readonly #disk: Disk;
  readonly #limits: Partial<NodeLogLimits>;

  constructor(disk: Disk, workload: Workload, seed: number) {
    this.#disk = disk;
    this.#limits = workload.limits;
    this.random = new SeededRandom(seed);
  }

  async open(): Promise<TestNode> {
    const node = await openTestNode({ disk: this.#disk, limits: this.#limits, clock: this.clock });
    this.nodes.push(node);
    this.raft.opened();
    return node;
  }

  /** The models are in a state now that the node log may be in. */
  note(): void {
    this.history.add(this.logs, this.raft);
  }

  /** As `note`; sometimes waits until that state is durable. */
  async step(node: TestNode): Promise<void> {
    this.note();
    const reported = this.history.reported(node.log);
    // What is done in no hurry, such as to remove old files, is done in between.
    this.clock.advance(stepMs);
    if (this.random.below(2) === 0) await reported;
  }
}

export class History {
  readonly states: string[] = [`\n${new RaftModel().signature()}`];
  durable = 0;
  /** States that a node reported durable although it had stopped. */
  reportedAfterStop = 0;
  #highestEnd = 0;
  /** In which state a batch was dead first. */
  readonly #died = new Map<string, number>();

  add(logs: LogModel, raft: RaftModel): void {
    this.states.push(`${logs.signature()}\n${raft.signature()}`);
    this.#highestEnd = logs.highestEnd;
    for (const mark of logs.takeDead()) this.#died.set(mark, this.states.length - 1);
  }

  /** Resolves when the state that is the last now is durable; throws when the node has stopped. */
  reported(node: NodeLog): Promise<void> {
    const state = this.states.length - 1;
    const { promise, resolve } = Promise.withResolvers<void>();
    node.raft.persist({}, () => {
      this.durable = state;
      if (node.failed !== undefined) this.reportedAfterStop += 1;
      resolve();
    });
    return promise;
  }

  get deadBatches(): number {
    return this.#died.size;
  }

  mayBe(state: string): boolean {
    return this.states.some((known, number) => known === state && number >= this.durable);
  }

  /** P7: what was durably truncated, trimmed or deleted and can be read all the same, in a sentence. */
  async readableDead(node: NodeLog, logNumbers: readonly number[]): Promise<string | undefined> {
    for (const number of logNumbers) {
      const log = node.log(testLogId(number));
      for (let from = 0; from < this.#highestEnd; ) {
        const read = await log.read(at(from), at(this.#highestEnd), 100_000);
        const isInside = from >= log.startOffset && from < log.endOffset;
        if (read.kind === 'out-of-range' || read.bytes === 0) {
          if (isInside) return `log ${number}: offset ${from} cannot be read`;
          from += 1;
          continue;
        }
        if (!isInside) return `log ${number}: offset ${from} is dead, and was read`;
        for (const batch of read.batches.flatMap(eachBatch)) {
          const died = this.#died.get(batchMark(number, batch));
          if (died !== undefined && died <= this.durable) {
            return `log ${number}: what was at offset ${from} before state ${died} was read again`;
          }
        }
        from = read.endOffset;
      }
    }
    return undefined;
  }
}

const eachBatch = (bytes: Uint8Array): Uint8Array[] =>
  Array.from(batchesIn(bytes), (found) =>
    bytes.subarray(found.position, found.position + (found.ok ? found.header.batchBytes : 0)),
  );

/** The Raft state as it should be. */
export class RaftModel {
  #state: RaftState;
  /** Durable, and not yet named. */
  #saved: RaftSnapshot[] = [];
  /** Snapshots on their way. */
  saving = 0;

  constructor(state: RaftState = { hardState: { term: term(0), votedFor: null }, snapshot: null, entries: [] }) {
    this.#state = state;
  }

  /** Anything; of a snapshot it waits until it is saved. */
  async any(node: NodeLog, random: Random): Promise<void> {
    const draw = random.below(4);
    if (draw < 2) this.step(node, random);
    else if (draw < 3) this.compact(node, random);
    else await this.save(node, random);
  }

  /** Any write, also of entries that a snapshot stands for. */
  step(node: NodeLog, random: Random): void {
    const { snapshot, entries: before, hardState: known } = this.#state;
    const last = before.at(-1)?.index ?? snapshot?.index ?? 0;
    const lowest = before[0]?.index ?? last + 1;
    const isBehindSnapshot = last < (snapshot?.index ?? 0) && random.below(2) === 0;
    const next = isBehindSnapshot ? (snapshot?.index ?? 0) + 1 : last + 1;
    const from = isBehindSnapshot ? next : Math.max(lowest, next - random.below(4));
    const at = term(known.term + random.below(2));
    const entries = Array.from({ length: random.below(4) }, (_, n) => ({
      index: logIndex(from + n),
      term: at,
      kind: n,
      payload: new Uint8Array(random.below(200)).fill(random.below(256)),
    }));
    const truncates = entries.length === 0 || random.below(2) === 0;
    const hardState = { term: at, votedFor: random.below(3) === 0 ? null : `node ${random.below(9)}` };
    this.#write(node, { hardState, entries, ...(truncates ? { truncateFrom: logIndex(from) } : {}) });
  }

  /** Of an index that the log holds, or, as one that came from a leader, of a later one. */
  async save(node: NodeLog, random: Random): Promise<void> {
    const { snapshot, entries, hardState } = this.#state;
    const first = snapshot?.index ?? 0;
    const last = Math.max(first, entries.at(-1)?.index ?? 0);
    const index = logIndex(first + 1 + random.below(last - first + 3));
    const bytes = new Uint8Array(random.below(5) === 0 ? 6000 : random.below(300)).fill(random.below(256));
    const saved = { index, term: hardState.term, meta: new Uint8Array(random.below(20)).fill(index), bytes };
    this.saving += 1;
    try {
      await node.raft.saveSnapshot(saved);
      // Of the same entry the newest counts.
      this.#saved = [...this.#saved.filter((other) => other.index !== index || other.term !== saved.term), saved];
    } finally {
      this.saving -= 1;
    }
  }

  /** The log starts with one that was saved, if there is one: with or without entries, in one write with others. */
  compact(node: NodeLog, random: Random): void {
    const { snapshot, entries, hardState } = this.#state;
    const saved = this.#saved.filter(({ index }) => index > (snapshot?.index ?? 0));
    const taken = saved[random.below(Math.max(1, saved.length))];
    if (taken === undefined) return;
    const { index } = taken;
    const holds = entries.some((entry) => entry.index === index);
    const replacesLog = !holds || random.below(3) === 0;
    const keepFrom = logIndex(Math.max(1, index + 1 - random.below(3)));
    const compaction = { index, term: taken.term, keepFrom, replacesLog };
    const next = replacesLog ? index + 1 : (entries.at(-1)?.index ?? 0) + 1;
    const payload = new Uint8Array(random.below(40)).fill(index);
    const entry = { index: logIndex(next), term: hardState.term, kind: 9, payload };
    this.#write(node, { snapshot: compaction, ...(random.below(2) === 0 ? { entries: [entry] } : {}) }, taken);
    this.#saved = saved.filter((other) => other !== taken && other.index > index);
  }

  /** What was saved and not named is gone. */
  opened(): void {
    this.#saved = [];
  }

  signature(): string {
    return raftSignature(this.#state);
  }

  #write(node: NodeLog, write: RaftWrite, taken?: RaftSnapshot): void {
    node.raft.persist(write, () => undefined);
    this.#state = after(this.#state, write, taken);
  }
}

/** By the words of `RaftWrite`. */
function after(before: RaftState, write: RaftWrite, taken: RaftSnapshot | undefined): RaftState {
  const { hardState = before.hardState, truncateFrom = Number.POSITIVE_INFINITY, entries: added = [] } = write;
  const snapshot = taken ?? before.snapshot;
  let entries = before.entries.filter(({ index }) => index < truncateFrom && isKept(index, write.snapshot));
  const first = added[0]?.index;
  if (first !== undefined) {
    entries = entries.filter(({ index }) => index < first);
    // Above a gap the snapshot stands for what is below.
    if (entries.length > 0 && entries.at(-1)?.index !== first - 1) entries = [];
  }
  return { hardState, snapshot, entries: [...entries, ...added] };
}

const isKept = (index: number, compaction: RaftCompaction | undefined): boolean =>
  compaction === undefined || (!compaction.replacesLog && index >= compaction.keepFrom);

const textOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');

export const raftSignature = ({ hardState, snapshot, entries }: RaftState): string =>
  JSON.stringify([
    hardState,
    snapshot && { ...snapshot, meta: textOf(snapshot.meta), bytes: textOf(snapshot.bytes) },
    entries.map((entry) => ({ ...entry, payload: textOf(entry.payload) })),
  ]);

/** What does not fit together, in a sentence. */
export function wrongLog({ snapshot, entries }: RaftState): string | undefined {
  let next = entries[0]?.index ?? 0;
  if (next > (snapshot?.index ?? 0) + 1) return `Raft entries begin at ${next}`;
  for (const { index } of entries) {
    if (index !== next) return `Raft entry ${index} follows ${next - 1}`;
    next = logIndex(next + 1);
  }
  return undefined;
}

/** The state of a whole node log as text, or what is wrong with it. */
export async function stateOf(node: TestNode, logNumbers: readonly number[]): Promise<string> {
  if (node.log.lossy.length > 0) return `lossy: ${JSON.stringify(node.log.lossy)}`;
  if (node.log.damaged) return 'whole groups are missing';
  if (node.log.raft.doubtful) return 'the Raft state is doubtful';
  const raft = node.log.raft.load();
  const unfit = wrongLog(raft);
  if (unfit !== undefined) return unfit;
  for (const number of logNumbers) {
    const wrong = await wrongSnapshot(node.log.log(testLogId(number)));
    if (wrong !== undefined) return wrong;
  }
  return `${await signatureOf(node.log, logNumbers)}\n${raftSignature(raft)}`;
}
