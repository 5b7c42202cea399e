/** What must hold of the records of one partition, whoever saw them. Part of `check-history`. */
import { anomaly } from './anomaly.ts';
import type { Anomaly } from './anomaly.ts';
import { valueKey } from './history-book.ts';
import type { HistoryBook, PartitionBook, PollRead, Seen } from './history-book.ts';
import type { HistoryLine, ReplicaHolds } from './history.ts';

type Places = ReadonlyMap<number, Seen>;

export function partitionAnomalies(book: HistoryBook, partition: PartitionBook): readonly Anomaly[] {
  const places = new Map<number, Seen>();
  const found: Anomaly[] = [];
  for (const seen of partition.seen) {
    const first = places.get(seen.offset);
    if (first === undefined) places.set(seen.offset, seen);
    else if (first.value !== seen.value) {
      const text = `${at(partition, seen.offset)} holds ${first.value} and ${seen.value}`;
      found.push(anomaly('inconsistent-offsets', text, [first.by, seen.by]));
    }
  }
  const offsets = [...places.keys()].toSorted((one, other) => one - other);
  found.push(
    ...missingInTheEnd(book, partition),
    ...pollAnomalies(partition, places, offsets),
    ...partition.replicas.flatMap((replica) => replicaAnomalies(partition, replica, places)),
  );
  return found;
}

const at = ({ topic, partition }: PartitionBook, offset: number): string => `${topic}/${partition} at ${offset}`;

/** Whatever was acked or read before the final read began is in it. */
function missingInTheEnd(book: HistoryBook, partition: PartitionBook): readonly Anomaly[] {
  const final = partition.finals.at(-1);
  if (final === undefined) return [];
  const there = new Set(final.answer.offsets);
  const highest = final.answer.offsets?.at(-1) ?? -1;
  const told = new Set<number>();
  const found: Anomaly[] = [];
  for (const { offset, value, by, position } of partition.seen) {
    if (position > final.poll.at || offset < partition.logStart || there.has(offset) || told.has(offset)) continue;
    told.add(offset);
    const sent = book.sendOf.get(valueKey(partition.topic, value))?.line;
    const kind = offset < highest ? 'lost' : 'unseen';
    const text = `${value}, ${at(partition, offset)}, is not there in the end (it ends at ${highest})`;
    found.push(anomaly(kind, text, [...(sent === undefined ? [] : [sent]), by, final.poll.line]));
  }
  return found;
}

/** Each consumer reads on from where it stood: every record that is there, each once, in order. */
function pollAnomalies(partition: PartitionBook, places: Places, offsets: readonly number[]): readonly Anomaly[] {
  const lastOf = new Map<string, { readonly offset: number; readonly by: HistoryLine }>();
  const found: Anomaly[] = [];
  for (const read of [...partition.polls, ...partition.finals]) {
    const { client } = read.poll.line;
    let last = startOf(read) ?? lastOf.get(client);
    for (const offset of read.answer.offsets ?? []) {
      if (last !== undefined && offset <= last.offset) {
        const text = `${client} read ${at(partition, offset)} after ${last.offset}`;
        found.push(anomaly('nonmonotonic-poll', text, distinct(last.by, read.answer)));
      } else if (last !== undefined) {
        const from = Math.max(last.offset + 1, partition.logStart);
        const passed = firstAtOrAfter(offsets, from);
        const record = passed === undefined || passed >= offset ? undefined : places.get(passed);
        if (record !== undefined) {
          const text = `${client} passed over ${record.value}, ${at(partition, record.offset)}`;
          found.push(anomaly('poll-skip', text, distinct(last.by, record.by, read.answer)));
        }
      }
      last = { offset, by: read.answer };
    }
    if (last !== undefined) lastOf.set(client, last);
  }
  return found;
}

/** A final read begins at the start of the log. */
function startOf({ poll, answer, assignedOffset }: PollRead): { offset: number; by: HistoryLine } | undefined {
  if (poll.line.final === true) return { offset: -1, by: poll.line };
  return assignedOffset === undefined ? undefined : { offset: assignedOffset - 1, by: answer };
}

/** Its log holds every record that is known, and no other value at its offset. */
function replicaAnomalies(partition: PartitionBook, replica: ReplicaHolds, places: Places): readonly Anomaly[] {
  const held = new Map(replica.offsets.map((offset, index) => [offset, replica.values[index]]));
  const found: Anomaly[] = [];
  for (const [offset, { value, by }] of places) {
    if (offset < partition.logStart) continue;
    const own = held.get(offset);
    if (own === value || (own === undefined && offset < partition.trimAskedBelow)) continue;
    const text = `node ${replica.node} holds ${own ?? 'nothing'} in place of ${value}, ${at(partition, offset)}`;
    found.push(anomaly('replica-divergence', text, [by, replica]));
  }
  for (const [offset, value] of held) {
    if (places.has(offset) || offset < partition.logStart || partition.finals.length === 0) continue;
    const text = `node ${replica.node} holds ${value}, ${at(partition, offset)}, which no reader was given`;
    found.push(anomaly('replica-divergence', text, [replica]));
  }
  return found;
}

const distinct = (...lines: readonly HistoryLine[]): readonly HistoryLine[] => [...new Set(lines)];

function firstAtOrAfter(sorted: readonly number[], least: number): number | undefined {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((sorted[middle] ?? 0) < least) low = middle + 1;
    else high = middle;
  }
  return sorted[low];
}
