/** Random faults against the promise about duplicates and order: whatever happens, every outcome that was told is true. */
import { isSluiceError, SeededRandom, SluiceError } from '@sluice/base';
import { expect, test } from 'vitest';
import type { Delivery } from './producer-record.ts';
import type { Producer } from './producer.ts';
import { ScriptedCluster } from './scripted-cluster.testing.ts';

const refusals = ['NOT_ENOUGH_REPLICAS', 'NOT_LEADER', 'UNKNOWN_PRODUCER_ID', 'LEADER_NOT_AVAILABLE'] as const;
const doubts = ['TIMEOUT', 'LEADERSHIP_LOST', 'STORAGE_FAILED', 'NOT_ENOUGH_REPLICAS_AFTER_APPEND'] as const;

interface Sent {
  readonly value: string;
  readonly partition: number;
  /** `delivered`: somewhere. */
  outcome: Delivery | SluiceError | 'delivered' | undefined;
}

interface Figures {
  delivered: number;
  definite: number;
  indefinite: number;
  repeated: number;
}

async function run(seed: number, figures: Figures): Promise<void> {
  const random = new SeededRandom(seed);
  const chance = (percent: number): boolean => random.below(100) < percent;
  const pick = <T>(items: readonly T[]): T => items[random.below(items.length)]!;
  const cluster = await ScriptedCluster.start(3, () => random.below(chance(5) ? 400 : 10));
  cluster.createTopic('orders', [1, 2]);
  let faulty = true;
  const badness = random.below(40);
  cluster.onProduce = () => {
    if (!faulty || !chance(badness)) return 'append';
    const kind = random.below(6);
    if (kind === 0) return new SluiceError(pick(refusals));
    if (kind === 1) return new SluiceError(pick(doubts));
    if (kind === 2) return { appendThen: new SluiceError(pick(doubts)) };
    if (kind === 3) return chance(50) ? 'drop' : 'appendOnly';
    if (kind === 4 && chance(20)) return new SluiceError('CORRUPT_BATCH');
    if (kind === 5 && chance(10)) return { appendThen: new SluiceError('INTERNAL') };
    return 'append';
  };
  const sluice = cluster.client();
  const producer = sluice.producer({ batchBytesMax: 200, deliveryTimeoutMs: 2_000, requestTimeoutMs: 500 });
  const sent: Sent[] = [];
  for (let turn = 0; turn < 60; turn += 1) {
    const calls = Array.from(
      { length: random.below(8) },
      (): Sent => ({
        value: `${turn}/${random.below(1_000_000)} ${'x'.repeat(random.below(60))}`,
        partition: random.below(2),
        outcome: undefined,
      }),
    );
    sent.push(...calls);
    if (chance(50)) sendMany(producer, calls);
    else for (const one of calls) send(producer, one);
    const node = 1 + random.below(3);
    if (chance(5)) cluster.network.disconnect('client', `node-${node}`);
    if (chance(3)) cluster.network.cut('client', `node-${node}`);
    if (chance(20)) for (const id of [1, 2, 3]) cluster.network.heal('client', `node-${id}`);
    if (chance(6)) cluster.moveLeader('orders', random.below(2), chance(10) ? 0 : node);
    await cluster.clock.pass(random.below(120));
  }
  faulty = false;
  for (const id of [1, 2, 3]) cluster.network.heal('client', `node-${id}`);
  for (const partition of [0, 1]) cluster.moveLeader('orders', partition, 1);
  await cluster.clock.pass(4_000);
  await cluster.clock.outcome(producer.send('orders', { value: 'last', partition: 0 }), 5_000);
  for (const partition of [0, 1]) check(cluster, sent, partition, figures);
  figures.repeated += cluster.received.length;
  await cluster.clock.outcome(sluice.close());
}

function send(producer: Producer, one: Sent): void {
  producer.send('orders', { value: one.value, partition: one.partition }).then(
    (delivery) => (one.outcome = delivery),
    (thrown: unknown) => (one.outcome = isSluiceError(thrown) ? thrown : undefined),
  );
}

/** One call; of those that fail it tells which, and nothing of where the others are. */
function sendMany(producer: Producer, calls: readonly Sent[]): void {
  const onFailed = (index: number, error: SluiceError): void => {
    calls[index]!.outcome = error;
  };
  producer.sendMany('orders', calls, { onFailed }).then(
    (deliveries) => {
      for (const [index, one] of calls.entries()) one.outcome = deliveries.at(index);
    },
    (thrown: unknown) => {
      if (!isSluiceError(thrown)) throw thrown;
      for (const one of calls) one.outcome ??= 'delivered';
      const failed = calls.filter(({ outcome }) => isSluiceError(outcome));
      expect(failed).toHaveLength(thrown.details['failed'] as number);
      if (thrown.definite) expect(failed.every(({ outcome }) => (outcome as SluiceError).definite)).toBe(true);
    },
  );
}

function check(cluster: ScriptedCluster, sent: readonly Sent[], partition: number, figures: Figures): void {
  const log = cluster.log('orders', partition).values();
  let previous = -1;
  for (const { value, outcome } of sent.filter((one) => one.partition === partition)) {
    const copies = log.filter((each) => each === value).length;
    expect(outcome, `${value} was never decided`).toBeDefined();
    if (isSluiceError(outcome)) {
      if (outcome.definite) figures.definite += 1;
      else figures.indefinite += 1;
      expect(copies, `${value} failed with ${outcome.code}, definite ${outcome.definite}`).toBeLessThanOrEqual(
        outcome.definite ? 0 : 1,
      );
      continue;
    }
    figures.delivered += 1;
    const at = typeof outcome === 'object' ? outcome.offset : log.indexOf(value);
    expect(log[at], `${value} was delivered at ${at}`).toBe(value);
    expect(copies, `${value} was delivered`).toBe(1);
    expect(at, `${value} came before its predecessor`).toBeGreaterThan(previous);
    previous = at;
  }
}

test('60 runs of random faults', { timeout: 60_000 }, async () => {
  const figures: Figures = { delivered: 0, definite: 0, indefinite: 0, repeated: 0 };
  const seeds = Number(process.env['SLUICE_TEST_SEEDS'] ?? 60);
  for (let seed = 1; seed <= seeds; seed += 1) {
    await run(seed, figures).catch((thrown: unknown) => {
      throw new Error(`seed ${seed}`, { cause: thrown });
    });
  }
  // The faults bite: otherwise this would show nothing.
  expect(figures.delivered).toBeGreaterThan(3_000);
  expect(figures.definite).toBeGreaterThan(20);
  expect(figures.indefinite).toBeGreaterThan(20);
});
