/** What each kind of fault cost producers, read from a history. Pure. */
import type { HistoryLine } from '@sluice/sim/history';

interface Struck {
  readonly kind: string;
  readonly atMs: number;
}

/**
 * The longest time between two acks of one partition, by kind of fault: a gap counts for the first fault that struck in it,
 * else for the last one before it. Gaps before any fault count for none. Lines in the order of their times.
 */
export function longestGapsMs(lines: Iterable<HistoryLine>): Readonly<Record<string, number>> {
  const ackedMs = new Map<string, number>();
  const sends = new Map<number, string>();
  const struck: Struck[] = [];
  const longest = new Map<string, number>();
  for (const line of lines) {
    if (line.event === 'fault') struck.push(line);
    else if (line.event === 'invoke' && line.action === 'send') sends.set(line.operation, line.topic);
    else if (line.event === 'ok' || line.event === 'fail' || line.event === 'info') {
      const topic = sends.get(line.operation);
      sends.delete(line.operation);
      if (topic === undefined || line.event !== 'ok') continue;
      const partition = `${topic}/${line.partition}`;
      const sinceMs = ackedMs.get(partition);
      ackedMs.set(partition, line.atMs);
      const kind = sinceMs === undefined ? undefined : causeOf(struck, sinceMs);
      if (sinceMs === undefined || kind === undefined) continue;
      longest.set(kind, Math.max(longest.get(kind) ?? 0, Math.round(line.atMs - sinceMs)));
    }
  }
  return Object.fromEntries([...longest].toSorted(([one], [other]) => (one < other ? -1 : 1)));
}

function causeOf(struck: readonly Struck[], sinceMs: number): string | undefined {
  let at = struck.length - 1;
  while (at > 0 && (struck[at - 1]?.atMs ?? 0) >= sinceMs) at -= 1;
  return struck[at]?.kind;
}
