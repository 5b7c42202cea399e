/**
 * Makes the faults of a plan happen to a cluster, each at its time, and takes them back; starts again whatever ended, as
 * a supervisor does. Owned by the scenario.
 *
 * F1. What happens depends on the plan and on the cluster alone: a fault that finds nothing to do (the node is dead, the
 *     link is cut) does not happen, and is not counted.
 * F2. After `heal` nothing is wrong any more but that some are gone, and no fault happens; the supervisor goes on.
 */
import type { Random } from '@sluice/base';
import type { CrashOptions, DiskFault, DiskOperationKind } from '@sluice/storage';
import { diskBytes, type SimCluster } from '../sim-cluster.ts';
import type { BitFlip, Crash, Cut, FailedDisk, Fault, FaultKind, LeaderStruck, Wipe } from './fault.ts';
import { calmRaftMessages } from './network-conditions.ts';

export interface FaultDriverOptions {
  readonly cluster: SimCluster;
  readonly random: Random;
  readonly onFault: (kind: FaultKind, text: string) => void;
}

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
  readonly #cluster: SimCluster;
  readonly #random: Random;
  readonly #onFault: FaultDriverOptions['onFault'];
  /** Down on purpose until then. */
  readonly #downUntilMs = new Map<number, number>();
  readonly #stopping = new Set<number>();
  #healed = false;

  constructor({ cluster, random, onFault }: FaultDriverOptions) {
    this.#cluster = cluster;
    this.#random = random;
    this.#onFault = onFault;
    this.#supervise();
  }

  get total(): number {
    let total = 0;
    for (const count of this.happened.values()) total += count;
    return total;
  }

  plan(faults: readonly Fault[]): void {
    for (const fault of faults) this.#after(fault.atMs, `fault ${fault.kind}`, () => this.#begin(fault));
  }

  /** F2. Those that are absent lose power now, for good. */
  heal(absent: readonly number[]): void {
    this.#healed = true;
    const { conditions, ids } = this.#cluster;
    conditions.extraMeanMs = 0;
    conditions.lossPercent = 0;
    conditions.raftMessages = calmRaftMessages;
    for (const id of ids) this.#healNode(id);
    for (const from of ids) {
      for (const to of ids) {
        this.#unlink(from, to);
        conditions.unclog(this.#cluster.name(from), this.#cluster.name(to));
      }
    }
    this.#downUntilMs.clear();
    for (const id of absent) this.#lose(id, Number.POSITIVE_INFINITY, { keep: 'nothing' }, true);
  }

  #healNode(id: number): void {
    const cluster = this.#cluster;
    cluster.resume(id);
    cluster.time(id).setRate(1);
    cluster.network.setRefusing(cluster.name(id), false);
    const conditions = cluster.diskConditions(id);
    conditions.clear();
    conditions.extraMeanMs = 0;
    cluster.disk(id).releaseSyncs();
    cluster.disk(id).setCapacity(diskBytes);
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
  }

  #begin(fault: Fault): void {
    if (this.#healed || !this.#do(fault)) return;
    this.happened.set(fault.kind, (this.happened.get(fault.kind) ?? 0) + 1);
    const { atMs: _atMs, kind, ...rest } = fault;
    this.#onFault(kind, JSON.stringify(rest));
  }

  /** Whether it happened. */
  #do(fault: Fault): boolean {
    const cluster = this.#cluster;
    switch (fault.kind) {
      case 'crash':
        return this.#crash(fault);
      case 'power-cut': {
        const keep = fault.keeps === 'nothing' ? 'nothing' : this.#random.fork(`power cut ${fault.atMs}`);
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
      case 'clock-drift':
        cluster.time(fault.node).setRate(fault.ratePercent / 100);
        this.#after(fault.forMs, 'clock in step', () => cluster.time(fault.node).setRate(1));
        return true;
      case 'partition':
      case 'isolate':
      case 'ring':
      case 'one-way':
        return this.#cut(fault);
      case 'leader-struck':
        return this.#strikeLeader(fault);
      case 'reset':
        cluster.network.disconnect(cluster.name(fault.one), cluster.name(fault.other));
        return true;
      case 'refuse': {
        const name = cluster.name(fault.node);
        cluster.network.setRefusing(name, true);
        this.#after(fault.forMs, 'refuses no more', () => cluster.network.setRefusing(name, false));
        return true;
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

  #conditions(fault: Extract<Fault, { kind: 'clog' | 'delay' | 'loss' | 'raft-messages' }>): boolean {
    const { conditions, simulation } = this.#cluster;
    const over = (run: () => void): boolean => {
      this.#after(fault.forMs, `${fault.kind} over`, run);
      return true;
    };
    switch (fault.kind) {
      case 'clog':
        conditions.clog(this.#cluster.name(fault.from), this.#cluster.name(fault.to), simulation.nowMs + fault.forMs);
        return true;
      case 'delay':
        conditions.extraMeanMs = fault.meanMs;
        return over(() => {
          conditions.extraMeanMs = 0;
        });
      case 'loss':
        conditions.lossPercent = fault.percent;
        return over(() => {
          conditions.lossPercent = 0;
        });
      case 'raft-messages':
        conditions.raftMessages = fault;
        return over(() => {
          conditions.raftMessages = calmRaftMessages;
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
    this.damaged.add(node);
    return true;
  }

  #flip({ node, draw, restarts }: BitFlip): boolean {
    if (this.#votesTwice(node)) return false;
    const disk = this.#cluster.disk(node);
    const paths = disk.durablePaths().filter((path) => /\/(journal|sorted)-/.test(path));
    const path = paths[draw % Math.max(1, paths.length)];
    if (path === undefined) return false;
    const bytes = disk.durableBytes(path).length;
    if (bytes === 0) return false;
    disk.flipBit(path, (draw * 7919) % bytes, draw % 8);
    this.damaged.add(node);
    if (restarts && this.#cluster.isRunning(node)) this.#lose(node, restartMs, 'kept', false);
    return true;
  }

  #cut({ links, forMs }: Cut): boolean {
    const { network } = this.#cluster;
    const names = links.map(([from, to]) => [this.#cluster.name(from), this.#cluster.name(to)] as const);
    for (const [from, to] of names) network.cutOneWay(from, to);
    this.#after(forMs, 'link back', () => {
      for (const [from, to] of links) this.#unlink(from, to);
    });
    return true;
  }

  #strikeLeader({ by, atMs, forMs }: LeaderStruck): boolean {
    const { ids } = this.#cluster;
    // Of two the newer one: the other is about to learn that it was replaced.
    const term = (id: number): number => this.#cluster.inspect(id)?.raft?.term ?? 0;
    const leaders = ids.filter((id) => this.#cluster.inspect(id)?.raft?.isLeader === true);
    const [node] = leaders.toSorted((one, other) => term(other) - term(one));
    if (node === undefined) return false;
    if (by === 'pause') return this.#pause(node, forMs);
    if (by === 'crash') {
      return this.#crash({ kind: 'crash', atMs, node, forMs, keeps: 'nothing', tears: false, silent: false });
    }
    const others = ids.filter((id) => id !== node);
    const outward = by === 'deafness' ? [] : others.map((other) => [node, other] as const);
    const inward = by === 'muteness' ? [] : others.map((other) => [other, node] as const);
    return this.#cut({ kind: 'isolate', atMs, forMs, links: [...outward, ...inward] });
  }

  #unlink(from: number, to: number): void {
    this.#cluster.network.healOneWay(this.#cluster.name(from), this.#cluster.name(to));
  }

  #disk(fault: Extract<Fault, { kind: 'slow-disk' | 'hung-disk' | 'disk-error' | 'full-disk' }>): boolean {
    const { node } = fault;
    const cluster = this.#cluster;
    const conditions = cluster.diskConditions(node);
    switch (fault.kind) {
      case 'slow-disk':
        conditions.extraMeanMs = fault.meanMs;
        this.#after(fault.forMs, 'disk not slow', () => {
          conditions.extraMeanMs = 0;
        });
        return true;
      case 'hung-disk':
        cluster.disk(node).holdSyncs();
        this.#after(fault.forMs, 'disk answers', () => cluster.disk(node).releaseSyncs());
        return true;
      case 'full-disk':
        cluster.disk(node).leaveRoom(fault.roomBytes);
        this.#after(fault.forMs, 'room on disk', () => cluster.disk(node).setCapacity(diskBytes));
        return true;
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
