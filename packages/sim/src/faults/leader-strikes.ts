/**
 * Strikes whoever leads the controller, at the moments of a fault: now, or when a member does what is waited for. With
 * several moments leaders fall one after the other: the one before comes back, with what nobody has heard from it, as its
 * successor falls. Owned by the fault driver.
 */
import type { LogLine, SimCluster } from '../sim-cluster.ts';
import type { Crash, Fault, LeaderMoment, LeaderStruck } from './fault.ts';
import type { Overlaps } from './overlaps.ts';

export interface LeaderStrikesOptions {
  readonly cluster: SimCluster;
  readonly overlaps: Overlaps;
  readonly crash: (fault: Crash) => boolean;
  readonly pause: (node: number, forMs: number) => boolean;
  /** Unless everything was healed before. */
  readonly after: (delayMs: number, label: string, run: () => void) => void;
  readonly onHappened: (fault: Fault) => void;
}

interface Strikes {
  readonly fault: LeaderStruck;
  /** That are left. */
  readonly moments: LeaderMoment[];
  happened: boolean;
  /** Ends the strike before. */
  end: () => void;
}

/** For the first moment: then whoever leads is struck. For a later one: then there is none. */
const patienceMs = 3000;

export class LeaderStrikes {
  readonly #options: LeaderStrikesOptions;
  readonly #awaiting = new Set<Strikes>();

  constructor(options: LeaderStrikesOptions) {
    this.#options = options;
  }

  begin(fault: LeaderStruck): void {
    const { leader } = this.#options.cluster;
    const strikes: Strikes = { fault, moments: [...fault.moments], happened: false, end: () => undefined };
    if (fault.moments[0] !== 'now') return this.#await(strikes);
    strikes.moments.shift();
    if (leader !== undefined) this.#strike(strikes, leader);
  }

  heal(): void {
    this.#awaiting.clear();
  }

  /** What a node says: a moment may be there. */
  onLine(line: LogLine): void {
    if (this.#awaiting.size === 0) return;
    const { moment, node } = this.#momentOf(line) ?? {};
    if (moment === undefined || node === undefined) return;
    const strikes = [...this.#awaiting].find(({ moments }) => moments[0] === moment);
    if (strikes === undefined) return;
    this.#awaiting.delete(strikes);
    strikes.moments.shift();
    // Nothing that was sent arrives before that.
    this.#options.after(0, 'moment', () => this.#strike(strikes, node));
  }

  #await(strikes: Strikes): void {
    this.#awaiting.add(strikes);
    const left = strikes.moments.length;
    this.#options.after(patienceMs, 'moment over', () => {
      if (strikes.moments.length !== left) return;
      this.#awaiting.delete(strikes);
      const { leader } = this.#options.cluster;
      if (!strikes.happened && leader !== undefined) this.#strike(strikes, leader);
    });
  }

  #strike(strikes: Strikes, node: number): void {
    strikes.end();
    const end = this.#do(strikes.fault, node);
    if (end !== undefined) {
      strikes.end = end;
      if (!strikes.happened) this.#options.onHappened(strikes.fault);
      strikes.happened = true;
    }
    if (strikes.moments.length > 0) this.#await(strikes);
  }

  /** Gives what ends it before its time; undefined: it did not happen. */
  #do({ by, atMs, forMs }: LeaderStruck, node: number): (() => void) | undefined {
    const { cluster, crash, pause } = this.#options;
    if (by === 'pause') return pause(node, forMs) ? () => cluster.resume(node) : undefined;
    if (by === 'crash') {
      const fault: Crash = { kind: 'crash', atMs, node, forMs, keeps: 'nothing', tears: false, silent: false };
      return crash(fault) ? () => undefined : undefined;
    }
    const others = cluster.ids.filter((id) => id !== node);
    const outward = by === 'deafness' ? [] : others.map((other) => [node, other] as const);
    const inward = by === 'muteness' ? [] : others.map((other) => [other, node] as const);
    const ends = [...outward, ...inward].map(([from, to]) => this.#cut(cluster.name(from), cluster.name(to)));
    const endAll = (): void => {
      for (const end of ends) end();
    };
    this.#options.after(forMs, 'leader-struck over', endAll);
    return endAll;
  }

  #cut(from: string, to: string): () => void {
    const { network } = this.#options.cluster;
    return this.#options.overlaps.begin(`cut ${from}>${to}`, {
      apply: () => network.cutOneWay(from, to),
      calm: () => network.healOneWay(from, to),
    });
  }

  #momentOf({ node, phrase, fields }: LogLine): { readonly moment: LeaderMoment; readonly node: number } | undefined {
    const { cluster } = this.#options;
    const id = cluster.ids.find((each) => cluster.name(each) === node);
    if (id === undefined) return undefined;
    if (phrase === 'voters changed' && cluster.inspect(id)?.raft?.isLeader === true)
      return { moment: 'changing', node: id };
    if (phrase !== 'raft event') return undefined;
    const { kind, leader } = fields;
    if (kind === 'leading') return { moment: 'elected', node: id };
    if (kind === 'following') return { moment: 'followed', node: Number.parseInt(String(leader), 10) };
    return undefined;
  }
}
