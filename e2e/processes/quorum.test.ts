/** Two of three nodes gone: nothing is acked, what is unknown is said to be unknown, and nothing is there twice after. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { toSluiceError } from '@sluice/base';
import type { SluiceError } from '@sluice/base';
import { Sluice } from '@sluice/client';
import type { Delivery } from '@sluice/client';
import { methods } from '@sluice/wire';
import { LocalCluster } from '../cluster.ts';
import { batchOf } from '../raw-batch.ts';
import { RawClient } from '../raw-client.ts';
import type { RawProduce } from '../raw-client.ts';
import { topicValues } from '../topic-values.ts';
import { until } from '../until.ts';

/** Whatever was opened, also when what comes after it could not be. */
const open = new AsyncDisposableStack();
let cluster: LocalCluster;
let raw: RawClient;
beforeAll(async () => {
  cluster = open.use(await LocalCluster.start());
  raw = open.use(new RawClient());
});
afterAll(() => open.disposeAsync());

const sessionTimeoutMs = 1500;
const name = 'quorum';

interface Outcome {
  readonly error?: SluiceError;
  readonly delivery?: Delivery;
  readonly afterMs: number;
}

async function outcomeOf(sent: Promise<Delivery>): Promise<Outcome> {
  const sentMs = performance.now();
  try {
    return { delivery: await sent, afterMs: performance.now() - sentMs };
  } catch (error) {
    return { error: toSluiceError(error), afterMs: performance.now() - sentMs };
  }
}

async function refusedOf(promise: Promise<number>): Promise<SluiceError> {
  const offset = await promise.catch(toSluiceError);
  if (typeof offset === 'number') throw new Error(`appended at ${offset}`);
  return offset;
}

/** Sends until the leader refuses to append; resolves with the refusal. What it took meanwhile stays unanswered. */
async function firstRefusal(stream: RawProduce, topicId: string): Promise<SluiceError> {
  let refused: SluiceError | undefined;
  const attempt = async (): Promise<SluiceError | undefined> => {
    void stream.append(topicId, 0, batchOf(['probe'])).catch((error: unknown) => {
      refused ??= toSluiceError(error);
    });
    return refused;
  };
  return until(attempt, { what: 'a refusal', timeoutMs: 10_000, everyMs: 50 });
}

/** Sends the same batch to whoever leads until it is acked, as an idempotent producer does. */
function repeat(topicId: string, batch: () => Uint8Array): Promise<number> {
  const attempt = async (): Promise<number> => {
    const stream = raw.produce(cluster.node(await cluster.leaderOf(name, 0)).client);
    try {
      return await stream.append(topicId, 0, batch());
    } finally {
      stream.close();
    }
  };
  return until(attempt, { what: 'an ack of the repeated batch', timeoutMs: 20_000 });
}

test('nothing is acked, the unknown is indefinite, and the retry leaves one copy', async () => {
  const topic = await cluster.client.admin.createTopic({ name, replication: 3 });
  const leader = await cluster.leaderOf(name, 0);
  const others = cluster.nodes.map(({ id }) => id).filter((id) => id !== leader);
  const { client: address } = cluster.node(leader);
  await using impatientClient = new Sluice({ bootstrap: cluster.bootstrap });
  await using patientClient = new Sluice({ bootstrap: cluster.bootstrap });
  const impatient = impatientClient.producer({ deliveryTimeoutMs: 4000 });
  const patient = patientClient.producer({ deliveryTimeoutMs: 60_000 });
  await impatient.send(name, { value: 'before impatient' });
  await patient.send(name, { value: 'before patient' });
  const { producerId } = await raw.rpc.unary(methods.broker.initProducer, address, {}, { timeoutMs: 5000 });
  const rawBatch = (): Uint8Array => batchOf(['raw in flight'], { producerId, producerEpoch: 0, baseSequence: 0 });

  // They hold still first, so that the leader takes what only it will ever have, and then they are gone.
  for (const id of others) process.kill(cluster.node(id).pid, 'SIGSTOP');
  const unknown = outcomeOf(impatient.send(name, { value: 'impatient in flight' }));
  const waiting = outcomeOf(patient.send(name, { value: 'patient in flight' }));
  const first = raw.produce(address);
  const rawOutcome = refusedOf(first.append(topic.id, 0, rawBatch()));

  const logEnd = async (): Promise<number> => {
    const request = { partitions: [{ topicId: topic.id, partition: 0 }] };
    const answer = await raw.rpc.unary(methods.broker.listOffsets, address, request, { timeoutMs: 1000 });
    return answer.partitions[0]?.logEnd ?? 0;
  };
  const appended = async (): Promise<true | undefined> => ((await logEnd()) === 5 ? true : undefined);
  await until(appended, { what: 'the append of three records', timeoutMs: 1000, everyMs: 5 });
  await cluster.kill(...others);
  const killedMs = performance.now();

  const probes = raw.produce(address);
  const refusal = await firstRefusal(probes, topic.id);
  expect(refusal).toMatchObject({ code: 'NOT_ENOUGH_REPLICAS', definite: true, retryable: true });
  expect(performance.now() - killedMs).toBeLessThan(sessionTimeoutMs + 1500);
  const [bounds] = await cluster.client.admin.listOffsets(name);
  expect(bounds?.writable).toBe(false);
  expect(bounds?.highWatermark).toBe(2);
  // The reader sees nothing of what is not committed.
  expect(await topicValues(patientClient, name)).toEqual(['before impatient', 'before patient']);

  const timedOut = await unknown;
  expect(timedOut.error).toMatchObject({ code: 'TIMEOUT', definite: false });
  expect(timedOut.afterMs).toBeGreaterThan(3500);
  expect(timedOut.afterMs).toBeLessThan(6000);
  const late = await outcomeOf(impatient.send(name, { value: 'never appended' }));
  expect(late.error).toMatchObject({ definite: true });
  expect(probes.results.filter(({ error }) => error === null)).toEqual([]);
  // The raw client gives up waiting, and sends the same again when the others are back.
  first.close();
  expect((await rawOutcome).definite).toBe(false);

  await cluster.start(...others);
  await cluster.waitHealthy();
  const offset = await repeat(topic.id, rawBatch);
  expect(await repeat(topic.id, rawBatch)).toBe(offset);
  expect((await waiting).delivery).toMatchObject({ partition: 0 });
  const values = await topicValues(patientClient, name);
  for (const once of ['raw in flight', 'patient in flight', 'before patient']) {
    expect(values.filter((value) => value === once)).toEqual([once]);
  }
  expect(values.filter((value) => value === 'impatient in flight').length).toBeLessThanOrEqual(1);
  expect(values[offset]).toBe('raw in flight');
  expect(values).not.toContain('never appended');
});
