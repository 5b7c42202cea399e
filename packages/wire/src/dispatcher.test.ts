import type { Clock, LogFields, Logger, Message, StreamHandlers, Timer, TransportStream } from '@sluice/base';
import { SluiceError } from '@sluice/base';
import { describe, expect, test } from 'vitest';
import type { CallContext, DispatcherOptions } from './dispatcher.ts';
import { Dispatcher } from './dispatcher.ts';
import { MemoryNetwork } from './memory-network.ts';
import { MemoryTransport } from './memory-transport.ts';
import { methods } from './methods.ts';
import { RpcClient } from './rpc-client.ts';
import { SystemClock } from './system-clock.ts';
import { Heard } from './transport-conformance.ts';

class ErrorLog implements Logger {
  readonly errors: { phrase: string; fields: LogFields | undefined }[] = [];
  debug(): void {}
  info(): void {}
  warn(): void {}
  error(phrase: string, fields?: LogFields): void {
    this.errors.push({ phrase, fields });
  }
  with(): Logger {
    return this;
  }
}

/** Time that moves when the test says so; what is deferred runs in the next turn. */
class HandClock implements Clock {
  #nowMs = 1_000;
  readonly #timers = new Map<() => void, number>();
  monotonicMs(): number {
    return this.#nowMs;
  }
  wallMs(): number {
    return this.#nowMs;
  }
  setTimer(delayMs: number, onFire: () => void): Timer {
    this.#timers.set(onFire, this.#nowMs + delayMs);
    return { cancel: () => this.#timers.delete(onFire) };
  }
  defer(run: () => void): void {
    setImmediate(run);
  }
  advance(ms: number): void {
    this.#nowMs += ms;
    for (const [fire, dueMs] of this.#timers) {
      if (dueMs > this.#nowMs) continue;
      this.#timers.delete(fire);
      fire();
    }
  }
  get pendingTimers(): number {
    return this.#timers.size;
  }
}

const limits = {
  messageBytesMax: 1_000,
  callsPerConnectionMax: 4,
  callsMax: 6,
  bufferedBytesMax: 500,
  unaryTimeoutMsMax: 10_000,
};

async function start(overrides: Partial<DispatcherOptions> = {}, clock: Clock = new SystemClock()) {
  const logger = new ErrorLog();
  const dispatcher = new Dispatcher({
    face: 'client',
    listener: 'inside',
    limits,
    logger,
    clock,
    authorize: () => true,
    ...overrides,
  });
  const network = new MemoryNetwork({ clock });
  const server = new MemoryTransport(network, 'server');
  const { address } = await server.listen('server:0', dispatcher.accept);
  const transport = new MemoryTransport(network, 'caller');
  const open = (path: string, messages: readonly Message[]): Heard => {
    const heard = new Heard();
    const stream = transport.open(address, path, heard);
    for (const message of messages) stream.send(message);
    stream.end();
    return heard;
  };
  return { dispatcher, logger, network, address, transport, open, client: new RpcClient(transport) };
}

/** For what follows in the turns after: a call is uncounted when the transport has said that it is over. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise(setImmediate);
}

const { initProducer, produce } = methods.broker;
const ask = { timeoutMs: 5_000 };

test('a unary call: request, context and answer', async () => {
  const { dispatcher, client, address } = await start();
  const contexts: CallContext[] = [];
  dispatcher.unary(initProducer, async (request, call) => {
    contexts.push(call);
    return { producerId: request.clientId.length };
  });
  const metadata = { 'sluice-client-id': 'orders' };
  const answer = await client.unary(initProducer, address, { clientId: 'four' }, { ...ask, metadata });
  expect(answer).toEqual({ producerId: 4, producerEpoch: 0 });
  expect(contexts[0]).toMatchObject({
    method: initProducer.path,
    listener: 'inside',
    remote: 'caller',
    principal: { type: 'anonymous' },
    clientId: 'orders',
  });
  await until(() => dispatcher.openCalls === 0);
});

test('a stream: messages both ways, the end, and the close at both sides', async () => {
  const { dispatcher, client, address } = await start();
  const events: string[] = [];
  dispatcher.stream(produce, (_call, sender) => ({
    onMessage: (request) => sender.send({ creditBytes: request.batches.length }),
    onEnd: () => sender.end(),
    onClose: (error) => events.push(`server ${error?.code ?? 'ok'}`),
  }));
  await new Promise<void>((resolve) => {
    const sender = client.stream(produce, address, {
      onMessage: (response) => {
        events.push(`credit ${response.creditBytes}`);
        if (response.creditBytes === 2) sender.end();
      },
      onEnd: () => events.push('end'),
      onClose: (error) => {
        events.push(`caller ${error?.code ?? 'ok'}`);
        resolve();
      },
    });
    sender.send({ batches: [{}] });
    sender.send({ batches: [{}, {}] });
  });
  await until(() => events.includes('server ok'));
  expect(events.filter((event) => event !== 'server ok')).toEqual(['credit 1', 'credit 2', 'end', 'caller ok']);
});

describe('is refused before any handler runs', () => {
  const cases: [string, string, Partial<DispatcherOptions>, string][] = [
    ['a method of the other face', methods.raft.exchange.path, {}, 'UNKNOWN_METHOD'],
    ['an unknown method', '/sluice.v1.Broker/Nothing', {}, 'UNKNOWN_METHOD'],
    ['a method without a handler', methods.broker.fetch.path, {}, 'UNKNOWN_METHOD'],
    [
      'what the table forbids',
      initProducer.path,
      { authorize: (_who, what) => what !== 'topic:write' },
      'PERMISSION_DENIED',
    ],
    ['what the quota forbids', initProducer.path, { admit: () => new SluiceError('LIMIT_EXCEEDED') }, 'LIMIT_EXCEEDED'],
  ];
  test.each(cases)('%s', async (_name, path, overrides, code) => {
    const { dispatcher, open } = await start(overrides);
    let ran = false;
    dispatcher.unary(initProducer, async () => {
      ran = true;
      return {};
    });
    const heard = open(path, [[]]);
    await heard.untilClosed();
    expect([heard.error?.code, ran, dispatcher.openCalls]).toEqual([code, false, 0]);
  });
});

test('too many open calls of a connection, and of the listener, until some end', async () => {
  const { dispatcher, transport, network, address } = await start();
  dispatcher.stream(produce, (_call, sender) => ({
    onMessage: (request) => sender.send({ creditBytes: request.batches.length }),
    onClose: () => undefined,
  }));
  const call = (from: MemoryTransport): { heard: Heard; stream: TransportStream } => {
    const heard = new Heard();
    const stream = from.open(address, produce.path, heard);
    stream.send([]);
    return { heard, stream };
  };
  const settled = async ({ heard }: { heard: Heard }): Promise<string | undefined> => {
    await heard.until(() => heard.messages.length > 0 || heard.closed);
    return heard.error?.code;
  };
  const mine = Array.from({ length: 5 }, () => call(transport));
  expect(await Promise.all(mine.map(settled))).toEqual([undefined, undefined, undefined, undefined, 'LIMIT_EXCEEDED']);
  const other = new MemoryTransport(network, 'other');
  const theirs = Array.from({ length: 3 }, () => call(other));
  expect(await Promise.all(theirs.map(settled))).toEqual([undefined, undefined, 'LIMIT_EXCEEDED']);
  expect(mine[4]?.heard.error?.details).toMatchObject({ limit: 'callsPerConnectionMax' });
  expect(theirs[2]?.heard.error?.details).toMatchObject({ limit: 'callsMax' });
  mine[0]?.stream.close();
  network.crash('other');
  await until(() => dispatcher.openCalls <= 3);
  expect(await settled(call(transport))).toBeUndefined();
});

describe('bad input', () => {
  const cases: [string, string, Message[], string][] = [
    ['a unary call without a message', initProducer.path, [], 'INVALID_REQUEST'],
    ['a unary call with two messages', initProducer.path, [[], []], 'INVALID_REQUEST'],
    ['a unary message that is none', initProducer.path, [[new Uint8Array([255])]], 'INVALID_REQUEST'],
    ['a stream message that is none', produce.path, [[new Uint8Array([255])]], 'INVALID_REQUEST'],
    ['a message over the limit', produce.path, [[new Uint8Array(600), new Uint8Array(401)]], 'LIMIT_EXCEEDED'],
  ];
  test.each(cases)('%s', async (_name, path, messages, code) => {
    const { dispatcher, open, logger } = await start();
    let ran = false;
    dispatcher.unary(initProducer, async () => {
      ran = true;
      return {};
    });
    dispatcher.stream(produce, () => ({
      onMessage: () => {
        ran = true;
      },
      onClose: () => undefined,
    }));
    const heard = open(path, messages);
    await heard.untilClosed();
    expect([heard.error?.code, heard.error?.definite, heard.error?.retryable]).toEqual([code, true, false]);
    await until(() => dispatcher.openCalls === 0);
    expect([ran, logger.errors.length]).toEqual([false, 0]);
  });
});

describe('a handler that fails', () => {
  test('with a SluiceError answers it, and logs nothing', async () => {
    const { dispatcher, client, address, logger } = await start();
    dispatcher.unary(initProducer, async () => {
      throw new SluiceError('NOT_CONTROLLER', { details: { leader: 2 } });
    });
    await expect(client.unary(initProducer, address, {}, ask)).rejects.toMatchObject({
      code: 'NOT_CONTROLLER',
      details: { leader: 2 },
    });
    expect(logger.errors).toEqual([]);
  });

  const bug = new TypeError('undefined is not a function');
  const failures: [string, (dispatcher: Dispatcher) => void, string][] = [
    [
      'a unary handler that rejects',
      (to) => to.unary(initProducer, async () => Promise.reject(bug)),
      initProducer.path,
    ],
    [
      'a unary handler that throws',
      (to) =>
        to.unary(initProducer, () => {
          throw bug;
        }),
      initProducer.path,
    ],
    [
      'an answer that cannot be encoded',
      (to) => to.unary(initProducer, async () => ({ producerId: 0.5 })),
      initProducer.path,
    ],
    [
      'a stream handler that throws at its start',
      (to) =>
        to.stream(produce, () => {
          throw bug;
        }),
      produce.path,
    ],
    ...(['onMessage', 'onEnd', 'onClose'] as const).map((where): [string, (to: Dispatcher) => void, string] => [
      `a stream handler that throws in ${where}`,
      (to) =>
        to.stream(produce, (_call, sender) => ({
          onMessage: () => (where === 'onClose' ? sender.close(new SluiceError('INTERNAL')) : undefined),
          onClose: () => undefined,
          [where]: () => {
            throw bug;
          },
        })),
      produce.path,
    ]),
  ];
  test.each(failures)('%s: INTERNAL, logged once, everything else goes on', async (_name, register, path) => {
    const { dispatcher, open, logger } = await start();
    register(dispatcher);
    const heard = open(path, [[]]);
    await heard.untilClosed();
    await until(() => dispatcher.openCalls === 0 && logger.errors.length > 0);
    expect(heard.error?.code).toBe('INTERNAL');
    expect(heard.error?.message).not.toContain('undefined is not a function');
    expect(logger.errors).toHaveLength(1);
    expect(logger.errors[0]?.fields).toMatchObject({ method: path, listener: 'inside', remote: 'caller' });
  });
});

test('a deadline ends the call at both sides, and a late answer goes nowhere', async () => {
  const clock = new HandClock();
  const { dispatcher, address, transport } = await start({}, clock);
  let deadlineMs: number | undefined;
  let answer = (_response: object): void => undefined;
  dispatcher.unary(initProducer, (_request, call) => {
    deadlineMs = call.deadlineMs;
    return new Promise((resolve) => {
      answer = resolve;
    });
  });
  const heard = new Heard();
  const stream = transport.open(address, initProducer.path, heard);
  stream.send([]);
  stream.end();
  await until(() => deadlineMs !== undefined);
  // The caller gave none: the listener's largest applies.
  expect(deadlineMs).toBe(11_000);
  clock.advance(9_999);
  expect(heard.closed).toBe(false);
  clock.advance(1);
  await heard.untilClosed();
  expect(heard.error).toMatchObject({ code: 'TIMEOUT', definite: false });
  answer({ producerId: 1 });
  await new Promise(setImmediate);
  expect(heard.events).toEqual(['close TIMEOUT']);
  await until(() => dispatcher.openCalls === 0);
  expect(clock.pendingTimers).toBe(0);
});

test('a caller that does not read is cut off before its answers fill the memory', async () => {
  const { dispatcher, network, address, transport } = await start();
  const closes: (SluiceError | undefined)[] = [];
  let sends = 0;
  dispatcher.stream(produce, (_call, sender) => ({
    onMessage: () => {
      network.cut('caller', 'server');
      while (closes.length === 0 && sends < 1_000) {
        sender.send({ opened: { nodeId: 1, batchBytesMax: 2 ** 40 } });
        sends += 1;
        if (sender.bufferedBytes === 0) break;
      }
    },
    onClose: (error) => closes.push(error),
  }));
  transport.open(address, produce.path, new Heard() as StreamHandlers).send([]);
  await until(() => closes.length > 0);
  expect(closes[0]).toMatchObject({ code: 'LIMIT_EXCEEDED', details: { limit: 'bufferedBytesMax' } });
});

test('the client: an answer that cannot be read, or none, is INTERNAL and indefinite', async () => {
  const clock = new SystemClock();
  const network = new MemoryNetwork({ clock });
  const answers: Message[][] = [[], [[], []], [[new Uint8Array([255])]]];
  const { address } = await new MemoryTransport(network, 'server').listen('server:0', (_call, stream) => {
    for (const message of answers.shift() ?? []) stream.send(message);
    stream.end();
    return new Heard();
  });
  const client = new RpcClient(new MemoryTransport(network, 'caller'));
  for (let at = 0; at < 3; at += 1) {
    await expect(client.unary(initProducer, address, {}, ask)).rejects.toMatchObject({
      code: 'INTERNAL',
      definite: false,
    });
  }
  await expect(client.unary(initProducer, 'nowhere:1', {}, ask)).rejects.toMatchObject({
    code: 'UNREACHABLE',
    definite: true,
  });
  await expect(client.unary(methods.birth.probe, address, { identity: { brokerEpoch: 0.5 } }, ask)).rejects.toThrow(
    'no safe integer',
  );
});
