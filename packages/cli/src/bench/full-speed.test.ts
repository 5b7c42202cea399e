import { SluiceError } from '@sluice/base';
import type { Producer, ProducerRecord } from '@sluice/client';
import { expect, test } from 'vitest';
import { sendAtFullSpeed } from './full-speed.ts';
import type { FullSpeedLoad } from './full-speed.ts';

/** Takes chunks and settles each a turn later. */
function producerOf(settle: (chunk: readonly ProducerRecord[]) => Promise<void>) {
  const sizes: number[] = [];
  const sendMany = async (_topic: string, chunk: readonly ProducerRecord[]): Promise<void> => {
    sizes.push(chunk.length);
    await new Promise((resolve) => setImmediate(resolve));
    await settle(chunk);
  };
  return { sizes, producer: { sendMany, flush: () => Promise.resolve() } as unknown as Producer };
}

const load = (producer: Producer, records: number, onAcked: FullSpeedLoad['onAcked'] = () => undefined) => ({
  producer,
  topic: 't',
  payloads: Array.from({ length: 1000 }, () => new Uint8Array(1024)),
  records,
  endMs: Number.POSITIVE_INFINITY,
  stop: new AbortController().signal,
  onAcked,
});

test('sends exactly as many as asked for, and counts them when they are acked', async () => {
  const { sizes, producer } = producerOf(() => Promise.resolve());
  let acked = 0;
  await sendAtFullSpeed(load(producer, 700, (records) => (acked += records)));
  expect(sizes).toEqual([256, 256, 188]);
  expect(acked).toBe(700);
});

test('the first failure ends it', async () => {
  const { sizes, producer } = producerOf(() => Promise.reject(new SluiceError('TIMEOUT')));
  await expect(sendAtFullSpeed(load(producer, 1e9))).rejects.toMatchObject({ code: 'TIMEOUT' });
  expect(sizes.length).toBeLessThan(200);
});

test('what is undecided is bounded', async () => {
  const over = new AbortController();
  const { sizes, producer } = producerOf(() => new Promise<void>(() => undefined));
  void sendAtFullSpeed({ ...load(producer, 1e9), stop: over.signal });
  for (let turn = 0; turn < 500; turn += 1) await new Promise((resolve) => setImmediate(resolve));
  const undecided = sizes.reduce((sum, size) => sum + size, 0) * 1024;
  expect(undecided).toBeLessThanOrEqual(32 * 1024 * 1024);
  expect(undecided).toBeGreaterThan(31 * 1024 * 1024);
  over.abort();
});
