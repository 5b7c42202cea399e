/** A bad history for each anomaly, made by hand, and good ones changed in one place: every one must be seen. */
import { SeededRandom } from '@sluice/base';
import type { Random } from '@sluice/base';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { AnomalyKind } from './anomaly.ts';
import { checkHistory, nothingRequired } from './check-history.ts';
import { parseHistory } from './history.ts';
import type { HistoryLine, Succeeded } from './history.ts';

/** Short forms: one line of text for each line of the history. */
function history(...steps: readonly string[]): readonly HistoryLine[] {
  return steps.flatMap((step, at) => linesOf(step.split(' '), at));
}

function linesOf(words: readonly string[], at: number): readonly HistoryLine[] {
  const [what = '', ...rest] = words;
  const [one = '', two = '', three = ''] = rest;
  const base = { atMs: at, operation: at };
  const sent = { ...base, event: 'invoke', action: 'send', client: one, topic: 't', value: two } as const;
  switch (what) {
    case 'acked':
      return [sent, { ...base, event: 'ok', partition: 0, offset: Number(three) }];
    case 'failed':
      return [sent, { ...base, event: 'fail', code: 'RECORD_TOO_LARGE' }];
    case 'lost-answer':
      return [sent, { ...base, event: 'info', code: 'EXPIRED' }];
    case 'assign':
      return [{ event: 'assign', atMs: at, client: one, topic: 't', partition: 0, offset: Number(two) }];
    case 'poll':
    case 'final':
      return pollLines(base, one, rest.slice(1), what === 'final');
    case 'replica':
      return [{ event: 'replica', atMs: at, node: Number(one), topic: 't', partition: 0, ...records(rest.slice(1)) }];
    default:
      throw new Error(`unknown step: ${what}`);
  }
}

function pollLines(
  base: { atMs: number; operation: number },
  client: string,
  read: readonly string[],
  isFinal: boolean,
): readonly HistoryLine[] {
  const invoked = { ...base, event: 'invoke', action: 'poll', client, topic: 't', partition: 0 } as const;
  return [isFinal ? { ...invoked, final: true } : invoked, { ...base, event: 'ok', ...records(read) }];
}

/** `3=c` is the value c at offset 3. */
const records = (read: readonly string[]): { offsets: number[]; values: string[] } => ({
  offsets: read.map((each) => Number(each.split('=')[0])),
  values: read.map((each) => each.split('=')[1] ?? ''),
});

const kindsOf = (lines: readonly HistoryLine[]): readonly AnomalyKind[] => [
  ...new Set(checkHistory(lines, nothingRequired).anomalies.map(({ kind }) => kind)),
];

const good = ['acked p a 0', 'acked p b 1', 'lost-answer p c', 'acked p d 3'] as const;

describe('hand-made histories', () => {
  test('nothing is wrong with a good one', () => {
    const lines = history(
      ...good,
      'poll r 0=a 1=b',
      'poll r 2=c 3=d',
      'final f 0=a 1=b 2=c 3=d',
      'replica 1 0=a 1=b 2=c 3=d',
    );
    expect(checkHistory(lines, nothingRequired)).toMatchObject({ verdict: 'valid', anomalies: [], missing: [] });
  });

  const bad: readonly (readonly [AnomalyKind, readonly string[]])[] = [
    ['lost', [...good, 'final f 0=a 2=c 3=d']],
    ['lost', ['lost-answer p c', 'acked p d 3', 'poll r 2=c', 'final f 3=d']],
    ['unseen', [...good, 'final f 0=a 1=b 2=c']],
    ['inconsistent-offsets', ['acked p a 0', 'acked p b 0', 'final f 0=a']],
    ['inconsistent-offsets', ['acked p a 0', 'lost-answer p b', 'poll r 0=b', 'final f 0=a']],
    ['duplicate', ['acked p a 0', 'final f 0=a 1=a']],
    ['aborted-read', ['failed p a', 'final f 0=a']],
    ['phantom', ['final f 0=a']],
    ['reordered', ['acked p a 1', 'acked p b 0', 'final f 0=b 1=a']],
    ['nonmonotonic-poll', ['acked p a 0', 'acked p b 1', 'poll r 0=a 1=b', 'poll r 1=b', 'final f 0=a 1=b']],
    ['nonmonotonic-poll', ['acked p a 0', 'acked p b 1', 'poll r 1=b 0=a', 'final f 0=a 1=b']],
    ['poll-skip', [...good, 'poll r 0=a 3=d', 'final f 0=a 1=b 2=c 3=d']],
    ['poll-skip', [...good, 'poll r 0=a', 'poll r 3=d', 'final f 0=a 1=b 2=c 3=d']],
    ['poll-skip', [...good, 'assign r 1', 'poll r 3=d', 'final f 0=a 1=b 2=c 3=d']],
    ['replica-divergence', ['acked p a 0', 'final f 0=a', 'replica 2']],
    ['replica-divergence', ['acked p a 0', 'lost-answer p b', 'final f 0=a', 'replica 2 0=b']],
    ['replica-divergence', ['acked p a 0', 'lost-answer p b', 'final f 0=a', 'replica 2 0=a 1=b']],
    ['malformed-history', ['acked p a 0', 'acked q a 0', 'final f 0=a']],
  ];

  test.each(bad)('%s: %j', (kind, steps) => {
    const judged = checkHistory(history(...steps), nothingRequired);
    expect(judged.verdict).toBe('invalid');
    expect(judged.anomalies.map((each) => each.kind)).toContain(kind);
    for (const { lines } of judged.anomalies) expect(lines.length).toBeGreaterThan(0);
  });

  test.each([
    ['a consumer that is assigned anew may read again', [...good, 'poll r 0=a 1=b', 'assign r 0', 'poll r 0=a']],
    ['a consumer that begins late skipped nothing', [...good, 'assign r 1', 'poll r 1=b']],
    ['a send in doubt may be there or not', ['acked p a 0', 'lost-answer p b']],
    ['sessions are not ordered among each other', ['acked p b 1', 'acked q a 0']],
  ])('%s', (_what, steps) => {
    expect(kindsOf(history(...steps))).toEqual([]);
  });

  test('the anomaly that takes the fewest lines to show comes first', () => {
    const judged = checkHistory(history('acked p a 1', 'acked p b 0', 'final f 0=b 1=a 2=z'), nothingRequired);
    expect(judged.anomalies.map(({ kind }) => kind)).toEqual(['phantom', 'reordered']);
  });
});

describe('controller', () => {
  const ask = (operation: number, request: string, object = 'topic/x'): HistoryLine => {
    return { event: 'invoke', atMs: 0, operation, client: `c${operation}`, action: 'admin', object, request };
  };
  const answered = (operation: number, answer: string): HistoryLine => ({ event: 'ok', atMs: 0, operation, answer });
  const refused = (operation: number, code: string, event: 'fail' | 'info' = 'fail'): HistoryLine => {
    return { event, atMs: 0, operation, code };
  };

  test('a refusal from a leader that was replaced is not linearizable', () => {
    const lines = [ask(1, 'create'), answered(1, 'created'), ask(2, 'delete'), answered(2, 'deleted')];
    expect(kindsOf([...lines, ask(3, 'create'), refused(3, 'TOPIC_EXISTS')])).toEqual(['not-linearizable']);
    expect(kindsOf([...lines, ask(3, 'create'), answered(3, 'created')])).toEqual([]);
  });

  test('an operation in doubt may come late, or never, and one that failed for certain not at all', () => {
    const doubtful = [
      ask(1, 'create'),
      refused(1, 'CONTROLLER_CHANGED', 'info'),
      ask(2, 'delete'),
      refused(2, 'UNKNOWN_TOPIC'),
    ];
    expect(kindsOf([...doubtful, ask(3, 'create'), refused(3, 'TOPIC_EXISTS')])).toEqual([]);
    expect(kindsOf([...doubtful, ask(3, 'create'), answered(3, 'created')])).toEqual([]);
    const failed = [ask(1, 'create'), refused(1, 'NOT_CONTROLLER')];
    expect(kindsOf([...failed, ask(3, 'create'), refused(3, 'TOPIC_EXISTS')])).toEqual(['not-linearizable']);
  });

  test('a producer id is given once', () => {
    const lines = [ask(1, 'allocate', 'producer-ids'), answered(1, '7'), ask(2, 'allocate', 'producer-ids')];
    expect(kindsOf([...lines, answered(2, '3')])).toEqual([]);
    expect(kindsOf([...lines, answered(2, '7')])).toEqual(['duplicate']);
  });

  test('a look that is answered as of before what others were told already', () => {
    const lines = [ask(1, 'create'), answered(1, 'created'), ask(2, 'look')];
    expect(kindsOf([...lines, answered(2, 'present')])).toEqual([]);
    expect(kindsOf([...lines, answered(2, 'absent')])).toEqual(['not-linearizable']);
    expect(kindsOf([ask(2, 'look'), ...lines.slice(0, 2), answered(2, 'absent')])).toEqual([]);
  });

  test('a broker that was registered anew is given nothing by its old epoch', () => {
    const lines = [ask(1, 'allocate in an earlier life', 'producer-ids')];
    expect(kindsOf([...lines, refused(1, 'STALE_BROKER_EPOCH')])).toEqual([]);
    expect(kindsOf([...lines, answered(1, '7')])).toEqual(['earlier-life']);
  });
});

describe('a run that proves nothing is unknown', () => {
  const lines = history('acked p a 0', 'final f 0=a');

  test.each([
    [{ ackedMin: 2, faults: [], inDoubtMin: 0 }, '1 records were acked, 2 are asked for'],
    [{ ackedMin: 1, faults: ['crash'], inDoubtMin: 0 }, 'there was no fault of kind crash'],
    [{ ackedMin: 1, faults: [], inDoubtMin: 1 }, '0 operations were in doubt, 1 are asked for'],
  ])('%j', (requirements, missing) => {
    expect(checkHistory(lines, requirements)).toMatchObject({ verdict: 'unknown', missing: [missing] });
  });

  test('nobody read in the end', () => {
    expect(checkHistory(history('acked p a 0'), nothingRequired)).toMatchObject({ verdict: 'unknown' });
  });
});

/** Two producers, three partitions, a consumer each, everything acked or in doubt, everything read in the end. */
function generated(random: Random): HistoryLine[] {
  const lines: HistoryLine[] = [];
  const logs: string[][] = [[], [], []];
  let operation = 0;
  for (let step = 0; step < 60; step += 1) {
    const partition = random.below(logs.length);
    const log = logs[partition] ?? [];
    operation += 1;
    const [value, client] = [`v${operation}`, `p${random.below(2)}`];
    lines.push({ event: 'invoke', atMs: step, operation, client, action: 'send', topic: 't', value });
    const dice = random.below(10);
    if (dice < 8) log.push(value);
    if (dice < 7) lines.push({ event: 'ok', atMs: step, operation, partition, offset: log.length - 1 });
    else if (dice < 9) lines.push({ event: 'info', atMs: step, operation, code: 'EXPIRED' });
    else lines.push({ event: 'fail', atMs: step, operation, code: 'RECORD_TOO_LARGE' });
  }
  for (const [partition, values] of logs.entries()) {
    const offsets = values.map((_value, offset) => offset);
    const half = offsets.length >> 1;
    const poll = (client: string, from: number, to: number, final?: true): void => {
      operation += 1;
      const invoked = { event: 'invoke', atMs: 99, operation, client, action: 'poll', topic: 't', partition } as const;
      lines.push(final ? { ...invoked, final } : invoked);
      lines.push({
        event: 'ok',
        atMs: 99,
        operation,
        offsets: offsets.slice(from, to),
        values: values.slice(from, to),
      });
    };
    poll('r', 0, half);
    poll('r', half, values.length);
    poll('f', 0, values.length, true);
    lines.push({ event: 'replica', atMs: 99, node: 1, topic: 't', partition, offsets, values });
  }
  return lines;
}

/** Changes one answer that carries records, in one place; undefined when it has too few. */
function mutate(
  lines: HistoryLine[],
  random: Random,
  how: 'drop' | 'repeat' | 'swap' | 'change',
): HistoryLine[] | undefined {
  const carriers = lines.flatMap((line, at) => ('values' in line && (line.values?.length ?? 0) >= 3 ? [at] : []));
  const at = carriers[random.below(Math.max(1, carriers.length))];
  const line = at === undefined ? undefined : (lines[at] as Succeeded);
  if (at === undefined || line?.values === undefined || line.offsets === undefined) return undefined;
  const [values, offsets] = [[...line.values], [...line.offsets]];
  // In the middle: a poll may begin and end anywhere.
  const victim = 1 + random.below(values.length - 2);
  if (how === 'drop') {
    values.splice(victim, 1);
    offsets.splice(victim, 1);
  } else if (how === 'repeat') {
    values.splice(victim, 0, values[victim] ?? '');
    offsets.splice(victim, 0, offsets[victim] ?? 0);
  } else if (how === 'swap') [values[victim - 1], values[victim]] = [values[victim] ?? '', values[victim - 1] ?? ''];
  else values[victim] = 'never sent';
  const changed = [...lines];
  changed[at] = { ...line, values, offsets };
  return changed;
}

test('good histories are valid, and every one that is changed in one place is not', () => {
  const tried = new Map<string, number>();
  fc.assert(
    fc.property(fc.nat(), fc.constantFrom('drop', 'repeat', 'swap', 'change'), (seed, how) => {
      const random = new SeededRandom(seed);
      const lines = generated(random);
      expect(checkHistory(lines, nothingRequired).anomalies).toEqual([]);
      const changed = mutate(lines, random, how);
      if (changed === undefined) return;
      // A replica's record that is told twice is still one record.
      const isReplica = changed.some((line, at) => line.event === 'replica' && line !== lines[at]);
      if (how === 'repeat' && isReplica) return;
      tried.set(how, (tried.get(how) ?? 0) + 1);
      expect(checkHistory(changed, nothingRequired).verdict).toBe('invalid');
    }),
    { numRuns: 500 },
  );
  expect([...tried.values()].every((count) => count > 50)).toBe(true);
});

test('lines are parsed, and what is none is refused with its number', () => {
  const lines = history(...good);
  expect(parseHistory(lines.map((line) => JSON.stringify(line)).join('\n'))).toEqual(lines);
  expect(() => parseHistory('{"event":"ok","atMs":1,"operation":1}\n{"event":"dance","atMs":2}')).toThrow('line 2');
});
