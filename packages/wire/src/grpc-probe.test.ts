import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { probeTcp } from './grpc-probe.ts';
import { ManualClock } from './manual-clock.ts';

const open: (Server | Socket)[] = [];
afterEach(() => {
  for (const each of open.splice(0)) {
    if ('destroy' in each) each.destroy();
    else each.close();
  }
});

/** Resolves with its address. */
async function listen(onConnection: (socket: Socket) => void): Promise<string> {
  const server = createServer((socket) => {
    open.push(socket);
    onConnection(socket);
  });
  open.push(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

test('a connection that stands is open, and not before it stood for a while', async () => {
  const address = await listen(() => undefined);
  const clock = new ManualClock();
  expect(await clock.outcome(probeTcp(address, 10_000, clock), 10_000)).toBe('open');
  expect(clock.monotonicMs()).toBeGreaterThanOrEqual(100);
});

test('a connection that is reset at once was taken by a kernel for a process that is dying', async () => {
  const address = await listen((socket) => socket.resetAndDestroy());
  expect(await probeTcp(address, 250, new ManualClock())).toBe('refused');
});

test('a connection that is closed in order was taken by a live process', async () => {
  const address = await listen((socket) => socket.end());
  expect(await probeTcp(address, 250, new ManualClock())).toBe('open');
});

test('no address, or a name that nobody knows, is no answer', async () => {
  expect(await probeTcp('nowhere', 250, new ManualClock())).toBe('unanswered');
  expect(await probeTcp('nobody.invalid:1', 250, new ManualClock())).toBe('unanswered');
});
