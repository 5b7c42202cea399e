import { get as httpGet } from 'node:http';
import { afterEach, expect, test } from 'vitest';
import { startAdmin } from './admin.ts';
import type { Admin } from './admin.ts';
import { metricsTable } from './metrics-table.ts';
import { Metrics, processFigures } from './metrics.ts';

const readiness = { recovered: true, registered: false, unfenced: false, caughtUp: true, listenersOpen: true };
const opened: { close(): unknown }[] = [];
afterEach(async () => {
  Object.assign(readiness, { registered: false, unfenced: false });
  for (const resource of opened.splice(0)) await resource.close();
});

async function start(): Promise<Admin> {
  const metrics = new Metrics(() => ({
    sluice_log_pending_bytes: 42,
    sluice_log_syncs_total: 7,
    sluice_fences_total: { refused: 2, silence: 0 },
    ...processFigures(process.memoryUsage(), process.cpuUsage()),
  }));
  const admin = await startAdmin({ address: '127.0.0.1:0', readiness: () => ({ ...readiness }), metrics });
  metrics.observeStage('fsync', 3);
  opened.push(admin, metrics);
  return admin;
}

const get = async (admin: Admin, path: string, method = 'GET') => {
  const response = await fetch(`http://${admin.address}${path}`, { method });
  return { status: response.status, body: await response.text() };
};

test('live at once; ready and started when everything holds; started stays', async () => {
  const admin = await start();
  expect((await get(admin, '/livez')).status).toBe(200);
  expect((await get(admin, '/startupz')).status).toBe(503);
  expect(await get(admin, '/readyz?verbose')).toEqual({
    status: 503,
    body: 'ok recovered\nwaiting registered\nwaiting unfenced\nok caughtUp\nok listenersOpen\nnot ready\n',
  });
  readiness.recovered = false;
  expect(await get(admin, '/readyz')).toEqual({ status: 503, body: 'recovering\n' });
  Object.assign(readiness, { recovered: true, registered: true, unfenced: true });
  expect(await get(admin, '/readyz')).toEqual({ status: 200, body: 'ok\n' });
  readiness.unfenced = false;
  expect((await get(admin, '/readyz')).status).toBe(503);
  expect((await get(admin, '/startupz')).status).toBe(200);
});

test('metrics: every row of the table is exported, totals are totals however often they are scraped', async () => {
  const admin = await start();
  await get(admin, '/metrics');
  const { body } = await get(admin, '/metrics');
  for (const [name, row] of Object.entries(metricsTable)) {
    expect(body).toContain(`# HELP ${name} ${row.help}`);
    expect(body).toContain(`# TYPE ${name} ${row.type}`);
    expect(name.endsWith('_total')).toBe(row.type === 'counter');
  }
  expect(body).toContain('\nsluice_log_pending_bytes 42\n');
  expect(body).toContain('\nsluice_log_syncs_total 7\n');
  expect(body).toContain('\nsluice_fences_total{cause="refused"} 2\nsluice_fences_total{cause="silence"} 0\n');
  expect(body).toContain('sluice_stage_seconds_count{stage="fsync"} 1');
  expect(body).toMatch(/\nsluice_process_resident_bytes [1-9]/);
  expect(body).toContain('sluice_process_event_loop_delay_seconds{quantile="0.99"}');
});

test('other paths and methods are refused, malformed ones too', async () => {
  const admin = await start();
  const [host, port] = admin.address.split(':');
  const malformed = await new Promise<number | undefined>((resolve) => {
    httpGet({ host, port, path: '//' }, (response) => resolve(response.resume().statusCode));
  });
  expect(malformed).toBe(400);
  expect((await get(admin, '/')).status).toBe(404);
  expect((await get(admin, '/livez', 'POST')).status).toBe(405);
});

test('a taken address is a typed error that says what to do', async () => {
  const admin = await start();
  const metrics = new Metrics(() => ({}));
  opened.push(metrics);
  await expect(startAdmin({ address: admin.address, readiness: () => readiness, metrics })).rejects.toMatchObject({
    code: 'PORT_IN_USE',
    message: expect.stringContaining(admin.address) as unknown,
  });
});
