/** `deploy/health-check.mjs` against servers that answer as a node does, and as it should not. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { RequestListener, Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { afterEach, expect, test } from 'vitest';
import { root } from './repository-files.ts';

const servers: Server[] = [];

afterEach(() => {
  for (const server of servers.splice(0)) {
    server.close();
    server.closeAllConnections();
  }
});

async function listen(listener: RequestListener): Promise<number> {
  const server = createServer(listener).listen(0, '127.0.0.1');
  servers.push(server);
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

async function check(bind: string): Promise<{ readonly code: number | null; readonly said: string }> {
  const child = spawn(process.execPath, [path.join(root, 'deploy', 'health-check.mjs')], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { SLUICE_LISTENERS_ADMIN_BIND: bind },
  });
  const said = await text(child.stdout);
  if (child.exitCode === null) await once(child, 'exit');
  return { code: child.exitCode, said };
}

test('a node that is ready is healthy, also when it listens on all addresses', async () => {
  const port = await listen((request, response) =>
    response.writeHead(request.url === '/readyz?verbose' ? 200 : 404).end(),
  );
  expect(await check(`0.0.0.0:${port}`)).toEqual({ code: 0, said: '' });
});

test('a node that is not ready says what it waits for', async () => {
  const port = await listen((_, response) =>
    response.writeHead(503).end('ok registered\nwaiting unfenced\nwaiting caughtUp\nok listenersOpen\nnot ready\n'),
  );
  expect(await check(`127.0.0.1:${port}`)).toEqual({ code: 1, said: 'not ready: waiting for unfenced, caughtUp\n' });
});

test('another answer is not healthy', async () => {
  const port = await listen((_, response) => response.writeHead(404).end('no such page'));
  expect(await check(`127.0.0.1:${port}`)).toEqual({ code: 1, said: 'not ready: the answer was 404\n' });
});

test('nobody listens', async () => {
  const port = await listen(() => undefined);
  await new Promise((closed) => servers.splice(0)[0]?.close(closed));
  const { code, said } = await check(`127.0.0.1:${port}`);
  expect(code).toBe(1);
  expect(said).toMatch(/^not ready: 127.0.0.1:\d+: .*ECONNREFUSED.*\n$/);
});

test('a node that does not answer is not waited for', async () => {
  const port = await listen(() => undefined);
  const said = `not ready: 127.0.0.1:${port} did not answer within 3000 ms\n`;
  expect(await check(`127.0.0.1:${port}`)).toEqual({ code: 1, said });
});
