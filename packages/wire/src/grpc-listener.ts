/**
 * Adapter: one bound address. Sockets are ours; the first bytes of each decide whether HTTP/2 and gRPC on it are ours
 * too (the fast lane) or grpc-js's.
 */
import type { Server as NetServer, Socket } from 'node:net';
import { createServer } from 'node:net';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import type { Acceptor, Clock, Listening } from '@sluice/base';
import { parseAddress, SluiceError } from '@sluice/base';
import { ConnectionRoom } from './connection-room.ts';
import { FastServer } from './fast-server.ts';
import { deserializeChunks, serializeChunks } from './grpc-message.ts';
import { serverOptions } from './grpc-options.ts';
import { tuneServer } from './grpc-server-tuning.ts';
import type { Lane } from './lane-classifier.ts';
import { LaneClassifier } from './lane-classifier.ts';
import { PartialMessages } from './partial-messages.ts';
import type { ReceiveBudget } from './receive-budget.ts';
import { serveCall } from './grpc-server-stream.ts';

export interface GrpcListenOptions {
  readonly address: string;
  readonly accept: Acceptor;
  readonly clock: Clock;
  readonly messageBytesMax: number;
  readonly connectionsMax: number;
  /** Bytes of messages that have begun to arrive, over all connections. */
  readonly partialBytesMax: number;
  readonly receiveBudget: ReceiveBudget;
  /** A connection that has not said its hello after this time is closed. */
  readonly handshakeTimeoutMs: number;
  readonly methods: readonly string[];
}

/** Connections that have not said their hello. */
const unclassifiedMax = 256;

const lingerMs = 5_000;

export async function listenGrpc(options: GrpcListenOptions): Promise<Listening> {
  const { address, clock, handshakeTimeoutMs } = options;
  const partial = new PartialMessages(options.partialBytesMax);
  const room = new ConnectionRoom(options.connectionsMax);
  const counted = { ...options, accept: countCalls(options.accept, room) };
  const fast = new FastServer({ ...counted, partial, budget: options.receiveBudget });
  const slow = slowLane(counted, partial);
  const onLane = (socket: Socket, lane: Lane): void => {
    const remote = `${socket.remoteAddress}:${socket.remotePort}`;
    const leave = room.enter(remote, () => socket.destroy());
    if (leave === undefined) return void socket.destroy();
    socket.once('close', leave);
    boundLinger(socket, clock);
    if (lane === 'fast') fast.take(socket);
    else slow.take(socket);
  };
  const waitingMax = unclassifiedMax;
  const classifier = new LaneClassifier({ clock, helloTimeoutMs: handshakeTimeoutMs, waitingMax, onLane });
  const net = createServer({ noDelay: true }, (socket) => {
    // A socket that fails closes; there is nobody else to tell.
    socket.on('error', () => undefined);
    classifier.admit(socket);
  });
  const port = await bind(net, address);
  const host = address.slice(0, address.lastIndexOf(':'));
  const close = (graceMs: number): Promise<void> =>
    new Promise((resolve) => {
      // What is still open after the grace is cut.
      const grace = clock.setTimer(graceMs, () => room.closeAll());
      net.close(() => {
        grace.cancel();
        resolve();
      });
      classifier.close();
      fast.drain();
      slow.drain();
    });
  return { address: `${host}:${port}`, close };
}

function countCalls(accept: Acceptor, room: ConnectionRoom): Acceptor {
  return (call, stream) => {
    room.onCall(call.remote);
    const handlers = accept(call, stream);
    return {
      onMessage: (message) => handlers.onMessage(message),
      onEnd: () => handlers.onEnd(),
      onClose: (error) => {
        room.onCallOver(call.remote);
        handlers.onClose(error);
      },
    };
  };
}

/** The other end may never close its half of a socket that this side has ended. */
function boundLinger(socket: Socket, clock: Clock): void {
  socket.once('finish', () => {
    const linger = clock.setTimer(lingerMs, () => socket.destroy());
    socket.once('close', () => linger.cancel());
  });
}

interface SlowLane {
  take(socket: Socket): void;
  /** GOAWAY on every connection: each closes with its last call. */
  drain(): void;
}

function slowLane({ accept, clock, messageBytesMax, methods }: GrpcListenOptions, partial: PartialMessages): SlowLane {
  const server = new Server(serverOptions(messageBytesMax));
  for (const method of methods) {
    const serve = (call: Parameters<typeof serveCall>[0]): void => serveCall(call, accept, clock);
    server.register(method, serve, serializeChunks, deserializeChunks, 'bidi');
  }
  const credentials = ServerCredentials.createInsecure();
  const injector = tuneServer(server, partial, () => server.createConnectionInjector(credentials));
  return {
    take: (socket) => injector.injectConnection(socket),
    drain: () => server.tryShutdown(() => undefined),
  };
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
