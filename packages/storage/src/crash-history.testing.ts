/** What a scripted workload did, state by state, and how far it was told that it is durable; see `crash-points.testing.ts`. */
import type { Disk } from '@sluice/base';
import { logIndex, SeededRandom, term } from '@sluice/base';
import { batchesIn } from '@sluice/record';
import { batchMark, LogModel, signatureOf } from './log-model.ts';
import type { NodeLog, NodeLogLimits } from './node-log.ts';
import type { RaftEntry, RaftHardState, RaftWrite } from './raft-store.ts';
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
  readonly states: string[] = ['\n[{"term":0,"votedFor":null},[]]'];
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
  #hardState: RaftHardState;
  #entries: readonly RaftEntry[];

  constructor(hardState: RaftHardState = { term: term(0), votedFor: null }, entries: readonly RaftEntry[] = []) {
    this.#hardState = hardState;
    this.#entries = entries;
  }

  step(node: NodeLog, random: SeededRandom): void {
    const next = this.#entries.length + 1;
    const from = Math.max(1, next - random.below(4));
    const at = term(this.#hardState.term + random.below(2));
    const entries = Array.from({ length: random.below(4) }, (_, n) => ({
      index: logIndex(from + n),
      term: at,
      kind: n,
      payload: new Uint8Array(random.below(200)).fill(random.below(256)),
    }));
    const truncates = entries.length === 0 || random.below(2) === 0;
    const hardState = { term: at, votedFor: random.below(3) === 0 ? null : `node ${random.below(9)}` };
    const write: RaftWrite = { hardState, entries, ...(truncates ? { truncateFrom: logIndex(from) } : {}) };
    node.raft.persist(write, () => undefined);
    this.#hardState = hardState;
    if (truncates || entries.length > 0) this.#entries = [...this.#entries.slice(0, from - 1), ...entries];
  }

  signature(): string {
    return raftSignature(this.#hardState, this.#entries);
  }
}

export const raftSignature = (hardState: RaftHardState, entries: readonly RaftEntry[]): string =>
  JSON.stringify([hardState, entries.map((entry) => ({ ...entry, payload: [...entry.payload] }))]);

/** The state of a whole node log as text, or what is wrong with it. */
export async function stateOf(node: TestNode, logNumbers: readonly number[]): Promise<string> {
  if (node.log.lossy.length > 0) return `lossy: ${JSON.stringify(node.log.lossy)}`;
  if (node.log.damaged) return 'whole groups are missing';
  if (node.log.raft.doubtful) return 'the Raft state is doubtful';
  const { hardState, entries } = node.log.raft.load();
  for (const number of logNumbers) {
    const wrong = await wrongSnapshot(node.log.log(testLogId(number)));
    if (wrong !== undefined) return wrong;
  }
  return `${await signatureOf(node.log, logNumbers)}\n${raftSignature(hardState, entries)}`;
}
