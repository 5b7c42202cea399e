import type { Producer, ProducerRecord, OnDelivery } from '@sluice/client';
import { Metronome } from './metronome.ts';

export interface PacedLoad {
  readonly ratePerSecond: number;
  /** Asked before each record. */
  isOver(sent: number): boolean;
  /** `dueMs`, on the clock of `performance.now()`, is when the record was to be sent, however late it is. */
  send(index: number, dueMs: number): Promise<void> | undefined;
}

/** Record number `n` is due at `n / ratePerSecond` seconds after the start; a load that fell behind catches up. */
export async function paced({ ratePerSecond, isOver, send }: PacedLoad): Promise<void> {
  await using metronome = new Metronome();
  const intervalMs = 1000 / ratePerSecond;
  const startMs = performance.now();
  for (let index = 0; ; index += 1) {
    if (isOver(index)) return;
    const dueMs = startMs + index * intervalMs;
    for (let leftMs = dueMs - performance.now(); leftMs > 0; leftMs = dueMs - performance.now()) {
      await metronome.sleep(leftMs);
    }
    const room = send(index, dueMs);
    if (room !== undefined) await room;
  }
}

/** Undefined when the record was taken at once; else resolves when there was room for it. */
export function postOrWait(
  producer: Producer,
  topic: string,
  record: ProducerRecord,
  onDelivery: OnDelivery,
): Promise<void> | undefined {
  return producer.post(topic, record, onDelivery) ? undefined : postLater(producer, topic, record, onDelivery);
}

async function postLater(
  producer: Producer,
  topic: string,
  record: ProducerRecord,
  onDelivery: OnDelivery,
): Promise<void> {
  do await producer.ready();
  while (!producer.post(topic, record, onDelivery));
}
