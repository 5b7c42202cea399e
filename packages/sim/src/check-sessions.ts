/** What must hold of each value, over all partitions, and of the order of each producer. Part of `check-history`. */
import { anomaly } from './anomaly.ts';
import type { Anomaly } from './anomaly.ts';
import { partitionKey, valueKey } from './history-book.ts';
import type { HistoryBook, PartitionBook, Seen } from './history-book.ts';
import type { SendInvoked } from './history.ts';

interface Place {
  readonly book: PartitionBook;
  readonly seen: Seen;
}

export function sessionAnomalies(book: HistoryBook): readonly Anomaly[] {
  const placeOf = new Map<string, Place>();
  const found: Anomaly[] = [];
  for (const partition of book.partitions.values()) {
    for (const seen of partition.seen) {
      const key = valueKey(partition.topic, seen.value);
      const first = placeOf.get(key);
      if (first === undefined) {
        placeOf.set(key, { book: partition, seen });
        found.push(...originAnomalies(book, partition, seen));
      } else if (first.book !== partition || first.seen.offset !== seen.offset) {
        const text = `${seen.value} lies at ${textOf(first)} and at ${textOf({ book: partition, seen })}`;
        found.push(anomaly('duplicate', text, [first.seen.by, seen.by]));
      }
    }
  }
  found.push(...orderAnomalies(book, placeOf));
  return found;
}

const textOf = ({ book, seen }: Place): string => `${partitionKey(book.topic, book.partition)} ${seen.offset}`;

/** A record comes from a send, and not from one that failed for certain. */
function originAnomalies(book: HistoryBook, partition: PartitionBook, seen: Seen): readonly Anomaly[] {
  const send = book.sendOf.get(valueKey(partition.topic, seen.value));
  const where = textOf({ book: partition, seen });
  if (send === undefined) return [anomaly('phantom', `${seen.value} at ${where} was never sent`, [seen.by])];
  if (send.outcome?.line.event !== 'fail') return [];
  const text = `${seen.value} at ${where} was refused for certain`;
  return [anomaly('aborted-read', text, [send.line, send.outcome.line, seen.by])];
}

/** Of one session and partition, what was sent first lies first. */
function orderAnomalies(book: HistoryBook, placeOf: ReadonlyMap<string, Place>): readonly Anomaly[] {
  const lastOf = new Map<string, { readonly send: SendInvoked; readonly place: Place }>();
  const found: Anomaly[] = [];
  for (const { line: send } of book.sends) {
    const place = placeOf.get(valueKey(send.topic, send.value));
    if (place === undefined) continue;
    const key = `${send.client}\n${partitionKey(send.topic, place.book.partition)}`;
    const last = lastOf.get(key);
    if (last !== undefined && place.seen.offset < last.place.seen.offset) {
      const text = `${send.client} sent ${last.send.value} before ${send.value}, which lies at ${textOf(place)}, before ${textOf(last.place)}`;
      found.push(anomaly('reordered', text, [last.send, last.place.seen.by, send, place.seen.by]));
    } else lastOf.set(key, { send, place });
  }
  return found;
}
