/** What the network does to processes: the conformance suite has what streams do on a healthy one. */
import { SeededRandom } from '@sluice/base';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { DeliveryScheduler } from './memory-network.ts';
import { MemoryNetwork } from './memory-network.ts';
import { MemoryTransport } from './memory-transport.ts';
import { SystemClock } from './system-clock.ts';
import { Heard } from './transport-conformance.ts';

const clock = new SystemClock();
const method = '/a/b';
const byte = (value: number): Uint8Array[] => [new Uint8Array([value])];
const turns = async (): Promise<void> => {
  for (let turn = 0; turn < 20; turn += 1) await new Promise(setImmediate);
};

async function pair(schedule?: DeliveryScheduler) {
  const network = new MemoryNetwork({ clock, connectTimeoutMs: 50, ...(schedule === undefined ? {} : { schedule }) });
  const caller = new MemoryTransport(network, 'a');
  const server = new MemoryTransport(network, 'b');
  const served: Heard[] = [];
  const { address } = await server.listen('b:1', (_call, stream) => {
    const heard = new Heard();
    served.push(heard);
    return {
      onMessage: (message) => {
        heard.onMessage(message);
        stream.send(message);
      },
      onEnd: () => heard.onEnd(),
      onClose: (error) => heard.onClose(error),
    };
  });
  const call = (from: MemoryTransport = caller) => {
    const heard = new Heard();
    return { heard, stream: from.open(address, method, heard) };
  };
  return { network, caller, server, address, served, call };
}

describe('a cut link', () => {
  test('holds what is under way, in both directions, and heals in order', async () => {
    const { network, call, served } = await pair();
    const { heard, stream } = call();
    stream.send(byte(1));
    await heard.until(() => heard.messages.length === 1);
    network.cut('b', 'a');
    stream.send(byte(2));
    stream.send(byte(3));
    await turns();
    expect([served[0]?.messages.length, stream.bufferedBytes]).toEqual([1, 2]);
    network.heal('a', 'b');
    stream.send(byte(4));
    await heard.until(() => heard.messages.length === 4);
    expect(heard.messages.map((message) => message[0]?.[0])).toEqual([1, 2, 3, 4]);
  });

  test('answers no probe and no open; what gave up never happens, even after the link is healed', async () => {
    const { network, caller, address, call, served } = await pair();
    network.cut('a', 'b');
    expect(await caller.probe(address, 20)).toBe('unanswered');
    const { heard, stream } = call();
    stream.send(byte(1));
    await heard.untilClosed();
    expect(heard.error).toMatchObject({ code: 'UNREACHABLE', definite: true });
    network.heal('a', 'b');
    await turns();
    expect(served).toHaveLength(0);
    expect(await caller.probe(address, 1_000)).toBe('open');
  });

  test('leaves other links alone', async () => {
    const { network, call } = await pair();
    network.cut('a', 'b');
    const { heard, stream } = call(new MemoryTransport(network, 'c'));
    stream.send(byte(1));
    await heard.until(() => heard.messages.length === 1);
    expect(heard.closed).toBe(false);
  });
});

describe('a crash', () => {
  test('of the server: its kernel resets what was open and refuses what comes', async () => {
    const { network, caller, address, call, served } = await pair();
    const { heard, stream } = call();
    stream.send(byte(1));
    await heard.until(() => heard.messages.length === 1);
    network.crash('b');
    stream.send(byte(2));
    await heard.untilClosed();
    expect(heard.error).toMatchObject({ code: 'CONNECTION_LOST', definite: false });
    // The dead hear nothing.
    await turns();
    expect(served[0]?.events).toEqual(['message 1']);
    expect(await caller.probe(address, 1_000)).toBe('refused');
    const again = call();
    await again.heard.untilClosed();
    expect(again.heard.error?.code).toBe('UNREACHABLE');
    // A new process under the same name and address.
    await new MemoryTransport(network, 'b').listen(address, (_call, serving) => {
      serving.end();
      return new Heard();
    });
    const third = call();
    await third.heard.untilClosed();
    expect(third.heard.error).toBeUndefined();
  });

  test('of the caller: the server hears, the caller does not', async () => {
    const { network, call, served } = await pair();
    const { heard, stream } = call();
    stream.send(byte(1));
    await heard.until(() => heard.messages.length === 1);
    network.crash('a');
    await served[0]?.untilClosed();
    expect(served[0]?.error?.code).toBe('CONNECTION_LOST');
    await turns();
    expect(heard.closed).toBe(false);
  });

  test('behind a cut link is silence until the link is healed', async () => {
    const { network, caller, address, call } = await pair();
    const { heard, stream } = call();
    stream.send(byte(1));
    await heard.until(() => heard.messages.length === 1);
    network.cut('a', 'b');
    network.crash('b');
    await turns();
    expect(heard.closed).toBe(false);
    expect(await caller.probe(address, 20)).toBe('unanswered');
    network.heal('a', 'b');
    await heard.untilClosed();
    expect(heard.error?.code).toBe('CONNECTION_LOST');
  });
});

test('a reset breaks what is open at both ends, and the next call goes through', async () => {
  const { network, call, served } = await pair();
  const { heard, stream } = call();
  stream.send(byte(1));
  await heard.until(() => heard.messages.length === 1);
  network.disconnect('a', 'b');
  await heard.untilClosed();
  await served[0]?.untilClosed();
  expect([heard.error?.code, served[0]?.error?.code]).toEqual(['CONNECTION_LOST', 'CONNECTION_LOST']);
  const next = call();
  next.stream.send(byte(2));
  await next.heard.until(() => next.heard.messages.length === 1);
});

test('a scheduler in any order changes when things arrive, never their order within a stream', async () => {
  await fc.assert(
    fc.asyncProperty(fc.nat(), async (seed) => {
      const random = new SeededRandom(seed);
      const due: (() => void)[] = [];
      const { network, call } = await pair((_link, deliver) => due.push(deliver));
      const calls = [call(), call(), call()];
      for (let value = 0; value < 30; value += 1) calls[value % 3]?.stream.send(byte(value));
      for (let step = 0; due.length > 0; step += 1) {
        const [deliver] = due.splice(random.below(due.length), 1);
        deliver?.();
        if (step === 20) network.cut('a', 'b');
        if (step === 40 || due.length === 0) network.heal('a', 'b');
      }
      for (const [at, { heard }] of calls.entries()) {
        const expected = Array.from({ length: 10 }, (_, index) => index * 3 + at);
        expect(heard.messages.map((message) => message[0]?.[0])).toEqual(expected);
      }
    }),
    { numRuns: 100 },
  );
});
