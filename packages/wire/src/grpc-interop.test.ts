/** Stock gRPC, with nothing of ours but the .proto files, on either side of our transport. */
import type { handleUnaryCall, ServiceClientConstructor, ServiceDefinition, UntypedHandleCall } from '@grpc/grpc-js';
import { Client, credentials, loadPackageDefinition, Metadata, Server, ServerCredentials, status } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { silentLogger, SluiceError } from '@sluice/base';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Dispatcher } from './dispatcher.ts';
import { defaultLimits } from './dispatcher-limits.ts';
import { decodeErrorTrailer } from './error-detail.ts';
import { GrpcTransport } from './grpc-transport.ts';
import { methods } from './methods.ts';
import { protoFiles, protoOptions } from './proto-codec.ts';
import { RpcClient } from './rpc-client.ts';
import { SystemClock } from './system-clock.ts';

const clock = new SystemClock();
const packages = loadPackageDefinition(loadSync([...protoFiles], protoOptions)) as unknown as {
  sluice: { v1: { Broker: ServiceClientConstructor; Admin: ServiceClientConstructor } };
};
const { Admin, Broker } = packages.sluice.v1;
type Stub = InstanceType<ServiceClientConstructor>;

let transport: GrpcTransport;
let closing: (() => Promise<void> | void)[];
beforeEach(() => {
  transport = new GrpcTransport({ clock, messageBytesMax: 8 * 1_048_576 });
  closing = [];
});
afterEach(async () => {
  transport.close();
  for (const close of closing) await close();
});

async function serve(
  register: (dispatcher: Dispatcher) => void,
): Promise<{ address: string; admin: Stub; broker: Stub }> {
  const limits = defaultLimits.client;
  const authorize = (): boolean => true;
  const dispatcher = new Dispatcher({
    face: 'client',
    listener: 'test',
    limits,
    logger: silentLogger,
    clock,
    authorize,
  });
  register(dispatcher);
  const listening = await transport.listen('127.0.0.1:0', dispatcher.accept);
  const admin = new Admin(listening.address, credentials.createInsecure());
  const broker = new Broker(listening.address, credentials.createInsecure());
  closing.push(() => {
    admin.close();
    broker.close();
    return listening.close(0);
  });
  return { address: listening.address, admin, broker };
}

interface StubResult {
  readonly error: { code: number; details: string; metadata: Metadata } | null;
  readonly response: unknown;
}

const callUnary = (stub: Stub, name: string, request: object, metadata = new Metadata()): Promise<StubResult> =>
  new Promise((resolve) => {
    const method = stub[name] as (...parts: unknown[]) => void;
    const done = (error: StubResult['error'], response: unknown): void => resolve({ error, response });
    method.call(stub, request, metadata, { deadline: Date.now() + 5_000 }, done);
  });

test('a stock client calls a unary method, and sees our errors as status, sentence and trailer', async () => {
  const { admin } = await serve((dispatcher) => {
    dispatcher.unary(methods.admin.deleteTopic, async ({ name }, call) => {
      if (name === 'gone') throw new SluiceError('UNKNOWN_TOPIC', { message: `No topic ${name} – create it.` });
      return { topicId: `${name} of ${call.clientId}` };
    });
  });
  const metadata = new Metadata();
  metadata.set('sluice-client-id', 'stock');
  const ok = await callUnary(admin, 'deleteTopic', { name: 'a' }, metadata);
  expect(ok).toEqual({ error: null, response: { topicId: 'a of stock' } });
  const { error } = await callUnary(admin, 'deleteTopic', { name: 'gone' });
  expect([error?.code, error?.details]).toEqual([status.NOT_FOUND, 'No topic gone – create it.']);
  const [trailer] = error?.metadata.get('sluice-error-bin') ?? [];
  expect(decodeErrorTrailer(trailer as Buffer)).toMatchObject({
    code: 'UNKNOWN_TOPIC',
    definite: true,
    retry: 'never',
  });
  const nothing = await callUnary(admin, 'describeCluster', {});
  expect(nothing.error?.code).toBe(status.UNIMPLEMENTED);
});

test('a stock client speaks a bidirectional stream: messages both ways, half close, and an error at the end', async () => {
  const { broker } = await serve((dispatcher) => {
    dispatcher.stream(methods.broker.produce, (_call, sender) => ({
      onMessage: ({ batches }) => {
        const results = batches.map(({ requestId, batch }) => ({ requestId, baseOffset: batch.byteLength }));
        sender.send({ results });
      },
      onEnd: () => sender.close(new SluiceError('SHUTTING_DOWN')),
      onClose: () => undefined,
    }));
  });
  const call = (broker['produce'] as () => NodeJS.ReadWriteStream).call(broker);
  const seen: unknown[] = [];
  const over = new Promise<{ code: number }>((resolve) => call.on('error', (error) => resolve(error as never)));
  call.on('data', (response: { results: unknown[] }) => {
    seen.push(...response.results);
    if (seen.length === 3) call.end();
  });
  for (const bytes of [1, 100_000, 3_000_000]) {
    call.write({ batches: [{ requestId: bytes, batch: Buffer.alloc(bytes) }] } as unknown as Buffer);
  }
  expect((await over).code).toBe(status.UNAVAILABLE);
  expect(seen).toEqual([1, 100_000, 3_000_000].map((bytes) => ({ requestId: bytes, baseOffset: bytes, error: null })));
});

test('a stock client calls it as a server stream', async () => {
  const { address } = await serve((dispatcher) => {
    dispatcher.stream(methods.admin.watchMetadata, (_call, sender) => ({
      onMessage: ({ topicNames }) => {
        for (const name of topicNames) sender.send({ unknownTopicNames: [name] });
        sender.end();
      },
      onClose: () => undefined,
    }));
  });
  // One request and many answers are the same on the wire whatever the .proto calls it.
  const definition = (Admin.service as ServiceDefinition)['WatchMetadata'];
  if (definition === undefined) throw new Error('no such method');
  const client = new Client(address, credentials.createInsecure());
  closing.unshift(() => client.close());
  const { path, requestSerialize, responseDeserialize } = definition;
  const names = ['a', 'b', 'c'];
  const call = client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, { topicNames: names });
  const seen: string[] = [];
  for await (const update of call) seen.push(...(update as { unknownTopicNames: string[] }).unknownTopicNames);
  expect(seen).toEqual(names);
});

test('our client calls a stock server, and takes its statuses for what they mean', async () => {
  const server = new Server();
  server.addService(Broker.service, {
    initProducer: ((call, done) => {
      const { clientId } = call.request;
      if (clientId === 'limit') done({ code: status.RESOURCE_EXHAUSTED, details: 'enough' });
      else if (clientId !== 'late') done(null, { producerId: 7 });
    }) satisfies handleUnaryCall<{ clientId: string }, object> as UntypedHandleCall,
  });
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    ),
  );
  closing.push(() => server.forceShutdown());
  const client = new RpcClient(transport);
  const ask = (clientId: string, timeoutMs = 5_000): Promise<unknown> =>
    client.unary(methods.broker.initProducer, `127.0.0.1:${port}`, { clientId }, { timeoutMs });
  expect(await ask('a')).toEqual({ producerId: 7, producerEpoch: 0 });
  await expect(ask('limit')).rejects.toMatchObject({ code: 'LIMIT_EXCEEDED', message: 'enough', retry: 'never' });
  await expect(ask('late', 200)).rejects.toMatchObject({ code: 'TIMEOUT', definite: false });
  await expect(
    client.unary(methods.admin.deleteTopic, `127.0.0.1:${port}`, { name: 'a' }, { timeoutMs: 5_000 }),
  ).rejects.toMatchObject({ code: 'UNKNOWN_METHOD', definite: true });
});
