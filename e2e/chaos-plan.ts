/** Which faults come, when, and to whom: the same for the same seed. Pure. */
import type { Random } from '@sluice/base';

export const chaosKinds = ['kill', 'kill-all', 'pause', 'restart'] as const;
export type ChaosKind = (typeof chaosKinds)[number];

export interface PlannedChaos {
  readonly kind: ChaosKind;
  /** In the order in which they come back. */
  readonly victims: readonly number[];
  /** From the strike, or of a restart from the end of the process, until they are brought back. */
  readonly forMs: number;
  /** Before it: whether all is whole again is waited for, and then so long; or so long and no more. */
  readonly waitsForWhole: boolean;
  readonly calmMs: number;
}

/** A node that is silent for less than its session is not even noticed; for more it is fenced and comes back deposed. */
const forMsMax: Readonly<Record<ChaosKind, number>> = { kill: 6000, 'kill-all': 4000, pause: 8000, restart: 2000 };
/** Of ten. */
const shares: readonly ChaosKind[] = [
  ...(['kill', 'kill', 'kill', 'kill'] as const),
  ...(['pause', 'pause', 'pause'] as const),
  ...(['restart', 'restart'] as const),
  'kill-all',
];
const calmMsMax = 3000;
const restlessOneIn = 4;

/** Without end. Each kind comes once before any comes again, so that a short run has seen them all. */
export function* chaosPlan(random: Random, nodes: readonly number[]): Generator<PlannedChaos, never> {
  const first = shuffled(random, chaosKinds);
  for (let at = 0; ; at += 1) {
    const kind = first[at] ?? drawn(random, shares);
    const all = shuffled(random, nodes);
    yield {
      kind,
      victims: kind === 'kill-all' ? all : all.slice(0, 1),
      forMs: random.below(forMsMax[kind]),
      waitsForWhole: random.below(restlessOneIn) > 0,
      calmMs: random.below(calmMsMax),
    };
  }
}

function drawn<Value>(random: Random, values: readonly Value[]): Value {
  const value = values[random.below(values.length)];
  if (value === undefined) throw new Error('there is nothing to draw from');
  return value;
}

function shuffled<Value>(random: Random, values: readonly Value[]): Value[] {
  const left = [...values];
  const result: Value[] = [];
  while (left.length > 0) result.push(...left.splice(random.below(left.length), 1));
  return result;
}
