/**
 * Which transcript shows which rule of replication: D1 to D23 and I1 to I7. Those of the controller's side are in
 * `metadata`. Every rule is here, with a transcript or with what shows it in its place; every transcript is named once at
 * least.
 */
import { existsSync, readdirSync } from 'node:fs';
import { expect, test } from 'vitest';

interface Shown {
  /** `metadata/NAME`: of that package. */
  readonly by: readonly string[];
  /** What shows it, or the rest of it, where no transcript can: files from the root of the repository. */
  readonly tests?: readonly string[];
  /** Why there is no transcript. */
  readonly why?: string;
}

const shown = (...by: readonly string[]): Shown => ({ by });

const rules: Readonly<Record<string, Shown>> = {
  'D1 high watermark: the smallest ack of all who count': shown(
    'd1-high-watermark',
    'joiner-is-waited-for',
    'd10-slow',
    'replicated-ack',
    'replicated-bound',
  ),
  'D2 acks=all needs minIsr': shown('d2-min-isr', 'd2-live-replicas', 's8-storage-full', 'deadline-and-holders'),
  'D3 acks and visibility by one high watermark': shown('d3-visibility'),
  'D4 a new leader does not know the committed end': shown('d4-new-leader'),
  'D5 high watermark of a follower': shown('d5-follower-high-watermark'),
  'D6 durable and pipelined positions apart': shown('d1-high-watermark', 'aba-completion', 'replicated-slow-disk'),
  'D7 a new epoch begins with a new position': shown('d7-new-epoch', 'early-position', 'fetch-2-2-leader-checks'),
  'D8 truncation by epochs': shown(
    'd8-divergence',
    'd8-below-high-watermark',
    'restart-at-log-start',
    'out-of-range',
    'bad-push',
    'replicated-cuts',
    'replicated-taken-back',
  ),
  'D9 who may join': shown('d9-expand', 'd10-slow'),
  'D10 who must leave': shown(
    'd10-shrink',
    'd10-own-stall',
    'd10-slow',
    'd10-slow-spared',
    'd16-below-min-isr',
    'replicated-slow-disk',
  ),
  'D11 maximal ISR, one change in flight': shown('d9-expand', 'd10-shrink', 'd14-superset'),
  'D12 what the controller checks of a change': shown('metadata/d12-alter-partitions'),
  'D13 what becomes of a proposal': shown(
    'd13-results',
    'd13-retry-same-life',
    'd13-withdrawn',
    'd13-leadership-moved',
    'metadata/d12-alter-partitions',
  ),
  'D14 replication quorum superset': shown('d14-superset', 'metadata/d14-superset'),
  'D15 order of election': shown('metadata/d15-failover'),
  'D16 eligible leader replicas': shown('d16-below-min-isr', 'd14-superset', 'metadata/d16-elr'),
  'D17 an unclean stop excludes': shown('metadata/d17-unclean'),
  'D17b only a lossy one, where acks are synced': shown(
    'damage',
    'd17b-recovered',
    'metadata/d17b-lossy',
    'metadata/d17b-power-cut',
    'metadata/d17b-recovery',
    'metadata/d17b-rolled-back',
  ),
  'D18 one life at a time': shown('earlier-life', 'metadata/d18-registration'),
  'D19 preferred leaders': shown('metadata/d19-preferred'),
  'D20 controlled shutdown': shown('metadata/d20-drain'),
  'D21 reassignment': { by: [], why: 'Replicas of a partition do not change so far: there is no request for it.' },
  'D22 a directory that fails': {
    by: ['damage', 'metadata/hung-disk', 'metadata/e6-damage'],
    tests: ['packages/storage/src/disk-faults.test.ts', 'packages/broker/src/partition-hosts.test.ts'],
    why: 'A node has one directory: when that fails the node stops, and is fenced like any other.',
  },
  'D23 nothing completes after leadership': shown('leadership-lost', 'trim'),
  'I1 sequences by record, producer and epoch': shown('i1-sequences-wrap'),
  'I2 epochs and sequences follow one another': shown('i2-i3-sequences', 'i4-followers-take'),
  'I3 a duplicate gets its first offset': shown('i2-i3-sequences', 'i1-sequences-wrap'),
  'I4 only clients are judged': shown('i4-followers-take'),
  'I5 truncated with the log': shown('i5-truncated-producers'),
  'I6 unknown producers, and expiry': shown('i6-unknown-producers', 'i2-i3-sequences'),
  'I7 a client resolves before it begins anew': {
    by: [],
    tests: ['packages/client/src/producer.test.ts', 'packages/client/src/producer-faults.test.ts'],
    why: 'It is a rule for producers.',
  },
};

const root = new URL('../../../', import.meta.url);
const namesIn = (folder: string): readonly string[] =>
  readdirSync(new URL(folder, root)).map((name) => name.replace(/\.txt$/, ''));

const own = namesIn('packages/partition/testdata/');
const transcripts = [...own, ...namesIn('packages/metadata/testdata/').map((name) => `metadata/${name}`)];

test('every rule is listed', () => {
  const numbered = (letter: string, count: number): string[] =>
    Array.from({ length: count }, (_, at) => `${letter}${at + 1}`);
  const expected = [...numbered('D', 17), 'D17b', ...numbered('D', 23).slice(17), ...numbered('I', 7)];
  expect(Object.keys(rules).map((rule) => rule.split(' ')[0])).toEqual(expected);
});

test.each(Object.entries(rules))('%s', (_rule, { by, tests = [], why }) => {
  expect(by.filter((name) => !transcripts.includes(name))).toEqual([]);
  expect(tests.filter((file) => !existsSync(new URL(file, root)))).toEqual([]);
  expect(by.length > 0 || why !== undefined).toBe(true);
});

test('every transcript shows a rule', () => {
  const named = new Set(Object.values(rules).flatMap(({ by }) => by));
  expect(own.filter((name) => !named.has(name))).toEqual([]);
});
