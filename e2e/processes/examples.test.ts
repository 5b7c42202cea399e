/** The two services that people are told to copy: what was answered is billed, once, whatever dies. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { LocalCluster } from '../cluster.ts';
import { Billing, OrderService } from '../example-services.ts';
import type { Order } from '../example-services.ts';
import { until } from '../until.ts';

const open = new AsyncDisposableStack();
let cluster: LocalCluster;
let billing: Billing;
let orders: OrderService;
const stored = new Map<string, Order>();

beforeAll(async () => {
  cluster = open.use(await LocalCluster.start());
  const directory = mkdtempSync(path.join(tmpdir(), 'sluice-billing-'));
  open.defer(() => rmSync(directory, { recursive: true, force: true }));
  billing = open.use(new Billing(cluster.bootstrap, directory));
  await billing.start();
  orders = open.use(await OrderService.start(cluster.bootstrap));
});
afterAll(() => open.disposeAsync());

const callers = 8;
const waitMs = 30_000;

const order = (id: string): Order => ({ id, customer: `customer-${id.length}-${id.at(-1)}`, cents: id.length * 100 });

/** So many callers at once, each with one order after the other, until all are stored. */
async function placeAll(prefix: string, count: number, service: OrderService): Promise<void> {
  let next = 0;
  const caller = async (): Promise<void> => {
    while (next < count) {
      const placed = order(`${prefix}-${next}`);
      next += 1;
      const { status } = await service.put(placed);
      if (status === 201) stored.set(placed.id, placed);
    }
  };
  await Promise.all(Array.from({ length: callers }, caller));
}

const billed = (count: number): Promise<true> =>
  until(() => (billing.invoices().length >= count ? true : undefined), {
    what: `${count} invoices`,
    timeoutMs: waitMs,
    standing: () => `(there are ${billing.invoices().length})`,
  });

/** Every stored order has its invoice, and none has two. */
async function expectAllBilledOnce(): Promise<void> {
  await billed(stored.size);
  const byId = (one: Order, other: Order): number => (one.id < other.id ? -1 : 1);
  expect(billing.invoices().toSorted(byId)).toEqual([...stored.values()].toSorted(byId));
}

test('a billing service that is killed again and again bills everything once', async () => {
  const count = 1500;
  const placing = placeAll('killed', count, orders);
  for (const share of [0.1, 0.3, 0.5, 0.7]) {
    await billed(count * share);
    await billing.kill();
    // What a write that a kill cuts short leaves behind.
    appendFileSync(billing.invoicesFile, '{"id":"half-wri');
    await billing.start();
  }
  await placing;
  expect(stored.size).toBe(count);
  await expectAllBilledOnce();
});

test('a billing service that lost its positions is given everything again, and bills nobody twice', async () => {
  expect(await billing.stop()).toBe(0);
  rmSync(billing.positionsFile);
  await billing.start();
  await placeAll('positions', 50, orders);
  await expectAllBilledOnce();
});

test('an order that was sent twice is billed once, and what is no order is refused', async () => {
  const [first, second] = [await orders.put(order('twice')), await orders.put(order('twice'))];
  expect([first.status, second.status]).toEqual([201, 201]);
  expect(second.body).toMatchObject({ partition: first.body['partition'] });
  expect(second.body['offset']).toBeGreaterThan(first.body['offset'] as number);
  stored.set('twice', order('twice'));
  for (const body of ['', '{', 'null', '[]', '{"customer":"ada"}', '{"customer":"ada","cents":-1}']) {
    expect(await orders.put(order('refused'), body)).toMatchObject({ status: 400 });
  }
  expect(await orders.put(order('refused'), 'x'.repeat(20_000))).toMatchObject({ status: 413 });
  await expectAllBilledOnce();
});

test('while two of three nodes are dead an order is not said to be stored, and later the same one is', async () => {
  const leader = await cluster.leaderOf('orders', 0);
  const others = cluster.nodes.map(({ id }) => id).filter((id) => id !== leader);
  await cluster.kill(...others);
  const refused = await orders.put(order('unstored'));
  expect([503, 504]).toContain(refused.status);
  expect(refused.body['stored']).toBe(refused.status === 503 ? false : 'unknown');
  await cluster.start(...others);
  await cluster.waitHealthy();
  expect(await orders.put(order('unstored'))).toMatchObject({ status: 201 });
  stored.set('unstored', order('unstored'));
  await expectAllBilledOnce();
});

test('a stop of the order service under load: who was answered is stored, and it ends in order', async () => {
  const service = await OrderService.start(cluster.bootstrap);
  open.use(service);
  const before = stored.size;
  const placing = placeAll('stopped', 5000, service);
  await until(() => (stored.size > before + 200 ? true : undefined), { what: 'orders', timeoutMs: waitMs });
  expect(await service.stop()).toBe(0);
  await placing;
  expect(stored.size).toBeLessThan(before + 5000);
  await expectAllBilledOnce();
});

test.each(['order-service.ts', 'billing-service.ts'])(
  '%s is stopped at once while there is no cluster',
  async (script) => {
    const child = spawn(process.execPath, [fileURLToPath(new URL(`../../examples/${script}`, import.meta.url))], {
      // The discard port: nothing listens there.
      env: { ...process.env, SLUICE_BOOTSTRAP: '127.0.0.1:9', BILLING_DIRECTORY: billing.directory },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    const [line] = (await once(createInterface({ input: child.stderr }), 'line')) as [string];
    expect(line).toBe('looking for the cluster at 127.0.0.1:9');
    const startedMs = performance.now();
    child.kill('SIGTERM');
    expect(await once(child, 'exit')).toEqual([0, null]);
    expect(performance.now() - startedMs).toBeLessThan(5000);
  },
);
