/** Adapter: the HTTP/2 server of the fast lane. It binds nothing: the listener hands it the sockets that ask for it. */
import type {
  Http2Server,
  IncomingHttpHeaders,
  OutgoingHttpHeaders,
  ServerHttp2Session,
  ServerHttp2Stream,
} from 'node:http2';
import { createServer } from 'node:http2';
import type { Socket } from 'node:net';
import type { Acceptor, CallMetadata, Clock } from '@sluice/base';
import { grpcStatus } from './error-detail.ts';
import { fastServerOptions } from './fast-options.ts';
import { FastServerConnection } from './fast-server-connection.ts';
import { answerHeaders, FastServerStream } from './fast-server-stream.ts';
import { statusHeaders } from './fast-status.ts';
import { readTimeout } from './grpc-timeout.ts';
import type { PartialMessages } from './partial-messages.ts';
import type { ReceiveBudget } from './receive-budget.ts';

export interface FastServerOptions {
  readonly accept: Acceptor;
  readonly clock: Clock;
  readonly messageBytesMax: number;
  readonly methods: readonly string[];
  readonly partial: PartialMessages;
  readonly budget: ReceiveBudget;
}

export class FastServer {
  readonly #options: FastServerOptions;
  readonly #methods: ReadonlySet<string>;
  readonly #http2: Http2Server;
  readonly #connections = new Map<ServerHttp2Session, FastServerConnection>();
  #isDraining = false;

  constructor(options: FastServerOptions) {
    this.#options = options;
    this.#methods = new Set(options.methods);
    this.#http2 = createServer(fastServerOptions);
    this.#http2.on('session', (session) => this.#onSession(session));
    this.#http2.on('stream', (stream, headers) => this.#onStream(stream, headers));
    // A connection that breaks the protocol closes; there is nobody else to tell.
    this.#http2.on('sessionError', () => undefined);
  }

  take(socket: Socket): void {
    this.#http2.emit('connection', socket);
  }

  /** GOAWAY on every connection: each closes with its last call. */
  drain(): void {
    this.#isDraining = true;
    for (const session of this.#connections.keys()) session.close();
  }

  #onSession(session: ServerHttp2Session): void {
    const { budget, clock } = this.#options;
    const connection = new FastServerConnection(session, budget, clock);
    this.#connections.set(session, connection);
    session.once('close', () => this.#connections.delete(session));
    if (this.#isDraining) session.close();
  }

  #onStream(http2: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
    // One read may bring a call and what ends it, or its connection: it comes here failed, with its error still to come.
    http2.on('error', () => undefined);
    if (http2.destroyed || http2.closed) return;
    const connection =
      http2.session === undefined ? undefined : this.#connections.get(http2.session as ServerHttp2Session);
    if (connection === undefined) return void http2.destroy();
    connection.carry(http2);
    const contentType = headers['content-type'] ?? '';
    if (!contentType.startsWith('application/grpc')) return refuse(http2, { ':status': 415 });
    const method = headers[':path'] ?? '';
    if (!this.#methods.has(method)) {
      return refuseCall(http2, grpcStatus.UNIMPLEMENTED, `This server has no method ${method}.`);
    }
    const timeoutText = headers['grpc-timeout'];
    const timeoutMs = typeof timeoutText === 'string' ? readTimeout(timeoutText) : undefined;
    if (timeoutText !== undefined && timeoutMs === undefined) {
      return refuseCall(http2, grpcStatus.INTERNAL, `The grpc-timeout ${String(timeoutText)} is none.`);
    }
    const { accept, clock, messageBytesMax, partial } = this.#options;
    const encoding = headers['grpc-encoding'];
    const stream = new FastServerStream({
      http2,
      clock,
      messageBytesMax,
      partial,
      encoding: typeof encoding === 'string' ? encoding : 'identity',
      onGreeted: () => connection.greeted(),
    });
    const { remote } = connection;
    stream.receive(accept({ method, metadata: textMetadata(headers), remote, timeoutMs }, stream));
  }
}

function refuse(http2: ServerHttp2Stream, headers: OutgoingHttpHeaders): void {
  http2.respond(headers, { endStream: true });
}

function refuseCall(http2: ServerHttp2Stream, code: number, text: string): void {
  refuse(http2, { ...answerHeaders, ...statusHeaders({ code, text }) });
}

/** Between HTTP/2 and gRPC; the layer above is not concerned. */
const ownHeaders: ReadonlySet<string> = new Set([
  'accept-encoding',
  'content-type',
  'grpc-accept-encoding',
  'grpc-encoding',
  'grpc-timeout',
  'te',
]);

function textMetadata(headers: IncomingHttpHeaders): CallMetadata {
  const texts: Record<string, string> = {};
  for (const [key, value] of Object.entries(headers)) {
    if (key.startsWith(':') || key.endsWith('-bin') || ownHeaders.has(key)) continue;
    const first = Array.isArray(value) ? value[0] : value;
    if (typeof first === 'string') texts[key] = first;
  }
  return texts;
}
