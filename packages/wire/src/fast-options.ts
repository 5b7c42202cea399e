/** Adapter: what `node:http2` is told, once for all connections and listeners of the fast lane. */
import type { SecureClientSessionOptions, ServerOptions } from 'node:http2';
import { laneSettingId, laneVersion } from './fast-lane-hello.ts';
import { clientWindowBytes, headerListBytesMax, headerPairsMax, streamsPerConnectionMax } from './grpc-options.ts';

/**
 * What a connection may have under way to a server that has taken its hello, for a stream and in all. Until then it is
 * the 64 KiB that HTTP/2 starts with.
 * On loopback 1, 4 and 16 MiB measure the same; 4 MiB is 1 GB/s at a round trip of 4 ms, and 64 connections of it are the
 * default receive budget.
 */
export const grownStreamWindowBytes = 4 * 1_048_576;
export const grownConnectionWindowBytes = 4 * 1_048_576;

const announcement = { customSettings: { [laneSettingId]: laneVersion } };

/**
 * In MiB; counts streams, headers and what waits to be sent. Node's 10 would fail a connection with ten full answers
 * under way; this has room for all calls that the dispatcher gives one.
 */
const serverSessionMemory = 1_024;

/** Frames that cost the other side nothing and us work. */
const abuseLimits = {
  maxOutstandingPings: 10,
  maxOutstandingSettings: 10,
  maxSessionInvalidFrames: 100,
  maxSessionRejectedStreams: 100,
};

export const fastServerOptions: ServerOptions = {
  ...abuseLimits,
  maxHeaderListPairs: headerPairsMax,
  maxSessionMemory: serverSessionMemory,
  remoteCustomSettings: [laneSettingId],
  // A call that is cancelled is reset; more than these at once, and then a second, end the connection.
  streamResetBurst: 1_000,
  streamResetRate: 33,
  settings: {
    ...announcement,
    maxConcurrentStreams: streamsPerConnectionMax,
    maxHeaderListSize: headerListBytesMax,
  },
};

export const fastClientOptions: SecureClientSessionOptions = {
  ...abuseLimits,
  maxSessionMemory: Number.MAX_SAFE_INTEGER,
  maxReservedRemoteStreams: 0,
  remoteCustomSettings: [laneSettingId],
  settings: { ...announcement, initialWindowSize: clientWindowBytes, enablePush: false },
};
