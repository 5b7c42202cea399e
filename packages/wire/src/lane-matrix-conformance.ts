/**
 * The same answers on both lanes: every refusal and every malformed call, made by raw HTTP/2 clients of the same
 * listener, ends with the same gRPC status and the same error of ours, or none, whichever lane it came by.
 */
import type { ClientHttp2Session, ClientHttp2Stream } from 'node:http2';
import { gzipSync } from 'node:zlib';
import type { Listening, Transport } from '@sluice/base';
import { silentLogger, SluiceError } from '@sluice/base';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Dispatcher } from './dispatcher.ts';
import { defaultLimits } from './dispatcher-limits.ts';
import { grpcStatus } from './error-detail.ts';
import { methods } from './methods.ts';
import type { Answer } from './raw-http2.testing.ts';
import { frame, lanes, post, RawClients } from './raw-http2.testing.ts';
import { SystemClock } from './system-clock.ts';

const clock = new SystemClock();
const messageBytesMax = 1_048_576;
const { initProducer, listOffsets, produce } = methods.broker;
const { createTopic, deleteTopic } = methods.admin;
const nothing = new Uint8Array();
/** Field 15, integer 0, again and again: what a reader of any message skips. */
const skipped = (bytes: number): Buffer => Buffer.alloc(bytes, Buffer.from([0x78, 0]));

interface Row {
  readonly name: string;
  readonly path?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
  /** NaN: the call ends without one. */
  readonly status: number;
  readonly code?: string;
}

const framing: readonly Row[] = [
  { name: 'an honest call', status: grpcStatus.OK },
  { name: 'no message at all', body: nothing, status: grpcStatus.INVALID_ARGUMENT, code: 'INVALID_REQUEST' },
  {
    name: 'a message cut short by the end',
    body: frame(0, Buffer.alloc(10), 11),
    status: grpcStatus.INVALID_ARGUMENT,
    code: 'INVALID_REQUEST',
  },
  {
    name: 'a prefix cut short by the end',
    body: Buffer.from([0, 0, 0]),
    status: grpcStatus.INVALID_ARGUMENT,
    code: 'INVALID_REQUEST',
  },
  {
    name: 'two messages',
    body: Buffer.concat([frame(0, nothing), frame(0, nothing)]),
    status: grpcStatus.INVALID_ARGUMENT,
    code: 'INVALID_REQUEST',
  },
  {
    name: 'bytes that are no such message',
    body: frame(0, Buffer.from([255, 255])),
    status: grpcStatus.INVALID_ARGUMENT,
    code: 'INVALID_REQUEST',
  },
  {
    name: 'a prefix that claims 4 GiB',
    body: frame(0, Buffer.alloc(100), 0xffff_ffff),
    status: grpcStatus.RESOURCE_EXHAUSTED,
  },
  { name: 'a message as large as it may be', body: frame(0, skipped(messageBytesMax)), status: grpcStatus.OK },
  {
    name: 'a message one byte over the limit',
    body: frame(0, Buffer.alloc(messageBytesMax + 1)),
    status: grpcStatus.RESOURCE_EXHAUSTED,
  },
];

const compression: readonly Row[] = [
  {
    name: 'a compressed flag without a compression',
    body: frame(1, Buffer.from([255, 255])),
    status: grpcStatus.INVALID_ARGUMENT,
    code: 'INVALID_REQUEST',
  },
  {
    name: 'a flag that is none',
    body: frame(2, Buffer.from([255, 255])),
    headers: { 'grpc-encoding': 'gzip' },
    status: grpcStatus.INVALID_ARGUMENT,
    code: 'INVALID_REQUEST',
  },
  {
    name: 'an unknown compression',
    body: frame(1, Buffer.from([1])),
    headers: { 'grpc-encoding': 'snappy' },
    status: grpcStatus.UNIMPLEMENTED,
  },
  {
    name: 'gzip',
    body: frame(1, gzipSync(skipped(10_000))),
    headers: { 'grpc-encoding': 'gzip' },
    status: grpcStatus.OK,
  },
  {
    name: 'gzip of something that is no such message',
    body: frame(1, gzipSync(Buffer.from([255, 255]))),
    headers: { 'grpc-encoding': 'gzip' },
    status: grpcStatus.INVALID_ARGUMENT,
    code: 'INVALID_REQUEST',
  },
  {
    name: 'damaged gzip',
    body: frame(1, Buffer.from([1, 2, 3])),
    headers: { 'grpc-encoding': 'gzip' },
    status: grpcStatus.INTERNAL,
  },
  {
    name: 'a zip bomb',
    body: frame(1, gzipSync(Buffer.alloc(64 * 1_048_576))),
    headers: { 'grpc-encoding': 'gzip' },
    status: grpcStatus.RESOURCE_EXHAUSTED,
  },
];

const routing: readonly Row[] = [
  { name: 'an unknown path', path: '/etc/passwd', status: grpcStatus.UNIMPLEMENTED },
  { name: 'an unknown method of a known service', path: '/sluice.v1.Broker/Nope', status: grpcStatus.UNIMPLEMENTED },
  {
    name: 'a method of the other face',
    path: methods.birth.probe.path,
    status: grpcStatus.UNIMPLEMENTED,
    code: 'UNKNOWN_METHOD',
  },
  {
    name: 'a method that nobody serves',
    path: listOffsets.path,
    status: grpcStatus.UNIMPLEMENTED,
    code: 'UNKNOWN_METHOD',
  },
  {
    name: 'a method that is not allowed',
    path: deleteTopic.path,
    status: grpcStatus.PERMISSION_DENIED,
    code: 'PERMISSION_DENIED',
  },
  {
    name: 'a refusal of the quota hook',
    headers: { 'sluice-client-id': 'greedy' },
    status: grpcStatus.RESOURCE_EXHAUSTED,
    code: 'LIMIT_EXCEEDED',
  },
  {
    name: 'a refusal of the handler',
    path: createTopic.path,
    status: grpcStatus.ALREADY_EXISTS,
    code: 'TOPIC_EXISTS',
  },
  {
    name: 'a stream that its handler closes at the first message',
    path: produce.path,
    status: grpcStatus.UNAVAILABLE,
    code: 'SHUTTING_DOWN',
  },
  {
    name: 'a stream message that is none',
    path: produce.path,
    body: frame(0, Buffer.from([255, 255])),
    status: grpcStatus.INVALID_ARGUMENT,
    code: 'INVALID_REQUEST',
  },
  { name: 'a timeout that is none', headers: { 'grpc-timeout': 'soon' }, status: grpcStatus.INTERNAL },
  { name: 'a timeout that is long enough', headers: { 'grpc-timeout': '1H' }, status: grpcStatus.OK },
  { name: 'another verb of HTTP', headers: { ':method': 'PUT' }, status: grpcStatus.OK },
  { name: 'another content type', headers: { 'content-type': 'application/json' }, status: Number.NaN },
  { name: 'no content type', headers: { 'content-type': '' }, status: Number.NaN },
  {
    name: 'more headers than are taken',
    headers: Object.fromEntries(Array.from({ length: 70 }, (_, at) => [`x-${at}`, 'a'])),
    status: Number.NaN,
  },
  { name: 'a header list over the limit', headers: { 'x-long': 'a'.repeat(40_000) }, status: Number.NaN },
];

const timeouts: readonly (readonly [text: string, ms: number])[] = [
  ['90000000u', 90_000],
  ['50000m', 50_000],
  ['60S', 60_000],
  ['60M', 3_600_000],
  ['10H', 36_000_000],
];

/** What of an answer must be the same on both lanes; sentences only where they are ours. */
const compared = ({ grpcStatus: status, code, headers }: Answer) => ({
  status,
  code,
  http: headers[':status'],
  text: code === undefined ? undefined : headers['grpc-message'],
});

/** What the layer above was told of the streams. */
interface Heard {
  readonly closes: (SluiceError | undefined)[];
  readonly deadlinesMs: number[];
}

function openProduce(session: ClientHttp2Session, headers: Record<string, string> = {}): ClientHttp2Stream {
  const own = { ':path': produce.path, ':method': 'POST', 'content-type': 'application/grpc' };
  const stream = session.request({ ...own, ...headers });
  stream.on('error', () => undefined);
  return stream;
}

/** `make` gives a transport whose listener has both lanes. */
export function laneMatrix(name: string, make: () => Transport): void {
  describe(name, () => {
    let transport: Transport;
    let listening: Listening;
    let clients: RawClients;
    let dispatcher: Dispatcher;
    let heard: Heard;
    beforeEach(async () => {
      heard = { closes: [], deadlinesMs: [] };
      transport = make();
      dispatcher = makeDispatcher(heard);
      listening = await transport.listen('127.0.0.1:0', dispatcher.accept, { messageBytesMax });
      clients = new RawClients(listening.address);
    });
    afterEach(async () => {
      clients.destroy();
      while (dispatcher.openCalls > 0) await new Promise(setImmediate);
      transport.close();
      await listening.close(1_000);
    });

    test.each([...framing, ...compression, ...routing])('$name', async (row) => {
      const answers = [];
      for (const lane of lanes) {
        const session = await clients.session(lane);
        const headers = { ':path': row.path ?? initProducer.path, ...row.headers };
        answers.push(compared(await post(session, headers, row.body ?? frame(0, nothing))));
      }
      expect(answers[0]).toEqual(answers[1]);
      expect([answers[0]?.status, answers[0]?.code]).toEqual([row.status, row.code]);
    });

    test.each(['1n', '1u', '50m'])('a stream is over when its timeout of %s is', async (timeout) => {
      for (const lane of lanes) {
        const stream = openProduce(await clients.session(lane), { 'grpc-timeout': timeout });
        const status = await new Promise((resolve) => stream.on('response', (seen) => resolve(seen['grpc-status'])));
        expect([lane, status]).toEqual([lane, String(grpcStatus.DEADLINE_EXCEEDED)]);
      }
    });

    test.each(timeouts)('a timeout of %s is %i ms', async (timeout, ms) => {
      for (const lane of lanes) {
        const openedMs = clock.monotonicMs();
        openProduce(await clients.session(lane), { 'grpc-timeout': timeout });
        while (heard.deadlinesMs.length === 0) await new Promise(setImmediate);
        const [deadlineMs = 0] = heard.deadlinesMs.splice(0);
        expect(deadlineMs - openedMs).toBeGreaterThan(ms - 5);
        expect(deadlineMs - clock.monotonicMs()).toBeLessThanOrEqual(ms);
      }
    });

    test('a call that is reset is heard above as cancelled, and a broken connection too', async () => {
      for (const lane of lanes) {
        const session = await clients.session(lane);
        const streams = [openProduce(session), openProduce(session)];
        while (dispatcher.openCalls < 2) await new Promise(setImmediate);
        streams[0]?.close(8);
        while (dispatcher.openCalls > 1) await new Promise(setImmediate);
        session.destroy();
        while (dispatcher.openCalls > 0) await new Promise(setImmediate);
        expect([lane, ...heard.closes.splice(0).map((error) => error?.code)]).toEqual([lane, 'CANCELLED', 'CANCELLED']);
      }
    });

    test('what a connection is allowed is told to its caller', async () => {
      const seen = [];
      for (const lane of lanes) {
        const session = await clients.session(lane);
        seen.push(session.remoteSettings.maxConcurrentStreams);
        seen.push(session.remoteSettings.maxHeaderListSize);
      }
      expect(seen).toEqual([512, 16_384, 512, 16_384]);
    });
  });
}

function makeDispatcher(heard: Heard): Dispatcher {
  const dispatcher = new Dispatcher({
    face: 'client',
    listener: 'test',
    limits: { ...defaultLimits.client, messageBytesMax },
    logger: silentLogger,
    clock,
    authorize: (_principal, operation) => operation !== 'topic:delete',
    admit: (call) => (call.clientId === 'greedy' ? new SluiceError('LIMIT_EXCEEDED') : undefined),
  });
  dispatcher.unary(initProducer, async () => ({ producerId: 1 }));
  dispatcher.unary(deleteTopic, async () => ({}));
  dispatcher.unary(createTopic, async () => {
    throw new SluiceError('TOPIC_EXISTS', { message: 'There is a topic “ä”, 100 % sure.' });
  });
  dispatcher.stream(produce, (call, sender) => {
    if (call.deadlineMs !== undefined) heard.deadlinesMs.push(call.deadlineMs);
    return {
      onMessage: () => sender.close(new SluiceError('SHUTTING_DOWN')),
      onClose: (error) => heard.closes.push(error),
    };
  });
  return dispatcher;
}
