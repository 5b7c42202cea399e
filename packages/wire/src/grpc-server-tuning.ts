/**
 * Adapter: HTTP/2 settings that grpc-js does not expose for servers. Its server ignores `grpc-node.flow_control_window`
 * and keeps the 64 KiB default, which caps one connection at window / round-trip time (131 MB/s at 0.5 ms). So this
 * file, and no other, reaches into two private fields, and throws at start-up when an update of grpc-js moves them.
 */
import type { Http2Server, ServerHttp2Session, ServerHttp2Stream, ServerOptions } from 'node:http2';
import { constants } from 'node:http2';
import type { Server } from '@grpc/grpc-js';
import { invariant } from '@sluice/base';
import { headerListBytesMax, headerPairsMax } from './grpc-options.ts';
import type { PartialMessages } from './partial-messages.ts';

/** Unread bytes that one call, and one connection, may have under way to us. */
export const serverStreamWindowBytes = 1_048_576;
export const serverConnectionWindowBytes = 4 * 1_048_576;

interface Internals {
  commonServerOptions?: ServerOptions;
  readonly http2Servers?: ReadonlyMap<Http2Server, unknown>;
}

/** Runs `bind`, which makes the HTTP/2 server, with our settings; `partial` bounds what its streams collect. */
export function tuneServer<T>(server: Server, partial: PartialMessages, bind: () => T): T {
  const internals = server as unknown as Internals;
  const options = internals.commonServerOptions;
  invariant(options !== undefined && internals.http2Servers?.size === 0, 'grpc-js has moved its HTTP/2 options');
  internals.commonServerOptions = {
    ...options,
    maxHeaderListPairs: headerPairsMax,
    settings: {
      ...options.settings,
      initialWindowSize: serverStreamWindowBytes,
      maxHeaderListSize: headerListBytesMax,
    },
  };
  const bound = bind();
  const [http2Server] = internals.http2Servers.keys();
  invariant(http2Server !== undefined, 'grpc-js has moved its HTTP/2 servers');
  serveLive(http2Server, (stream) => limitPartial(stream, partial));
  http2Server.on('session', (session: ServerHttp2Session) => session.setLocalWindowSize(serverConnectionWindowBytes));
  return bound;
}

/**
 * One read may bring a call and what ends it, or its connection. grpc-js answers such a call when it is none of its
 * methods, and that throws where nobody catches it: it would end the process.
 */
function serveLive(http2Server: Http2Server, onLive: (stream: ServerHttp2Stream) => void): void {
  const listeners = http2Server.listeners('stream');
  invariant(listeners.length > 0, 'grpc-js has moved its stream listener');
  http2Server.removeAllListeners('stream');
  http2Server.on('stream', (stream: ServerHttp2Stream, ...rest: readonly unknown[]) => {
    stream.on('error', () => undefined);
    if (stream.destroyed || stream.closed) return;
    for (const listener of listeners) listener.call(http2Server, stream, ...rest);
    onLive(stream);
  });
}

/** Runs after grpc-js has begun to read the stream, and reads along. */
function limitPartial(stream: ServerHttp2Stream, partial: PartialMessages): void {
  const message = partial.open();
  stream.on('data', (bytes: Buffer) => {
    if (!message.onBytes(bytes)) stream.close(constants.NGHTTP2_ENHANCE_YOUR_CALM);
  });
  stream.on('close', () => message.close());
}
