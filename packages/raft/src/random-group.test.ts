import { describe, expect, test } from 'vitest';
import { RandomGroup } from './random-group.ts';
import type { RandomGroupOptions, RunCoverage } from './random-group.ts';

/** RAFT_SEED replays one seed; RAFT_SEEDS runs so many. */
const only = process.env['RAFT_SEED'];
const count = Number(process.env['RAFT_SEEDS'] ?? 60);
const seeds = only === undefined ? Array.from({ length: count }, (_, at) => at + 1) : [Number(only)];

function run(options: RandomGroupOptions): RunCoverage {
  const group = new RandomGroup(options);
  try {
    return group.run();
  } catch (error) {
    const replay = `RAFT_SEED=${options.seed} (voters ${options.voters}, observers ${options.observers})`;
    throw new Error(`${replay}: ${String(error)}\n${group.history.slice(-60).join('\n')}`, { cause: error });
  }
}

const sum = (all: readonly RunCoverage[], field: keyof RunCoverage): number =>
  all.reduce((total, one) => total + one[field], 0);

describe('a random group keeps every invariant after every step, and recovers', () => {
  const shapes = [
    { voters: 1, observers: 1, steps: 3000 },
    { voters: 3, observers: 0, steps: 4000 },
    { voters: 2, observers: 1, steps: 5000 },
    { voters: 3, observers: 2, steps: 4000 },
    { voters: 4, observers: 2, steps: 4000 },
    { voters: 5, observers: 0, steps: 6000 },
  ];

  test.each(shapes)('$voters voters, $observers observers', { timeout: 120_000 }, ({ voters, observers, steps }) => {
    const runs = seeds.map((seed) => run({ seed, voters, observers, steps }));
    const coverage = {
      leaders: sum(runs, 'leaders') / runs.length,
      committed: sum(runs, 'committed') / runs.length,
      truncations: sum(runs, 'truncations') / runs.length,
      lostWrites: sum(runs, 'lostWrites') / runs.length,
      reads: sum(runs, 'reads') / runs.length,
      membershipChanges: sum(runs, 'membershipChanges') / runs.length,
      transfers: sum(runs, 'transfers') / runs.length,
      resignations: sum(runs, 'resignations') / runs.length,
      compactions: sum(runs, 'compactions') / runs.length,
      installs: sum(runs, 'installs') / runs.length,
      damaged: sum(runs, 'damaged') / runs.length,
      wiped: sum(runs, 'wiped') / runs.length,
    };
    process.stdout.write(`raft, seeds ${seeds[0]}..${seeds.at(-1)}, a run: ${JSON.stringify(coverage)}\n`);
    expect(coverage.leaders).toBeGreaterThan(2);
    expect(coverage.committed).toBeGreaterThan(15);
    expect(coverage.lostWrites).toBeGreaterThan(1.5);
    expect(coverage.reads).toBeGreaterThan(2);
    expect(coverage.membershipChanges).toBeGreaterThan(1);
    expect(coverage.transfers).toBeGreaterThan(0.2);
    expect(coverage.resignations).toBeGreaterThan(voters > 1 ? 0.03 : -1);
    expect(coverage.compactions).toBeGreaterThan(2);
    expect(coverage.installs).toBeGreaterThan(0.1);
    expect(coverage.damaged).toBeGreaterThan(0);
    expect(coverage.wiped).toBeGreaterThan(observers > 0 ? 1 : -1);
    expect(coverage.truncations).toBeGreaterThan(voters > 1 ? 0.2 : -1);
  });

  test('the same seed gives the same history', () => {
    const histories = [1, 2].map(() => {
      const group = new RandomGroup({ seed: 7, voters: 3, observers: 1, steps: 2000 });
      group.run();
      return group.history.join('\n');
    });
    expect(histories[0]).toBe(histories[1]);
  });

  test('a shell that does not hold messages back is found out', () => {
    expect(() => run({ seed: 1, voters: 3, observers: 0, steps: 4000, breaksHolding: true })).toThrow(/G[78]:/);
  });
});
