/**
 * Makes the faults of a plan happen to a cluster, each at its time, and takes them back; starts again whatever ended, as
 * a supervisor does. Owned by the scenario.
 *
 * F1. What happens depends on the plan and on the cluster alone: a fault that finds nothing to do does not happen, and
 *     one that lasts is counted once somebody is there whom it strikes: a cut between nodes of which one is dead counts
 *     when both run before it ends.
 * F2. After `heal` nothing is wrong any more but that some are gone, and no fault happens; the supervisor goes on.
 */
import { nodeId } from '@sluice/base';
import type { Random } from '@sluice/base';
import type { MemberId } from '@sluice/raft';
import type { CrashOptions, DiskFault, DiskOperationKind } from '@sluice/storage';
import { diskBytes, type LogLine, type SimCluster } from '../sim-cluster.ts';
import { type Aimed, isAimed, metBy } from './aimed.ts';
import { DirectoryCopies } from './directory-copies.ts';
import { anyPlace, newestPlace } from './disk-places.ts';
import { LeaderStrikes } from './leader-strikes.ts';
import type {
  BitFlip,
  Crash,
  Cut,
  FailedDisk,
  Fault,
  FaultKind,
  LeaderTransfer,
  RolledBackDirectory,
  CopiedDirectory,
  Wipe,
} from './fault.ts';
import { calmRaftMessages } from './network-conditions.ts';
import { type Condition, Overlaps } from './overlaps.ts';

export interface FaultDriverOptions {
  readonly cluster: SimCluster;
  readonly random: Random;
  readonly onFault: (kind: FaultKind, text: string) => void;
  /** Of which records are acked; what is aimed at a partition is aimed at one of the first. */
  readonly topics: readonly [string, ...string[]];
  /** This member's disk is older than it was. */
  readonly onRolledBack: (member: MemberId) => void;
}

const firstStartMsMax = 400;
/** A supervisor waits this long before it starts again what ended by itself. */
const restartMs = 250;
/** The other ends of a machine that lost power learn it from keepalive. */
const keepaliveMs = 5000;

export class FaultDriver {
  readonly happened = new Map<FaultKind, number>();
  /** A run of starts that failed, by node. */
  readonly failedStarts = new Map<number, number>();
  /** Nodes whose disk was wiped or damaged. */
  readonly damaged = new Set<number>();
  /** Of those whose disk was wiped and not damaged since: the last life before. */
  readonly #wiped = new Map<number, number>();
  readonly #cluster: SimCluster;
  readonly #random: Random;
  readonly #onFault: FaultDriverOptions['onFault'];
  readonly #aimedAt: string;
  /** Down on purpose until then. */
  readonly #downUntilMs = new Map<number, number>();
  readonly #stopping = new Set<number>();
  readonly #overlaps = new Overlaps();
  readonly #copies: DirectoryCopies;
  /** In force, and nobody was there yet (F1). */
  readonly #unmet = new Set<Fault>();
  readonly #leaderStrikes: LeaderStrikes;
  #healed = false;

  constructor({ cluster, random, onFault, topics, onRolledBack }: FaultDriverOptions) {
    this.#cluster = cluster;
    this.#random = random;
    this.#onFault = onFault;
    [this.#aimedAt] = topics;
    this.#copies = new DirectoryCopies({
      cluster,
      topics,
      lose: (id, forMs, disk) => this.#lose(id, forMs, disk, false),
      boot: (id) => this.#boot(id),
      after: (delayMs, label, run) => this.#afterUnlessHealed(delayMs, label, run),
      onHappened: (fault) => {
        if ('node' in fault) {
          this.damaged.add(fault.node);
          this.#wiped.delete(fault.node);
        }
        this.#count(fault);
      },
      onRolledBack,
    });
    this.#leaderStrikes = new LeaderStrikes({
      cluster,
      overlaps: this.#overlaps,
      crash: (fault) => this.#crash(fault),
      pause: (node, forMs) => this.#pause(node, forMs),
      after: (delayMs, label, run) => this.#afterUnlessHealed(delayMs, label, run),
      onHappened: (fault) => this.#count(fault),
    });
    this.#supervise();
  }

  get total(): number {
    let total = 0;
    for (const count of this.happened.values()) total += count;
    return total;
  }

  /** Its disk may lack what it promised. Of one that was wiped the first thing that its next life says tells so. */
  isExcused(node: number): boolean {
    if (!this.damaged.has(node)) return false;
    const wipedLife = this.#wiped.get(node);
    return wipedLife === undefined || this.#cluster.lives(node) <= wipedLife;
  }

  /** What a node says. */
  onLine(line: LogLine): void {
    this.#leaderStrikes.onLine(line);
  }

  plan(faults: readonly Fault[]): void {
    for (const fault of faults) {
      if (fault.kind === 'rolled-back-directory') {
        const takenMs = Math.max(0, fault.atMs - fault.ageMs);
        this.#after(takenMs, 'directory copied', () => this.#copies.take(fault));
      }
      this.#after(fault.atMs, `fault ${fault.kind}`, () => this.#begin(fault));
    }
  }

  /** F2. Those that are absent lose power now, for good. */
  heal(absent: readonly number[]): void {
    this.#healed = true;
    this.calm();
    this.#copies.heal();
    for (const id of absent) this.#lose(id, Number.POSITIVE_INFINITY, { keep: 'nothing' }, true);
  }

  /** Nothing is wrong any more, until the next fault. */
  calm(): void {
    this.#overlaps.calmAll();
    this.#unmet.clear();
    this.#leaderStrikes.heal();
    for (const id of this.#cluster.ids) {
      this.#cluster.resume(id);
      this.#cluster.diskConditions(id).clear();
    }
    this.#downUntilMs.clear();
  }

  /** Each a little later than another, as machines start. */
  bootAll(): void {
    for (const id of this.#cluster.ids) {
      const delayMs = this.#random.fork(`first start ${id}`).below(firstStartMsMax);
      this.#downUntilMs.set(id, this.#cluster.simulation.nowMs + delayMs);
      this.#afterUnlessHealed(delayMs, 'first start', () => this.#bootIfDown(id));
    }
  }

  #after(delayMs: number, label: string, run: () => void): void {
    this.#cluster.simulation.schedule(delayMs * 1000, label, run);
  }

  /** Unless everything was healed before. */
  #afterUnlessHealed(delayMs: number, label: string, run: () => void): void {
    this.#after(delayMs, label, () => {
      if (!this.#healed) run();
    });
  }

  #supervise(): void {
    this.#after(restartMs, 'supervisor', () => {
      const { nowMs } = this.#cluster.simulation;
      for (const id of this.#cluster.ids) {
        if (this.#cluster.isRunning(id) || (this.#downUntilMs.get(id) ?? 0) > nowMs) continue;
        this.#boot(id);
      }
      this.#supervise();
    });
  }

  #boot(id: number): void {
    this.#downUntilMs.delete(id);
    // Of a process that is killed meanwhile nothing is heard.
    void this.#cluster.boot(id).then((isUp) => {
      this.failedStarts.set(id, isUp ? 0 : (this.failedStarts.get(id) ?? 0) + 1);
    });
    for (const fault of this.#unmet) if (this.#strikes(fault)) this.#count(fault);
  }

  #begin(fault: Fault): void {
    if (this.#healed) return;
    if (fault.kind === 'rolled-back-directory' || fault.kind === 'copied-directory') return this.#copy(fault);
    if (!(isAimed(fault) ? this.#aim(fault) : this.#do(fault))) return;
    if (this.#strikes(fault)) return this.#count(fault);
    this.#unmet.add(fault);
    if ('forMs' in fault) this.#after(fault.forMs, `${fault.kind} over`, () => this.#unmet.delete(fault));
  }

  #aim(fault: Aimed): boolean {
    const met = metBy(fault, this.#cluster, this.#aimedAt);
    return met !== undefined && this.#do(met);
  }

  /** F1 */
  #strikes(fault: Fault): boolean {
    const isThere = (id: number): boolean => this.#cluster.isRunning(id);
    switch (fault.kind) {
      case 'partition':
      case 'isolate':
      case 'ring':
      case 'one-way':
        return fault.links.some((link) => link.every(isThere));
      case 'clog':
        return isThere(fault.from) && isThere(fault.to);
      case 'refuse':
      case 'clock-drift':
      case 'slow-disk':
      case 'hung-disk':
      case 'full-disk':
        return isThere(fault.node);
      default:
        return true;
    }
  }

  #count(fault: Fault): void {
    this.#unmet.delete(fault);
    this.happened.set(fault.kind, (this.happened.get(fault.kind) ?? 0) + 1);
    const { atMs: _atMs, kind, ...rest } = fault;
    this.#onFault(kind, JSON.stringify(rest));
  }

  /** Counted when it happens, which it may later. */
  #copy(fault: RolledBackDirectory | CopiedDirectory): void {
    if (this.#votesTwice(fault.node)) return;
    if (fault.kind === 'copied-directory') this.#copies.runTwice(fault);
    else this.#copies.rollBack(fault);
  }

  /** Whether it happened. */
  #do(fault: Exclude<Fault, RolledBackDirectory | CopiedDirectory | Aimed>): boolean {
    const cluster = this.#cluster;
    switch (fault.kind) {
      case 'crash':
        return this.#crash(fault);
      case 'power-cut': {
        const keep = fault.keeps === 'nothing' ? 'nothing' : this.#random.fork(`power cut ${fault.atMs}`);
        if (!cluster.ids.some((id) => cluster.isRunning(id))) return false;
        for (const id of cluster.ids) this.#lose(id, fault.forMs, { keep }, false);
        return true;
      }
      case 'restart-loop':
        return this.#restartLoop(fault.node, fault.times, fault.upMs);
      case 'stop':
        return this.#stop(fault.node, fault.forMs);
      case 'pause':
        return this.#pause(fault.node, fault.forMs);
      case 'wipe':
        return this.#wipe(fault);
      case 'bit-flip':
        return this.#flip(fault);
      case 'clock-jump':
        cluster.time(fault.node).jumpWall(fault.byMs);
        return true;
      case 'clock-drift': {
        const time = cluster.time(fault.node);
        return this.#over(fault, `clock ${fault.node}`, {
          apply: () => time.setRate(fault.ratePercent / 100),
          calm: () => time.setRate(1),
        });
      }
      case 'partition':
      case 'isolate':
      case 'ring':
      case 'one-way':
        return this.#cut(fault);
      case 'leader-struck':
        this.#leaderStrikes.begin(fault);
        return false;
      case 'leader-transfer':
        return this.#transfer(fault);
      case 'reset':
        if (!cluster.isRunning(fault.one) || !cluster.isRunning(fault.other)) return false;
        cluster.network.disconnect(cluster.name(fault.one), cluster.name(fault.other));
        return true;
      case 'refuse': {
        const name = cluster.name(fault.node);
        return this.#over(fault, `refuse ${name}`, {
          apply: () => cluster.network.setRefusing(name, true),
          calm: () => cluster.network.setRefusing(name, false),
        });
      }
      case 'slow-disk':
      case 'hung-disk':
      case 'disk-error':
      case 'full-disk':
        return this.#disk(fault);
      default:
        return this.#conditions(fault);
    }
  }

  /** Holds for as long as the fault lasts, and while another one asks for the same. */
  #over({ kind, forMs }: Extract<Fault, { forMs: number }>, what: string, condition: Condition): true {
    this.#after(forMs, `${kind} over`, this.#overlaps.begin(what, condition));
    return true;
  }

  #conditions(fault: Extract<Fault, { kind: 'clog' | 'delay' | 'loss' | 'raft-messages' }>): boolean {
    const { conditions, simulation } = this.#cluster;
    switch (fault.kind) {
      case 'clog': {
        const names = [this.#cluster.name(fault.from), this.#cluster.name(fault.to)] as const;
        const untilMs = simulation.nowMs + fault.forMs;
        return this.#over(fault, `clog ${names.join('>')}`, {
          apply: () => conditions.clog(...names, untilMs),
          calm: () => conditions.unclog(...names),
        });
      }
      case 'delay':
        return this.#over(fault, 'delay', {
          apply: () => (conditions.extraMeanMs = fault.meanMs),
          calm: () => (conditions.extraMeanMs = 0),
        });
      case 'loss':
        return this.#over(fault, 'loss', {
          apply: () => (conditions.lossPercent = fault.percent),
          calm: () => (conditions.lossPercent = 0),
        });
      case 'raft-messages':
        return this.#over(fault, 'raft messages', {
          apply: () => (conditions.raftMessages = fault),
          calm: () => (conditions.raftMessages = calmRaftMessages),
        });
    }
  }

  #crash({ node, forMs, keeps, tears, silent, atMs }: Crash): boolean {
    if (!this.#cluster.isRunning(node)) return false;
    const random = this.#random.fork(`crash ${atMs} ${node}`);
    const tear = tears ? { tearLastWrite: random } : {};
    const disk = keeps === 'process' ? 'kept' : { keep: keeps === 'some' ? random : keeps, ...tear };
    this.#lose(node, forMs, disk, silent);
    return true;
  }

  #lose(id: number, forMs: number, disk: CrashOptions | 'kept', silent: boolean): void {
    const cluster = this.#cluster;
    cluster.lose(id, { disk, silent });
    if (silent) this.#after(keepaliveMs, 'keepalive', () => cluster.network.expire(cluster.name(id)));
    this.#downUntilMs.set(id, cluster.simulation.nowMs + forMs);
    if (!this.#healed) this.#afterUnlessHealed(forMs, 'restart', () => this.#bootIfDown(id));
  }

  #bootIfDown(id: number): void {
    const isDue = (this.#downUntilMs.get(id) ?? 0) <= this.#cluster.simulation.nowMs;
    if (isDue && !this.#cluster.isRunning(id)) this.#boot(id);
  }

  #restartLoop(id: number, times: number, upMs: number): boolean {
    if (times === 0) return true;
    this.#lose(id, 1, { keep: 'nothing' }, false);
    this.#afterUnlessHealed(upMs, 'restart loop', () => void this.#restartLoop(id, times - 1, upMs));
    return true;
  }

  #stop(id: number, forMs: number): boolean {
    const cluster = this.#cluster;
    if (!cluster.isRunning(id) || this.#stopping.has(id)) return false;
    this.#stopping.add(id);
    const life = cluster.lives(id);
    void cluster
      .node(id)
      .stop()
      .then(() => {
        this.#stopping.delete(id);
        if (cluster.isRunning(id) && cluster.lives(id) === life) this.#lose(id, forMs, { keep: 'everything' }, false);
      });
    // A stop that waits for what never comes ends as a supervisor ends it.
    this.#after(stopPatienceMs, 'stop patience', () => {
      this.#stopping.delete(id);
      if (cluster.isRunning(id) && cluster.lives(id) === life) this.#lose(id, forMs, { keep: 'nothing' }, false);
    });
    return true;
  }

  #pause(id: number, forMs: number): boolean {
    const cluster = this.#cluster;
    if (!cluster.isRunning(id) || cluster.isPaused(id)) return false;
    const life = cluster.lives(id);
    cluster.pause(id);
    this.#after(forMs, 'continue', () => {
      if (cluster.lives(id) === life) cluster.resume(id);
    });
    return true;
  }

  /**
   * An operator made the node's new directory a voter before the old one, which is gone, was removed: with the second gone
   * too, half of four voters could be.
   */
  #votesTwice(node: number): boolean {
    const isOfNode = (member: string): boolean => member.startsWith(`${node}-`);
    const known = this.#cluster.ids.map((id) => this.#cluster.inspect(id)?.raft?.voters ?? []);
    return known.some((voters) => voters.filter(isOfNode).length > 1);
  }

  #wipe({ node, forMs }: Wipe): boolean {
    if (this.#votesTwice(node)) return false;
    this.#lose(node, forMs, 'kept', false);
    this.#cluster.wipe(node);
    // Whatever else was wrong with the disk went with it, unless it is the twin who is in sync: then it goes on being so.
    const hasTwin = [...this.#cluster.twins].includes(node);
    if (!hasTwin) this.#wiped.set(node, this.#cluster.lives(node));
    this.damaged.add(node);
    return true;
  }

  #flip({ node, draw, where, restarts }: BitFlip): boolean {
    if (this.#votesTwice(node)) return false;
    const disk = this.#cluster.disk(node);
    const place = where === 'newest' ? newestPlace(disk, draw) : anyPlace(disk, draw);
    if (place === undefined) return false;
    disk.flipBit(place.path, place.byte, draw % 8);
    this.damaged.add(node);
    this.#wiped.delete(node);
    if (restarts && this.#cluster.isRunning(node)) this.#lose(node, restartMs, 'kept', false);
    return true;
  }

  #cut(fault: Cut): boolean {
    const { network } = this.#cluster;
    for (const [from, to] of fault.links) {
      const names = [this.#cluster.name(from), this.#cluster.name(to)] as const;
      this.#over(fault, `cut ${names.join('>')}`, {
        apply: () => network.cutOneWay(...names),
        calm: () => network.healOneWay(...names),
      });
    }
    return true;
  }

  #transfer({ draw }: LeaderTransfer): boolean {
    const cluster = this.#cluster;
    const { leader } = cluster;
    const { voters = [], self } = leader === undefined ? {} : (cluster.inspect(leader)?.raft ?? {});
    const others = voters.filter((voter) => voter !== self);
    const to = Number.parseInt(others[draw % others.length] ?? '', 10);
    if (leader === undefined || !cluster.ids.includes(to)) return false;
    return cluster.node(leader).transferController(nodeId(to))?.outcome === 'begun';
  }

  #disk(fault: Extract<Fault, { kind: 'slow-disk' | 'hung-disk' | 'disk-error' | 'full-disk' }>): boolean {
    const { node } = fault;
    const cluster = this.#cluster;
    const conditions = cluster.diskConditions(node);
    switch (fault.kind) {
      case 'slow-disk':
        return this.#over(fault, `slow disk ${node}`, {
          apply: () => (conditions.extraMeanMs = fault.meanMs),
          calm: () => (conditions.extraMeanMs = 0),
        });
      case 'hung-disk':
        return this.#over(fault, `hung disk ${node}`, {
          apply: () => cluster.disk(node).holdSyncs(),
          calm: () => cluster.disk(node).releaseSyncs(),
        });
      case 'full-disk':
        return this.#over(fault, `full disk ${node}`, {
          apply: () => cluster.disk(node).leaveRoom(fault.roomBytes),
          calm: () => cluster.disk(node).setCapacity(diskBytes),
        });
      case 'disk-error':
        if (!cluster.isRunning(node)) return false;
        conditions.arm(failing(fault));
        return true;
    }
  }
}

const stopPatienceMs = 10_000;

function failing({ operation, effect }: FailedDisk) {
  const kinds: Record<FailedDisk['operation'], readonly DiskOperationKind[]> = {
    write: ['write', 'writeDurable'],
    sync: ['sync', 'writeDurable'],
    read: ['read'],
  };
  const fault: DiskFault = { fail: 'EIO', effect };
  return { kinds: kinds[operation], fault, onHit: () => undefined };
}
