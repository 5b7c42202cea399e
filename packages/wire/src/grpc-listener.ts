/** Adapter: one bound address; sockets are ours, HTTP/2 and gRPC on them are grpc-js's. */
import type { Server as NetServer, Socket } from 'node:net';
import { createServer } from 'node:net';
import type { ConnectionInjector } from '@grpc/grpc-js';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import type { Acceptor, Clock, Listening } from '@sluice/base';
import { parseAddress, SluiceError } from '@sluice/base';
import { deserializeChunks, serializeChunks } from './grpc-message.ts';
import { serverOptions } from './grpc-options.ts';
import { tuneServer } from './grpc-server-tuning.ts';
import { PartialMessages } from './partial-messages.ts';
import { serveCall } from './grpc-server-stream.ts';

export interface GrpcListenOptions {
  readonly address: string;
  readonly accept: Acceptor;
  readonly clock: Clock;
  readonly messageBytesMax: number;
  readonly connectionsMax: number;
  /** Bytes of messages that have begun to arrive, over all connections. */
  readonly partialBytesMax: number;
  /** A connection that has not spoken HTTP/2 after this time is closed. */
  readonly handshakeTimeoutMs: number;
  readonly methods: readonly string[];
}

/** Preface and an empty SETTINGS frame: the least that an HTTP/2 client begins with. */
const handshakeBytesMin = 24 + 9;

export async function listenGrpc(options: GrpcListenOptions): Promise<Listening> {
  const { address, accept, clock, messageBytesMax, methods } = options;
  const server = new Server(serverOptions(messageBytesMax));
  for (const method of methods) {
    const serve = (call: Parameters<typeof serveCall>[0]): void => serveCall(call, accept, clock);
    server.register(method, serve, serializeChunks, deserializeChunks, 'bidi');
  }
  const partial = new PartialMessages(options.partialBytesMax);
  const credentials = ServerCredentials.createInsecure();
  const injector = tuneServer(server, partial, () => server.createConnectionInjector(credentials));
  const sockets = new Set<Socket>();
  const net = createServer({ noDelay: true }, (socket) => admit(socket, sockets, injector, options));
  const port = await bind(net, address);
  const host = address.slice(0, address.lastIndexOf(':'));
  return { address: `${host}:${port}`, close: (graceMs) => drain({ net, server, sockets, clock, graceMs }) };
}

function admit(socket: Socket, sockets: Set<Socket>, injector: ConnectionInjector, options: GrpcListenOptions): void {
  const { clock, connectionsMax, handshakeTimeoutMs } = options;
  // A socket that fails closes; there is nobody else to tell.
  socket.on('error', () => undefined);
  if (sockets.size >= connectionsMax) {
    socket.destroy();
    return;
  }
  sockets.add(socket);
  const handshake = clock.setTimer(handshakeTimeoutMs, () => {
    if (socket.bytesRead < handshakeBytesMin) socket.destroy();
  });
  socket.on('close', () => {
    handshake.cancel();
    sockets.delete(socket);
  });
  injector.injectConnection(socket);
}

function bind(net: NetServer, address: string): Promise<number> {
  const parsed = parseAddress(address);
  if (parsed === undefined) {
    return Promise.reject(new SluiceError('INVALID_CONFIG', { message: `${address} is not host:port.` }));
  }
  return new Promise((resolve, reject) => {
    net.on('error', (cause: NodeJS.ErrnoException) => reject(bindError(address, cause)));
    net.listen(parsed.port, parsed.host, () => {
      const bound = net.address();
      resolve(typeof bound === 'object' && bound !== null ? bound.port : parsed.port);
    });
  });
}

function bindError(address: string, cause: NodeJS.ErrnoException): SluiceError {
  const details = { address, systemCode: cause.code };
  if (cause.code === 'EADDRINUSE') {
    const message = `${address} is taken by another process; choose another port.`;
    return new SluiceError('PORT_IN_USE', { message, details, cause });
  }
  return new SluiceError('INVALID_CONFIG', {
    message: `Cannot listen on ${address}: ${cause.message}.`,
    details,
    cause,
  });
}

interface Draining {
  readonly net: NetServer;
  readonly server: Server;
  readonly sockets: ReadonlySet<Socket>;
  readonly clock: Clock;
  readonly graceMs: number;
}

/** GOAWAY on every connection; what is still open after the grace is cut. */
function drain({ net, server, sockets, clock, graceMs }: Draining): Promise<void> {
  return new Promise((resolve) => {
    const grace = clock.setTimer(graceMs, () => {
      for (const socket of sockets) socket.destroy();
    });
    server.tryShutdown(() => undefined);
    net.close(() => {
      grace.cancel();
      resolve();
    });
    // A connection that never spoke HTTP/2 has no session to say goodbye to.
    for (const socket of sockets) if (socket.bytesRead < handshakeBytesMin) socket.destroy();
  });
}
