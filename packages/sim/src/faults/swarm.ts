/**
 * Draws the faults of one run: which kinds are on, how many there are, and how hard each is. Half of the kinds are off in
 * any run, so that some runs have much of a few and not a little of all; between bursts there is calm, or nothing would
 * be committed.
 */
import type { Random } from '@sluice/base';
import type { Cut, Fault, FaultKind, LeaderMoment, LeaderStruck } from './fault.ts';

export interface Targets {
  readonly nodes: readonly number[];
  /** Whose disk may be lost or damaged: a good copy of everything promised stays without it. */
  readonly expendable: readonly number[];
  /** Of those, whose directory may run twice. */
  readonly copyable: readonly number[];
}

export interface SwarmOptions {
  readonly targets: Targets;
  readonly forMs: number;
  readonly count: number;
  /** Default: all. */
  readonly kinds?: readonly FaultKind[];
}

type Draw = (draw: Dice, atMs: number) => Fault | undefined;

export function drawFaults(random: Random, options: SwarmOptions): readonly Fault[] {
  const { targets, forMs, count } = options;
  const kinds = random.fork('kinds');
  // Some kind that ends processes is always on: most of what there is to find needs one.
  const on = (options.kinds ?? faultKinds).filter((kind) => kind === 'crash' || kinds.below(2) === 0);
  const hardness = 1 + kinds.below(3);
  const times = random.fork('times');
  const bursts = Array.from({ length: 2 + times.below(4) }, () => times.below(forMs));
  const faults: Fault[] = [];
  // Each fault has a generator of its own: one more draw in one of them shifts no other.
  for (let at = 0; faults.length < count && at < 4 * count; at += 1) {
    const each = random.fork(`fault ${at}`);
    const kind = on[each.below(on.length)] ?? 'crash';
    const burst = bursts[each.below(bursts.length)] ?? 0;
    const atMs = each.below(2) === 0 ? each.below(forMs) : Math.min(forMs, burst + each.below(400));
    const fault = draws[kind](new Dice(each, targets, hardness), atMs);
    if (fault !== undefined) faults.push(fault);
  }
  return faults.toSorted((one, other) => one.atMs - other.atMs);
}

/** Draws by name, so that the table below reads as one. */
class Dice {
  readonly targets: Targets;
  readonly #random: Random;
  /** 1 to 3 */
  readonly #hardness: number;

  constructor(random: Random, targets: Targets, hardness: number) {
    this.#random = random;
    this.targets = targets;
    this.#hardness = hardness;
  }

  below(bound: number): number {
    return this.#random.below(bound);
  }

  chance(percent: number): boolean {
    return this.#random.below(100) < percent;
  }

  one<T>(of: readonly T[]): T {
    const chosen = of[this.#random.below(of.length)];
    if (chosen === undefined) throw new Error('nothing to choose from');
    return chosen;
  }

  node(): number {
    return this.one(this.targets.nodes);
  }

  expendable(): number | undefined {
    return this.targets.expendable.length === 0 ? undefined : this.one(this.targets.expendable);
  }

  /** Short ones are as likely as long ones. */
  ms(from: number, to: number): number {
    return Math.round(from * (to / from) ** (this.#random.below(1001) / 1000));
  }

  percent(max: number): number {
    return 1 + this.#random.below(Math.max(1, Math.floor((max * this.#hardness) / 3)));
  }

  two(): readonly [number, number] | undefined {
    const { nodes } = this.targets;
    const one = this.node();
    const others = nodes.filter((node) => node !== one);
    return others.length === 0 ? undefined : [one, this.one(others)];
  }

  /** Each node is on one side or the other; both sides have some. */
  sides(): readonly [readonly number[], readonly number[]] | undefined {
    const { nodes } = this.targets;
    const here = nodes.filter(() => this.below(2) === 0);
    const there = nodes.filter((node) => !here.includes(node));
    return here.length === 0 || there.length === 0 ? undefined : [here, there];
  }
}

type Links = Cut['links'];

const between = (one: readonly number[], other: readonly number[]): Links =>
  one.flatMap((from) => other.map((to) => [from, to] as const));

const bothWays = (links: Links): Links => [...links, ...links.map(([from, to]) => [to, from] as const)];

const cut = (kind: Cut['kind'], atMs: number, forMs: number, links: Links): Cut | undefined =>
  links.length === 0 ? undefined : { atMs, kind, forMs, links };

function drawRing(draw: Dice, atMs: number): Fault | undefined {
  const { nodes } = draw.targets;
  if (nodes.length < 4) return undefined;
  // Each node hears its neighbours alone.
  const isNeighbour = (one: number, other: number): boolean => {
    const apart = Math.abs(nodes.indexOf(one) - nodes.indexOf(other));
    return apart === 1 || apart === nodes.length - 1;
  };
  const links = between(nodes, nodes).filter(([from, to]) => from !== to && !isNeighbour(from, to));
  return cut('ring', atMs, draw.ms(300, 5000), links);
}

function drawOneWay(draw: Dice, atMs: number): Fault | undefined {
  const pair = draw.two();
  if (pair === undefined) return undefined;
  const [one] = pair;
  const others = draw.targets.nodes.filter((node) => node !== one);
  const forMs = draw.ms(200, 5000);
  if (draw.chance(40)) return cut('one-way', atMs, forMs, [pair]);
  return cut('one-way', atMs, forMs, draw.chance(50) ? between([one], others) : between(others, [one]));
}

const strokes: readonly LeaderStruck['by'][] = [
  'isolation',
  'isolation',
  'deafness',
  'muteness',
  'pause',
  'pause',
  'crash',
];

const leaderMoments: readonly (readonly LeaderMoment[])[] = [
  ['now'],
  ['now'],
  ['now', 'elected', 'elected'],
  ['now', 'followed', 'followed', 'followed'],
  ['followed', 'elected', 'followed'],
  ['changing'],
];

const draws: Readonly<Record<FaultKind, Draw>> = {
  crash: (draw, atMs) => {
    const keeps = draw.one(['nothing', 'everything', 'some', 'process'] as const);
    const tears = keeps !== 'process' && draw.chance(50);
    // A long absence is what a snapshot is for.
    const forMs = draw.chance(20) ? draw.ms(2000, 8000) : draw.ms(20, 2000);
    return { atMs, kind: 'crash', node: draw.node(), forMs, keeps, tears, silent: draw.chance(25) };
  },
  'power-cut': (draw, atMs) =>
    draw.chance(60)
      ? undefined
      : { atMs, kind: 'power-cut', forMs: draw.ms(20, 1000), keeps: draw.one(['nothing', 'some'] as const) },
  'restart-loop': (draw, atMs) => ({
    atMs,
    kind: 'restart-loop',
    node: draw.node(),
    times: 2 + draw.below(4),
    upMs: draw.ms(1, 300),
  }),
  stop: (draw, atMs) => ({ atMs, kind: 'stop', node: draw.node(), forMs: draw.ms(50, 2000) }),
  pause: (draw, atMs) => ({ atMs, kind: 'pause', node: draw.node(), forMs: draw.ms(50, 4000) }),
  wipe: (draw, atMs) => {
    const node = draw.chance(50) ? undefined : draw.expendable();
    return node === undefined ? undefined : { atMs, kind: 'wipe', node, forMs: draw.ms(50, 2000) };
  },
  'bit-flip': (draw, atMs) => {
    const node = draw.expendable();
    const where = draw.one(['anywhere', 'newest'] as const);
    // What was written last is read when the node starts anew, and soon is not the last any more.
    const restarts = where === 'newest' || draw.chance(50);
    return node === undefined
      ? undefined
      : { atMs, kind: 'bit-flip', node, draw: draw.below(2 ** 30), where, restarts };
  },
  'rolled-back-directory': (draw, atMs) => {
    const node = draw.expendable();
    const [ageMs, forMs] = [draw.ms(100, 8000), draw.ms(1000, 6000)];
    return node === undefined ? undefined : { atMs, kind: 'rolled-back-directory', node, ageMs, forMs };
  },
  'copied-directory': (draw, atMs) => {
    const { copyable } = draw.targets;
    if (copyable.length === 0) return undefined;
    const original = draw.one(['restarts', 'stays-away'] as const);
    return { atMs, kind: 'copied-directory', node: draw.one(copyable), original, forMs: draw.ms(500, 8000) };
  },
  'clock-jump': (draw, atMs) => {
    const byMs = draw.ms(10, 400 * 86_400_000);
    return { atMs, kind: 'clock-jump', node: draw.node(), byMs: draw.chance(50) ? byMs : -byMs };
  },
  'clock-drift': (draw, atMs) => ({
    atMs,
    kind: 'clock-drift',
    node: draw.node(),
    forMs: draw.ms(500, 10_000),
    ratePercent: 80 + draw.below(41),
  }),
  partition: (draw, atMs) => {
    const sides = draw.sides();
    if (sides === undefined) return undefined;
    return cut('partition', atMs, draw.ms(200, 5000), bothWays(between(...sides)));
  },
  isolate: (draw, atMs) => {
    const one = draw.node();
    const others = draw.targets.nodes.filter((node) => node !== one);
    return cut('isolate', atMs, draw.ms(200, 5000), bothWays(between([one], others)));
  },
  'leader-struck': (draw, atMs) => {
    const by = draw.one(strokes);
    const moments = draw.one(leaderMoments);
    // Until the next one leads, an election has to pass.
    const forMs = moments.length > 1 ? draw.ms(1500, 5000) : draw.ms(100, 4000);
    return { atMs, kind: 'leader-struck', by, moments, forMs };
  },
  'leader-transfer': (draw, atMs) => ({ atMs, kind: 'leader-transfer', draw: draw.below(2 ** 30) }),
  ring: drawRing,
  'one-way': drawOneWay,
  clog: (draw, atMs) => {
    const pair = draw.two();
    return pair === undefined
      ? undefined
      : { atMs, kind: 'clog', from: pair[0], to: pair[1], forMs: draw.ms(100, 5000) };
  },
  delay: (draw, atMs) => ({ atMs, kind: 'delay', forMs: draw.ms(200, 3000), meanMs: draw.percent(100) }),
  loss: (draw, atMs) => ({ atMs, kind: 'loss', forMs: draw.ms(200, 3000), percent: draw.percent(30) }),
  'raft-messages': (draw, atMs) => ({
    atMs,
    kind: 'raft-messages',
    forMs: draw.ms(500, 8000),
    lossPercent: draw.chance(70) ? draw.percent(40) : 0,
    duplicatePercent: draw.chance(70) ? draw.percent(50) : 0,
    delayPercent: draw.chance(70) ? draw.percent(50) : 0,
    delayMsMax: draw.ms(2, 800),
    lateMsMax: draw.ms(1000, 8000),
  }),
  reset: (draw, atMs) => {
    const pair = draw.two();
    return pair === undefined ? undefined : { atMs, kind: 'reset', one: pair[0], other: pair[1] };
  },
  refuse: (draw, atMs) => ({ atMs, kind: 'refuse', node: draw.node(), forMs: draw.ms(50, 3000) }),
  'slow-disk': (draw, atMs) => ({
    atMs,
    kind: 'slow-disk',
    node: draw.node(),
    forMs: draw.ms(200, 3000),
    meanMs: draw.ms(2, 300),
  }),
  'hung-disk': (draw, atMs) => ({ atMs, kind: 'hung-disk', node: draw.node(), forMs: draw.ms(100, 4000) }),
  'disk-error': (draw, atMs) => {
    const operation = draw.one(['write', 'sync', 'read'] as const);
    // What cannot be read is damage.
    const node = operation === 'read' ? draw.expendable() : draw.node();
    const effects = ['none', 'part', 'whole'] as const;
    const effect = draw.one(operation === 'sync' ? ([...effects, 'cached'] as const) : effects);
    return node === undefined ? undefined : { atMs, kind: 'disk-error', node, operation, effect };
  },
  'full-disk': (draw, atMs) => ({
    atMs,
    kind: 'full-disk',
    node: draw.node(),
    forMs: draw.ms(200, 3000),
    roomBytes: draw.below(128 * 1024),
  }),
  'partition-leader-struck': (draw, atMs) => {
    const by = draw.one(['crash', 'pause', 'isolate', 'hung-disk', 'slow-disk'] as const);
    return { atMs, kind: 'partition-leader-struck', by, draw: draw.below(2 ** 30), forMs: draw.ms(100, 5000) };
  },
  'slow-follower': (draw, atMs) => ({
    atMs,
    kind: 'slow-follower',
    draw: draw.below(2 ** 30),
    forMs: draw.ms(500, 6000),
    meanMs: draw.ms(5, 800),
  }),
  'link-reset': (draw, atMs) => ({ atMs, kind: 'link-reset', draw: draw.below(2 ** 30) }),
};

export const faultKinds = Object.keys(draws) as readonly FaultKind[];

/** Those that take nothing for good from a directory that may just have made its promise: networks, processes, disks. */
const birthKinds: readonly FaultKind[] = [
  'crash',
  'power-cut',
  'restart-loop',
  'pause',
  'partition',
  'isolate',
  'ring',
  'one-way',
  'leader-struck',
  'clog',
  'delay',
  'loss',
  'raft-messages',
  'reset',
  'refuse',
  'slow-disk',
  'hung-disk',
  'disk-error',
  'full-disk',
];

/** About as long as a birth without faults takes: most of them come before it is over. */
const birthMs = 500;

/** In a share of the runs; else none. */
export function drawBirthFaults(random: Random, nodes: readonly number[]): readonly Fault[] {
  if (random.below(100) >= 15) return [];
  const targets = { nodes, expendable: [], copyable: [] };
  const count = 4 + random.below(10);
  const faults = drawFaults(random.fork('faults'), { targets, forMs: birthMs, count, kinds: birthKinds });
  return faults.map((fault) => ({ ...fault, atBirth: true }));
}
