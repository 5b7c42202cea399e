/**
 * One seed: a cluster under faults (safety), then without (liveness), judged all the way. The same seed gives the same
 * run, to the last event.
 *
 * - Safety: whatever happens, no invariant is violated, after any event.
 * - Liveness: nothing is wrong any more; within bounded simulated time every node serves, what was sent is decided, new
 *   topics can be made, all logs and images are equal, and the history is one that the promises allow.
 */
import { DiskError, SluiceError } from '@sluice/base';
import { imageDigest, type PartitionState } from '@sluice/metadata';
import { memberId } from '@sluice/raft';

import { checkHistory, type Requirements } from './check-history.ts';
import { type Coverage, CoverageCounter } from './coverage.ts';
import { endMs, type Fault } from './faults/fault.ts';
import { FaultDriver } from './faults/fault-driver.ts';
import { HistoryRecorder } from './history-recorder.ts';
import { MetadataClients } from './metadata-clients.ts';
import { OneCluster } from './one-cluster.ts';
import { ObservedNodes } from './observed-nodes.ts';
import { PartitionInvariants } from './partition-invariants.ts';
import { RaftInvariants } from './raft-invariants.ts';
import { commandsMin, drawScenario, hasDecay, type Role, type Scenario } from './scenario.ts';
import { nodeAddress, SimCluster } from './sim-cluster.ts';
import { recordReplicas } from './replica-logs.ts';
import { simClient } from './sim-load.ts';
import { Timeline } from './timeline.ts';
import { TopicLoad } from './topic-load.ts';
import { TopicReaders } from './topic-readers.ts';
import { mustHold, Violation } from './violation.ts';
import { VoterClient } from './voter-client.ts';

export interface SeedOptions {
  /** In place of those that the seed draws. */
  readonly faults?: readonly Fault[];
  /** Errors say where they were made. */
  readonly stacks?: boolean;
  /** Tells of what nobody catches, from now until the function that it returns is called; default: it ends the process. */
  readonly watchUnhandled?: (onThrown: (thrown: unknown) => void) => () => void;
}

export interface ViolationReport {
  readonly invariant: string;
  readonly text: string;
  readonly atMs: number;
}

export interface SeedResult {
  readonly seed: number;
  readonly ok: boolean;
  readonly traceHash: string;
  readonly violations: readonly ViolationReport[];
  readonly events: number;
  /** That really happened. */
  readonly faults: number;
  /** Records, and answers about metadata. */
  readonly acked: number;
  /** Of those the records. */
  readonly records: number;
  readonly simulatedMs: number;
  readonly commands: number;
  readonly shape: string;
  readonly happened: Readonly<Record<string, number>>;
  readonly coverage: Coverage;
}

export interface SeedRun {
  readonly result: SeedResult;
  readonly scenario: Scenario;
  readonly timeline: Timeline;
}

/** The longest fault, and as long as without one many times over. */
const birthLimitMs = 60_000;
/** Ample: an election, a session and every back-off many times over. */
const livenessMs = 120_000;
const notedEvery = 64;
const lookEveryMs = 25;
/** Little: one of three brokers and a single voter may be what a seed has for long. */
const required: Requirements = { ackedMin: 1, faults: [], inDoubtMin: 0 };
/** Two passes of the scrub. */
const scrubMs = 3000;

export async function runSeed(seed: number, options: SeedOptions = {}): Promise<SeedRun> {
  const drawn = drawScenario(seed);
  const scenario = options.faults === undefined ? drawn : { ...drawn, faults: options.faults };
  const run = new Run(scenario);
  const violations: ViolationReport[] = [];
  const { stackTraceLimit } = Error;
  // Errors are answers here, thousands of them, and nobody reads where they were made.
  if (options.stacks !== true) Error.stackTraceLimit = 0;
  const unwatch = options.watchUnhandled?.((thrown) => run.fail(thrown));
  try {
    await run.safety();
    await run.liveness();
  } catch (thrown) {
    violations.push(run.report(thrown));
  } finally {
    unwatch?.();
    Error.stackTraceLimit = stackTraceLimit;
  }
  return { result: run.result(violations), scenario, timeline: run.timeline };
}

class Run {
  readonly timeline = new Timeline();
  readonly #scenario: Scenario;
  readonly #cluster: SimCluster;
  readonly #invariants = new RaftInvariants();
  readonly #partitions: PartitionInvariants;
  readonly #oneCluster = new OneCluster();
  readonly #coverage = new CoverageCounter();
  readonly #recorder: HistoryRecorder;
  readonly #load: TopicLoad;
  readonly #driver: FaultDriver;
  readonly #observed: ObservedNodes;
  #haltsSeen = 0;
  #metadata: MetadataClients | undefined;
  #readers: TopicReaders | undefined;
  #operator: VoterClient | undefined;
  #safetyBeganMs = 0;
  #nextLookMs = 0;

  constructor(scenario: Scenario) {
    this.#scenario = scenario;
    const { shape, settings, seed } = scenario;
    const { roles, voters } = shape;
    this.#cluster = new SimCluster(seed, roles.length, (id) => ({ ...settings, roles: roles[id - 1] }), voters);
    const { simulation } = this.#cluster;
    this.#partitions = new PartitionInvariants({
      hostOf: (node, id) => this.#cluster.inspect(node)?.broker?.hosts.find(id),
      isDamaged: (node) => this.#driver.damaged.has(node),
      isExcused: (node) => this.#driver.isExcused(node),
      hasTwins: () => [...this.#cluster.twins].length > 0,
    });
    this.#cluster.onLine = (line) => {
      this.#oneCluster.onLine(line);
      this.timeline.onLine(line);
      this.#coverage.onLine(line);
      this.#driver.onLine(line);
    };
    this.#recorder = new HistoryRecorder(() => simulation.nowMs);
    this.#load = new TopicLoad(this.#cluster, scenario, this.#recorder);
    this.#cluster.onVote = (id, { address, term }) => this.#onVote(id, address, term);
    simulation.afterEvent = () => this.#afterEvent();
    this.#driver = new FaultDriver({
      cluster: this.#cluster,
      random: simulation.random.fork('faults'),
      topics: this.#load.topics,
      onRolledBack: (member) => this.#invariants.forgive(member),
      onFault: (kind, text) => {
        this.timeline.add(simulation.nowMs, 'FAULT', `${kind} ${text}`);
        this.#recorder.fault(kind, text);
      },
    });
    this.#observed = new ObservedNodes({
      inspect: (node) => this.#cluster.inspect(node),
      damaged: this.#driver.damaged,
    });
  }

  async safety(): Promise<void> {
    const { safetyMs, faults, metadataClients, topicNames, thinkMs } = this.#scenario;
    const brokers = this.#nodesWith('broker');
    const cluster = this.#cluster;
    const { simulation } = cluster;
    await this.#birth();
    await this.#load.start(brokers.length);
    this.#metadata = new MetadataClients(cluster, this.#recorder, {
      clients: metadataClients,
      names: topicNames,
      thinkMs,
      timeoutMs: 2000,
      brokers,
      replicationMax: Math.min(3, brokers.length),
      allocatePercent: 80,
      isAhead: () => this.#isAhead,
    });
    this.#readers = new TopicReaders(cluster, this.#recorder, {
      readers: 2,
      names: topicNames,
      thinkMs: 100,
      timeoutMs: 250,
    });
    const { voterChangeEveryMs } = this.#scenario;
    if (voterChangeEveryMs !== undefined) {
      const controllers = this.#nodesWith('controller');
      this.#operator = new VoterClient(cluster, { controllers, everyMs: voterChangeEveryMs });
    }
    this.timeline.add(simulation.nowMs, 'PHASE', 'safety');
    this.#safetyBeganMs = simulation.nowMs;
    this.#driver.plan(faults.filter(({ atBirth }) => atBirth !== true));
    await simulation.pass(safetyMs);
  }

  /** In some runs under faults. Afterwards all nodes are ready, and nothing is wrong. */
  async #birth(): Promise<void> {
    const cluster = this.#cluster;
    const { simulation } = cluster;
    const faults = this.#scenario.faults.filter(({ atBirth }) => atBirth === true);
    if (faults.length === 0) await cluster.start();
    else {
      this.timeline.add(simulation.nowMs, 'PHASE', 'birth');
      this.#driver.plan(faults);
      this.#driver.bootAll();
      await simulation.until('the cluster is born', birthLimitMs, () => cluster.isReady());
      if (this.#driver.total > 0) this.#coverage.add('birthsUnderFaults');
      await simulation.pass(Math.max(0, ...faults.map(endMs)));
      this.#driver.calm();
    }
    const { ids } = cluster;
    await simulation.until('all nodes ready and up', 60_000, () => cluster.isReady() && this.#isUp(ids));
  }

  async liveness(): Promise<void> {
    const cluster = this.#cluster;
    const { simulation } = cluster;
    const metadata = this.#metadata;
    if (metadata === undefined) throw new Error('the safety phase comes first');
    this.timeline.add(simulation.nowMs, 'PHASE', 'liveness');
    this.#driver.heal(this.#scenario.absent);
    await this.#eventually('every node serves again', () => cluster.isReady(...this.#present) && this.#isUp());
    await this.#eventually('enough is committed', () => this.#invariants.committedEntries >= commandsMin);
    await this.#operator?.stop();
    await this.#readers?.stop();
    await metadata.stop();
    await this.#load.stop();
    const client = simClient(cluster, 'after');
    const replication = Math.min(2, this.#nodesWith('broker').length);
    await this.#settle(
      'a new topic can be made',
      client.admin.createTopic({ name: 'after', partitions: 1, replication }),
    );
    await this.#settle('it can be described', client.admin.describeTopic('after'));
    await this.#settle('client closes', client.close());
    if (hasDecay(this.#scenario.faults)) await simulation.pass(scrubMs);
    await this.#eventually('every replica is in sync', () => this.#isWhole());
    await this.#eventually('every member has the same log and image', () => this.#isConverged());
    await this.#judge();
  }

  /** Something was thrown that nobody catches: a node that did so would have ended. */
  fail(thrown: unknown): void {
    this.#cluster.simulation.fail(
      new Violation('unhandled', thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown)),
    );
  }

  report(thrown: unknown): ViolationReport {
    const { simulation } = this.#cluster;
    const error = thrown instanceof Error ? thrown : new Error(String(thrown));
    const invariant = error instanceof Violation ? error.invariant : error.name === 'Error' ? 'liveness' : error.name;
    const text = error instanceof Violation ? error.message : `${error.message}${stackText(error)}`;
    this.timeline.add(simulation.nowMs, 'VIOLATION', text);
    return { invariant, text, atMs: simulation.nowMs };
  }

  result(violations: readonly ViolationReport[]): SeedResult {
    const { simulation, conditions } = this.#cluster;
    const { seed, shape } = this.#scenario;
    const coverage = this.#coverage;
    coverage.add(
      'restarts',
      this.#cluster.ids.reduce((sum, id) => sum + Math.max(0, this.#cluster.lives(id) - 1), 0),
    );
    coverage.add('unsyncedLosses', this.#cluster.unsyncedLosses);
    coverage.add('voterChanges', this.#operator?.changes ?? 0);
    coverage.add('endsWithoutANode', this.#scenario.absent.length);
    coverage.add('halts', this.#cluster.halted.length);
    coverage.add('raftMessagesLost', conditions.counts.raftLost);
    coverage.add('raftMessagesRepeated', conditions.counts.raftDuplicated);
    coverage.add('raftMessagesDelayed', conditions.counts.raftDelayed);
    coverage.add('segmentsLost', conditions.counts.segmentsLost);
    coverage.add('partitionLeaderships', this.#partitions.leaderships);
    coverage.add('partitionCommits', this.#partitions.commits);
    const records = this.#load.recordsAcked;
    coverage.add('recordsAcked', records);
    coverage.add('recordsAckedFromMemory', this.#load.recordsOfReplicated);
    coverage.add('trims', this.#load.trims);
    coverage.add('requestsInDoubt', this.#recorder.lines.filter(({ event }) => event === 'info').length);
    return {
      seed,
      ok: violations.length === 0,
      traceHash: simulation.traceHash,
      violations,
      events: simulation.events,
      faults: this.#driver.total,
      acked: records + (this.#metadata?.answered ?? 0),
      records,
      simulatedMs: Math.round(simulation.nowMs),
      commands: this.#invariants.committedEntries,
      shape: `${shape.roles.map((roles) => roles.map((role) => role[0]).join('')).join(' ')}, ${shape.voters.length} voters`,
      happened: Object.fromEntries(this.#driver.happened),
      coverage: coverage.counts,
    };
  }

  #nodesWith(role: Role): readonly number[] {
    const { roles } = this.#scenario.shape;
    return roles.flatMap((each, at) => (each.includes(role) ? [at + 1] : []));
  }

  /** As many commands as there must be are spread over the safety phase. */
  get #isAhead(): boolean {
    const { safetyMs } = this.#scenario;
    const share = (this.#cluster.simulation.nowMs - this.#safetyBeganMs) / safetyMs;
    return this.#invariants.committedEntries > commandsMin * Math.min(1, share * 1.1);
  }

  /** Also where everybody stands is part of the trace. */
  #noteStanding(): void {
    const { simulation, ids } = this.#cluster;
    if (simulation.events % notedEvery !== 0) return;
    for (const id of ids) {
      const raft = this.#cluster.inspect(id)?.raft;
      if (raft === undefined) continue;
      simulation.note(raft.term);
      simulation.note(raft.commitIndex);
      simulation.noteText(raft.role);
    }
  }

  #afterEvent(): void {
    this.#noteStanding();
    if (this.#oneCluster.violation !== undefined) throw this.#oneCluster.violation;
    const touched = this.#cluster.takeTouched();
    if (touched.size > 0) {
      this.#invariants.afterEvent(this.#observed.members(touched), () => this.#observed.members(this.#cluster.ids));
      this.#partitions.afterEvent(this.#observed.brokers(touched));
      this.#assertTwinsFollow(touched);
    }
    this.#lookAtLeaders();
    this.#assertNoneBroken();
  }

  /** A member is the process at its address (N6): another one with a copy of its directory leads nothing. */
  #assertTwinsFollow(touched: Iterable<number>): void {
    for (const node of touched) {
      const isLeader = this.#cluster.inspectTwin(node)?.raft?.isLeader === true;
      mustHold(!isLeader, 'one-process-a-member', 'a copy of a directory leads the controller', { node });
    }
  }

  /** A node stops itself when its disk fails; one that finds itself in a state that cannot be is a violation. */
  #assertNoneBroken(): void {
    const { halted } = this.#cluster;
    for (; this.#haltsSeen < halted.length; this.#haltsSeen += 1) {
      const halt = halted[this.#haltsSeen];
      if (halt === undefined || isExpected(halt.reason)) continue;
      const { node, reason } = halt;
      mustHold(false, reason.name, `node ${node} stopped: ${reason.message}`, {});
    }
  }

  /** V15 is about time, and costs more than a look at every event may. */
  #lookAtLeaders(): void {
    const { nowMs } = this.#cluster.simulation;
    if (nowMs < this.#nextLookMs) return;
    this.#nextLookMs = nowMs + lookEveryMs;
    const { beliefs } = this.#invariants;
    for (const { node, raft } of this.#observed.members(this.#cluster.ids)) {
      if (this.#cluster.isPaused(node)) beliefs.forget(node);
      else
        beliefs.lookAt(node, raft, {
          nowMs: this.#cluster.time(node).monotonicMs(),
          aloneMsMax: this.#scenario.aloneMsMax,
        });
    }
  }

  #onVote(id: number, address: string, term: number): void {
    const raft = this.#cluster.inspect(id)?.raft;
    if (raft === undefined) return;
    this.#coverage.add('votesSeen');
    this.#invariants.onVote(raft.self, memberId(address), term);
    const candidate = this.#cluster.ids.find((each) => nodeAddress(each, 'peer') === address);
    const asked = candidate === undefined ? undefined : this.#cluster.inspect(candidate)?.raft?.self;
    if (asked !== undefined) this.#invariants.beliefs.onVote(raft, asked, term);
  }

  #eventually(what: string, isDone: () => boolean): Promise<void> {
    return this.#cluster.simulation.until(what, livenessMs, isDone);
  }

  #settle<T>(what: string, promise: Promise<T>): Promise<T> {
    return this.#cluster.simulation.settle(what, livenessMs, promise);
  }

  /** In the liveness phase. */
  get #present(): readonly number[] {
    const { absent } = this.#scenario;
    return this.#cluster.ids.filter((id) => !absent.includes(id));
  }

  /** As every node has it: what one knows may be old. */
  #isUp(present: readonly number[] = this.#present): boolean {
    const brokers = this.#nodesWith('broker').filter((id) => present.includes(id));
    const leaders = new Set(present.map((id) => this.#cluster.inspect(id)?.raft?.leader));
    const isUp = (id: number): boolean => {
      const nodes = [...(this.#cluster.inspect(id)?.image.nodes.values() ?? [])];
      // While one that is gone still counts as up, new replicas may be given to it.
      const isMissed = nodes.every(({ nodeId, state }) => present.includes(nodeId) || state === 'fenced');
      return isMissed && brokers.every((id) => nodes.some(({ nodeId, state }) => nodeId === id && state === 'up'));
    };
    return leaders.size === 1 && !leaders.has(undefined) && present.every(isUp);
  }

  /** Other topics may have their only copy on the disk that the run took away. */
  #isWhole(): boolean {
    const present = this.#present;
    const isWhole = ({ leader, isr, replicas }: PartitionState): boolean =>
      leader !== null && replicas.every((each) => isr.includes(each) === present.includes(each));
    return present.every((id) =>
      this.#load.topics.every((name) =>
        this.#cluster.inspect(id)?.image.topicNamed('default', name)?.partitions.every(isWhole),
      ),
    );
  }

  #isConverged(): boolean {
    const ends = new Set<number>();
    const digests = new Set<string>();
    for (const id of this.#present) {
      const seen = this.#cluster.inspect(id);
      if (seen?.raft === undefined) return false;
      const { raft, image } = seen;
      ends.add(raft.lastIndex).add(raft.commitIndex).add(raft.deliveredIndex).add(image.appliedIndex);
      if (ends.size > 1) return false;
      digests.add(imageDigest(image));
    }
    return digests.size === 1;
  }

  async #judge(): Promise<void> {
    await this.#load.readInTheEnd(livenessMs);
    for (const topic of this.#load.judgedTopics) await recordReplicas(this.#cluster, this.#recorder, topic);
    const { anomalies, missing } = checkHistory(this.#recorder.lines, required);
    const [first] = anomalies;
    mustHold(first === undefined, 'history', first?.text ?? '', { kind: first?.kind, lines: first?.lines });
    // Unknown is no pass.
    mustHold(missing.length === 0, 'history-unknown', missing.join('; '));
  }
}

const isExpected = (reason: Error): boolean => reason instanceof SluiceError || reason instanceof DiskError;

const stackText = (error: Error): string => {
  const [, ...frames] = (error.stack ?? '').split('\n');
  return error.name === 'Error' ? '' : `\n${frames.slice(0, 8).join('\n')}`;
};
