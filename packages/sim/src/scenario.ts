/**
 * What a seed makes of a run: the cluster's shape, how long faults last and how many there are, and the load. Everything
 * is drawn from generators of their own, by label: one more draw in one place shifts no other.
 */
import { SeededRandom } from '@sluice/base';
import type { Random } from '@sluice/base';
import { damagingKinds, type Fault } from './faults/fault.ts';
import { drawBirthFaults, drawFaults } from './faults/swarm.ts';
import { drawSideTopic, type SideTopic } from './side-topic.ts';

export type Role = 'controller' | 'broker';

export interface Shape {
  /** By node, from 1. */
  readonly roles: readonly (readonly Role[])[];
  readonly voters: readonly number[];
}

export interface Scenario {
  readonly seed: number;
  readonly shape: Shape;
  readonly settings: Readonly<Record<string, unknown>>;
  /** So long a leader that hears of no quorum may go on leading. */
  readonly aloneMsMax: number;
  readonly faults: readonly Fault[];
  /** Simulated time during which faults happen. */
  readonly safetyMs: number;
  readonly metadataClients: number;
  readonly topicNames: number;
  /** Between two requests of a metadata client, on average. */
  readonly thinkMs: number;
  /** Between two sends of all producers of `orders`, on average. */
  readonly recordEveryMs: number;
  readonly side: SideTopic | undefined;
  /** The consumer waits so long at most before it takes the next batch. */
  readonly slowConsumerMs: number;
  /** Undefined: the voters stay those of the birth. */
  readonly voterChangeEveryMs: number | undefined;
  /** In the liveness phase only a core is there. */
  readonly absent: readonly number[];
}

export const faultsMin = 20;
/** Each seed commits as many. */
export const commandsMin = 1000;

export function drawScenario(seed: number): Scenario {
  const random = new SeededRandom(seed).fork(`scenario ${seed}`);
  const shape = drawShape(random.fork('shape'));
  const size = random.fork('size');
  const safetyMs = 6000 + size.below(8000);
  const count = faultsMin + 12 + size.below(30);
  const targets = targetsOf(shape, random.fork('targets'));
  const faults = [
    ...drawBirthFaults(random.fork('birth'), targets.nodes),
    ...drawFaults(random.fork('faults'), { targets, forMs: safetyMs, count }),
  ];
  const load = random.fork('load');
  const times = drawTimes(random.fork('settings'));
  const brokers = shape.roles.filter((each) => each.includes('broker')).length;
  const absent = drawAbsent(random.fork('absent'), shape, faults);
  return {
    seed,
    shape,
    settings: { ...settingsOf(times), ...(hasDecay(faults) ? quickScrub : {}) },
    // The longest election timeout, and the heartbeat at which it looks.
    aloneMsMax: 2 * times.electionTimeoutMs + 2 * times.heartbeatMs,
    faults,
    safetyMs,
    metadataClients: 3 + load.below(4),
    topicNames: 4 + load.below(12),
    thinkMs: 1 + load.below(10),
    recordEveryMs: 10 + load.below(40),
    slowConsumerMs: load.below(2) * load.below(200),
    absent,
    side: drawSideTopic(random.fork('side topic'), { brokers, faults, absent }),
    voterChangeEveryMs: shape.voters.length < 3 || load.below(3) === 0 ? undefined : 500 + load.below(3000),
  };
}

/** One node, where no disk is lost beside it: both would be more than `minIsr` 2 promises to survive. */
function drawAbsent(random: Random, { roles, voters }: Shape, faults: readonly Fault[]): readonly number[] {
  const brokers = roles.filter((each) => each.includes('broker')).length;
  const isSpared = voters.length < 3 || brokers < 3 || faults.some(({ kind }) => damagingKinds.has(kind));
  return isSpared || random.below(2) === 0 ? [] : [1 + random.below(roles.length)];
}

export const hasDecay = (faults: readonly Fault[]): boolean => faults.some(({ kind }) => kind === 'bit-flip');

/** What decays is found within the run. */
const quickScrub = { scrubBytesPerSecondMax: '64MiB', scrubIntervalMs: '1s' };

const both: readonly Role[] = ['controller', 'broker'];

/** Mostly three equal nodes, as most clusters have. */
function drawShape(random: Random): Shape {
  const draw = random.below(100);
  if (draw < 50) return { roles: [both, both, both], voters: [1, 2, 3] };
  if (draw < 55) return { roles: [both, both, both, ['broker']], voters: [1, 2, 3] };
  // There is a node more than voters: the voters can change.
  if (draw < 68) return { roles: [both, both, both, both], voters: [1, 2, 3] };
  if (draw < 75) return { roles: [both, both, both, both, both], voters: [1, 2, 3, 4, 5] };
  if (draw < 82) return { roles: [both, both, both, ['controller'], ['controller']], voters: [1, 2, 3, 4, 5] };
  if (draw < 90) {
    return {
      roles: [['controller'], ['controller'], ['controller'], ['broker'], ['broker'], ['broker']],
      voters: [1, 2, 3],
    };
  }
  return { roles: [both, ['broker'], ['broker']], voters: [1] };
}

interface Times {
  readonly electionTimeoutMs: number;
  readonly sessionTimeoutMs: number;
  /** Of the Raft leader. */
  readonly heartbeatMs: number;
}

function drawTimes(random: Random): Times {
  const electionTimeoutMs = 300 + random.below(900);
  const sessionTimeoutMs = 700 + random.below(1500);
  return { electionTimeoutMs, sessionTimeoutMs, heartbeatMs: 50 + random.below(50) };
}

const settingsOf = (times: Times): Readonly<Record<string, unknown>> => ({
  'raft.electionTimeoutMs': `${times.electionTimeoutMs}ms`,
  sessionTimeoutMs: `${times.sessionTimeoutMs}ms`,
  heartbeatMs: '150ms',
  'raft.heartbeatMs': `${times.heartbeatMs}ms`,
});

/** One disk may be lost: what `minIsr` 2 promises, and what leaves a quorum of three voters or five. */
function targetsOf({ roles, voters }: Shape, random: Random) {
  const nodes = roles.map((_, at) => at + 1);
  const [only] = voters;
  const losable = voters.length === 1 ? nodes.filter((node) => node !== only) : nodes;
  const expendable = losable[random.below(losable.length)];
  // Without damage a machine may be gone in the end, and each of the others counts.
  const isDamaged = random.below(100) < 65;
  // Where a voter that no configuration names is, only the voters say: a copy that was added as one is none.
  const isNamed = (node: number): boolean => voters.includes(node) || !(roles[node - 1] ?? []).includes('controller');
  const chosen = expendable === undefined || !isDamaged ? [] : [expendable];
  return { nodes, expendable: chosen, copyable: chosen.filter(isNamed) };
}
