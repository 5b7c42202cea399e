/** Adapter: limits that hold on both lanes, and what grpc-js is told, once for all channels and listeners. */
import type { ChannelOptions, ServerOptions } from '@grpc/grpc-js';

/** Unread bytes that the other side may have under way, for a stream and for its whole connection. */
export const clientWindowBytes = 8 * 1_048_576;

/** Dead connections are found by the kernel's answer or, when there is none, by these. */
export const keepaliveTimeMs = 10_000;
export const keepaliveTimeoutMs = 10_000;

/** The client's is shorter, so that a call never meets a connection that the server is closing for idleness. */
export const clientIdleMs = 5 * 60_000;
export const serverIdleMs = 10 * 60_000;

export const streamsPerConnectionMax = 512;
export const headerListBytesMax = 16_384;
export const headerPairsMax = 64;

export const channelOptions = (messageBytesMax: number): ChannelOptions => ({
  // Else channels with equal options share one connection, and a long push delays a heartbeat.
  'grpc.use_local_subchannel_pool': 1,
  // Retries are the caller's; with a retry buffer, writes would seem done before they are.
  'grpc.enable_retries': 0,
  'grpc.per_rpc_retry_buffer_size': 0,
  'grpc.enable_channelz': 0,
  'grpc.enable_http_proxy': 0,
  'grpc.service_config_disable_resolution': 1,
  'grpc.max_receive_message_length': messageBytesMax,
  'grpc.max_send_message_length': -1,
  'grpc.keepalive_time_ms': keepaliveTimeMs,
  'grpc.keepalive_timeout_ms': keepaliveTimeoutMs,
  'grpc.keepalive_permit_without_calls': 1,
  'grpc.client_idle_timeout_ms': clientIdleMs,
  'grpc-node.flow_control_window': clientWindowBytes,
});

export const serverOptions = (messageBytesMax: number): ServerOptions => ({
  'grpc.enable_channelz': 0,
  'grpc.max_receive_message_length': messageBytesMax,
  'grpc.max_send_message_length': -1,
  'grpc.max_concurrent_streams': streamsPerConnectionMax,
  'grpc.max_connection_idle_ms': serverIdleMs,
  'grpc.keepalive_time_ms': keepaliveTimeMs,
  'grpc.keepalive_timeout_ms': keepaliveTimeoutMs,
});
