/** Each benchmark prints the fields that every system's figures share; how fast it is, is not tested. */
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { producerDefaults } from '@sluice/client';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { LocalCluster } from '../cluster.ts';
import { sluice, startSluice } from '../sluice-command.ts';
import { until } from '../until.ts';

interface Line {
  readonly work: string;
  readonly settings: Readonly<Record<string, unknown>>;
}

const { batchBytesMax, lingerMs } = producerDefaults;
let cluster: LocalCluster;
const directory = mkdtempSync(path.join(tmpdir(), 'sluice-bench-test-'));
beforeAll(async () => {
  cluster = await LocalCluster.start();
});
afterAll(async () => {
  await cluster.stop();
  expect(readdirSync(directory)).toEqual([]);
  rmSync(directory, { recursive: true });
});

/** The one line that a benchmark prints, once what every line has was checked. */
async function bench(words: string, fsync = true): Promise<Line> {
  const { exit, out, err, lines } = await sluice(['bench', ...words.split(' '), '--json'], {
    bootstrap: cluster.bootstrap,
  });
  expect({ exit, out, err }).toMatchObject({ exit: 0 });
  const [line, ...more] = lines<Line>();
  expect(more).toEqual([]);
  expect(line).toMatchObject({
    system: 'sluice',
    version: expect.any(String) as string,
    settings: { fsync, replication: 3, acks: 'all', minIsr: 2, batchBytes: batchBytesMax, lingerMs },
  });
  expect(line?.settings).toMatchObject({ compression: 'none', filesystem: expect.any(String) as string });
  return line!;
}

const positive = expect.toSatisfy((value) => typeof value === 'number' && value > 0) as number;
const rates = { seconds: positive, recordsPerSecond: positive, bytesPerSecond: positive };
const latencyMs = { p50: positive, p90: positive, p99: positive, p999: positive, max: positive };

describe('against a running cluster', () => {
  afterAll(async () => expect((await cluster.client.admin.listTopics()).map(({ name }) => name)).toEqual([]));

  test('produce at full speed', async () => {
    const line = await bench('produce --record-bytes 100 --records 30000 --warmup-seconds 0');
    const settings = { recordBytes: 100, partitions: 6, rate: null };
    expect(line).toMatchObject({ work: 'produce-max 100 B', records: 30_000, ...rates, latencyMs, settings });
  });

  test('produce at a rate', async () => {
    const line = await bench('produce --record-bytes 100 --seconds 1 --rate 500 --warmup-seconds 0');
    const settings = { recordBytes: 100, partitions: 6, rate: 500 };
    expect(line).toMatchObject({ work: 'produce 500/s 100 B', records: 500, ...rates, latencyMs, settings });
  });

  test('produce to a topic that is acked from memory', async () => {
    const line = await bench('produce --record-bytes 100 --seconds 1 --rate 500 --durability replicated', false);
    expect(line).toMatchObject({ work: 'produce 500/s 100 B', records: 500, ...rates, latencyMs });
  });

  test('consume, by batches and by records', async () => {
    const counted = await bench('consume --records 30000 --record-bytes 100');
    expect(counted).toMatchObject({
      work: 'consume-max 100 B',
      records: 30_000,
      ...rates,
      settings: { decode: false },
    });
    const decoded = await bench('consume --records 30000 --record-bytes 100 --decode');
    expect(decoded).toMatchObject({ work: 'consume-max 100 B, decoded', records: 30_000, settings: { decode: true } });
  });

  test('end to end', async () => {
    const line = await bench('end-to-end --rate 500 --seconds 1 --warmup-seconds 0');
    const settings = { recordBytes: 1024, partitions: 1, rate: 500 };
    expect(line).toMatchObject({ work: 'end-to-end 500/s 1024 B', records: 500, ...rates, latencyMs, settings });
  });

  test('a topic that is not there is a failure', async () => {
    const words = ['bench', 'consume', '--records', '1', '--topic', 'nowhere', '--json'];
    const { exit, out } = await sluice(words, { bootstrap: cluster.bootstrap });
    expect({ exit, out }).toEqual({ exit: 1, out: expect.stringContaining('UNKNOWN_TOPIC') as string });
  });
});

describe('with a cluster of its own', () => {
  const own = `--data ${directory}`;

  test.concurrent('failover', async () => {
    const line = await bench(`failover --rounds 1 --steady-seconds 0.5 --rate 200 ${own}`);
    const stages = { detect: { max: expect.any(Number) as number }, decide: { max: expect.any(Number) as number } };
    const found = { work: 'failover', rounds: [positive], stagesMs: stages, lost: 0, duplicated: 0, acked: positive };
    expect(line).toMatchObject(found);
  });

  test.concurrent('failover of several partitions, in order', async () => {
    const words =
      'failover --rounds 1 --fault shutdown --role controller --partitions 6 --rate 300 --steady-seconds 0.5';
    const line = await bench(`${words} ${own}`);
    const each = { p50: positive, max: positive };
    const pause = { round: 1, role: 'controller', partitions: positive, max: positive, others: each };
    expect(line).toMatchObject({
      work: 'failover, shutdown, role controller, 6 partitions',
      percentiles: { rounds: each, partitions: each },
      stagesMs: { detect: null, decide: null, elect: each, firstAck: { max: expect.any(Number) as number } },
      pauses: [pause],
      lost: 0,
      duplicated: 0,
    });
  });

  test.concurrent('cold-start and idle', async () => {
    expect(await bench(`cold-start ${own}`)).toMatchObject({ work: 'cold-start', ms: positive });
    const line = await bench(`idle --seconds 0.1 ${own}`);
    expect(line).toMatchObject({ work: 'idle', rssMb: [positive, positive, positive] });
  });

  test('interrupted, it leaves nothing behind', async () => {
    const place = mkdtempSync(path.join(directory, 'interrupted-'));
    const { child, finished } = startSluice(['bench', 'idle', '--data', place, '--json']);
    const started = (): true | undefined =>
      readdirSync(place).some((name) => existsSync(path.join(place, name, 'node-3.log'))) ? true : undefined;
    await until(started, { what: 'three nodes', timeoutMs: 20_000 });
    child.kill('SIGINT');
    expect((await finished).exit).toBe(1);
    expect(readdirSync(place)).toEqual([]);
    rmSync(place, { recursive: true });
  });
});
