/**
 * Adapter: the admin listener, HTTP. `/livez` answers as long as the event loop turns, `/startupz` once the node was
 * ready for the first time, `/readyz` while it is (`?verbose` says what is missing), `/metrics` in Prometheus text.
 */
import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { parseAddress, SluiceError } from '@sluice/base';
import { isReady, readinessLines } from './health.ts';
import type { Readiness } from './health.ts';

export interface AdminOptions {
  readonly address: string;
  readonly readiness: () => Readiness;
  readonly metrics: { readonly contentType: string; scrape(): Promise<string> };
}

export interface Admin {
  /** The bound address. */
  readonly address: string;
  close(): Promise<void>;
}

interface Answer {
  readonly status: number;
  readonly body: string;
  readonly type?: string;
}

/** More sockets than a few scrapers and probes is a mistake or an attack. */
const connectionsMax = 64;

/** Rejects with `PORT_IN_USE` when the address is taken. */
export async function startAdmin(options: AdminOptions): Promise<Admin> {
  const answer = answers(options);
  const server = createServer(
    { headersTimeout: 5000, requestTimeout: 10_000, connectionsCheckingInterval: 1000 },
    (request, response) => {
      answer(request).then(
        (given) => respond(response, given),
        (error: unknown) => respond(response, { status: 500, body: `${String(error)}\n` }),
      );
    },
  );
  server.maxConnections = connectionsMax;
  const { host, port } = parseAddress(options.address) ?? { host: '127.0.0.1', port: 0 };
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once('error', (error: NodeJS.ErrnoException) => reject(listenError(options.address, error)));
  server.listen(port, host, resolve);
  await promise;
  const bound = server.address();
  return {
    address: typeof bound === 'object' && bound !== null ? `${host}:${bound.port}` : options.address,
    close: () =>
      new Promise((closed) => {
        server.close(() => closed());
        server.closeAllConnections();
      }),
  };
}

function answers({ readiness, metrics }: AdminOptions): (request: IncomingMessage) => Promise<Answer> {
  let started = false;
  const look = (): Readiness => {
    const now = readiness();
    started ||= isReady(now);
    return now;
  };
  return async (request) => {
    const url = URL.parse(request.url ?? '/', 'http://admin');
    if (url === null) return { status: 400, body: 'malformed path\n' };
    const { pathname, searchParams } = url;
    if (request.method !== 'GET' && request.method !== 'HEAD') return { status: 405, body: 'GET only\n' };
    if (pathname === '/livez') return { status: 200, body: 'ok\n' };
    if (pathname === '/startupz') {
      look();
      return started ? { status: 200, body: 'ok\n' } : { status: 503, body: 'starting\n' };
    }
    if (pathname === '/readyz') {
      const now = look();
      const ready = isReady(now);
      const word = ready ? 'ok\n' : now.recovered ? 'not ready\n' : 'recovering\n';
      return { status: ready ? 200 : 503, body: searchParams.has('verbose') ? readinessLines(now) + word : word };
    }
    if (pathname === '/metrics') return { status: 200, body: await metrics.scrape(), type: metrics.contentType };
    return { status: 404, body: 'no such page; there are /livez /readyz /startupz /metrics\n' };
  };
}

function respond(response: ServerResponse, { status, body, type = 'text/plain; charset=utf-8' }: Answer): void {
  response.writeHead(status, { 'content-type': type, 'cache-control': 'no-store' });
  response.end(body);
}

function listenError(address: string, error: NodeJS.ErrnoException): SluiceError {
  if (error.code === 'EADDRINUSE') {
    return new SluiceError('PORT_IN_USE', {
      message: `The admin address ${address} is taken by another process; stop it or set listeners.admin.bind to another port.`,
      cause: error,
    });
  }
  return new SluiceError('INVALID_CONFIG', {
    message: `The admin address ${address} cannot be listened on: ${error.message}; set listeners.admin.bind to an address of this machine.`,
    cause: error,
  });
}
