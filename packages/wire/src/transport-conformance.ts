/** What every `Transport` must do; run by the gRPC one, the memory one and any that comes. */
import { SluiceError } from '@sluice/base';
import type {
  Acceptor,
  IncomingCall,
  Listening,
  Message,
  StreamHandlers,
  Transport,
  TransportStream,
} from '@sluice/base';
import { afterEach, describe, expect, test } from 'vitest';
import { methods } from './methods.ts';

export interface TransportPair {
  readonly caller: Transport;
  readonly server: Transport;
  /** Where `server` may listen: `host:0`. */
  readonly bindAddress: string;
  /** Where nobody listens, on a machine that answers. */
  readonly deadAddress: string;
}

/** Methods to call, for a transport that treats them differently; no two need share a connection. */
export interface ConformanceMethods {
  readonly method: string;
  readonly other: string;
}

const hotMethods: ConformanceMethods = { method: methods.broker.produce.path, other: methods.broker.fetch.path };

const text = (value: string): Message => [new TextEncoder().encode(value)];
const textOf = (message: Message): string => Buffer.concat(message).toString();

/** Handlers that remember what they heard, in order, and let a test wait for it. */
export class Heard implements StreamHandlers {
  readonly events: string[] = [];
  readonly messages: Message[] = [];
  error: SluiceError | undefined;
  closed = false;
  #waiters: (() => void)[] = [];

  onMessage(message: Message): void {
    this.messages.push(message);
    this.#note(`message ${message.reduce((bytes, chunk) => bytes + chunk.byteLength, 0)}`);
  }
  onEnd(): void {
    this.#note('end');
  }
  onClose(error: SluiceError | undefined): void {
    this.error = error;
    this.closed = true;
    this.#note(`close ${error?.code ?? 'ok'}`);
  }
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => this.#waiters.push(resolve));
  }
  untilClosed(): Promise<void> {
    return this.until(() => this.closed);
  }
  #note(event: string): void {
    this.events.push(event);
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const wake of waiters) wake();
  }
}

interface Served {
  readonly call: IncomingCall;
  readonly stream: TransportStream;
  readonly heard: Heard;
}

/** A server that hands out its calls. */
class Calls {
  readonly served: Served[] = [];
  #waiters: (() => void)[] = [];
  readonly accept: Acceptor = (call, stream) => {
    const heard = new Heard();
    this.served.push({ call, stream, heard });
    for (const wake of this.#waiters.splice(0)) wake();
    return heard;
  };
  async next(): Promise<Served> {
    for (;;) {
      const served = this.served.shift();
      if (served !== undefined) return served;
      await new Promise<void>((resolve) => this.#waiters.push(resolve));
    }
  }
}

export function transportConformance(
  name: string,
  make: () => Promise<TransportPair>,
  { method, other }: ConformanceMethods = hotMethods,
): void {
  describe(name, () => {
    const open: { pair: TransportPair; listening: Listening }[] = [];
    const start = async (accept?: Acceptor) => {
      const pair = await make();
      const calls = new Calls();
      const listening = await pair.server.listen(pair.bindAddress, accept ?? calls.accept);
      open.push({ pair, listening });
      return { ...pair, calls, listening, address: listening.address };
    };
    afterEach(async () => {
      for (const { pair, listening } of open.splice(0)) {
        pair.caller.close();
        await listening.close(0);
      }
    });

    test('messages of both directions arrive whole and in order, and each side ends for itself', async () => {
      const { caller, address, calls } = await start();
      const heard = new Heard();
      const stream = caller.open(address, method, heard, { metadata: { 'sluice-client-id': 'a' }, timeoutMs: 60_000 });
      for (let index = 0; index < 300; index += 1) stream.send(text(`c${index}`));
      stream.end();
      const served = await calls.next();
      expect(served.call.method).toBe(method);
      expect(served.call.metadata['sluice-client-id']).toBe('a');
      expect(served.call.timeoutMs).toBeGreaterThan(50_000);
      expect(served.call.timeoutMs).toBeLessThanOrEqual(60_000);
      await served.heard.until(() => served.heard.events.includes('end'));
      expect(served.heard.messages.map(textOf)).toEqual(Array.from({ length: 300 }, (_, index) => `c${index}`));
      // The caller has ended; the server still talks.
      for (let index = 0; index < 300; index += 1) served.stream.send(text(`s${index}`));
      served.stream.end();
      await heard.untilClosed();
      expect(heard.messages.map(textOf)).toEqual(Array.from({ length: 300 }, (_, index) => `s${index}`));
      expect(heard.events.slice(-2)).toEqual(['end', 'close ok']);
      await served.heard.untilClosed();
      expect(served.heard.events.slice(-2)).toEqual(['end', 'close ok']);
      expect(stream.bufferedBytes).toBe(0);
    });

    test('a list of chunks arrives as one message, and empty messages arrive', async () => {
      const { caller, address, calls } = await start();
      const stream = caller.open(address, method, new Heard());
      stream.send([...text('ab'), ...text(''), ...text('cd')]);
      stream.send([]);
      stream.end();
      const { heard } = await calls.next();
      await heard.until(() => heard.events.includes('end'));
      expect(heard.messages.map(textOf)).toEqual(['abcd', '']);
    });

    test('the receiver owns its messages: writing to them changes nothing at the sender', async () => {
      const { caller, address, calls } = await start();
      const chunk = new Uint8Array([1, 2, 3]);
      const stream = caller.open(address, method, new Heard());
      stream.send([chunk]);
      const { heard } = await calls.next();
      await heard.until(() => heard.messages.length === 1);
      for (const received of heard.messages[0]!) received.fill(9);
      expect([...chunk]).toEqual([1, 2, 3]);
    });

    test('a refusal reaches the caller with code, sentence, class and details', async () => {
      const refusal = new SluiceError('NOT_LEADER', { message: 'Ask node 3 — really.', details: { leader: 3 } });
      const { caller, address } = await start((_call, stream) => {
        stream.close(refusal);
        return new Heard();
      });
      const heard = new Heard();
      const stream = caller.open(address, method, heard);
      stream.send(text('x'));
      await heard.untilClosed();
      expect(heard.error?.toJSON()).toEqual(refusal.toJSON());
      expect(heard.error?.retry).toBe('refresh-metadata');
      expect(heard.events).toEqual(['close NOT_LEADER']);
    });

    test('an error in the middle of a stream comes after nothing was promised and ends both sides', async () => {
      const { caller, address, calls } = await start();
      const heard = new Heard();
      const stream = caller.open(address, method, heard);
      stream.send(text('x'));
      const served = await calls.next();
      await served.heard.until(() => served.heard.messages.length === 1);
      served.stream.send(text('y'));
      await heard.until(() => heard.messages.length === 1);
      served.stream.close(new SluiceError('SHUTTING_DOWN'));
      served.stream.send(text('z'));
      served.stream.end();
      await heard.untilClosed();
      await served.heard.untilClosed();
      expect(heard.events).toEqual(['message 1', 'close SHUTTING_DOWN']);
      expect(served.heard.events.at(-1)).toBe('close SHUTTING_DOWN');
    });

    test('what was sent in the same turn before an error comes before it', async () => {
      const { caller, address, calls } = await start();
      const heard = new Heard();
      caller.open(address, method, heard).send(text('x'));
      const served = await calls.next();
      await served.heard.until(() => served.heard.messages.length === 1);
      served.stream.send(text('y'));
      served.stream.close(new SluiceError('SHUTTING_DOWN'));
      await heard.untilClosed();
      expect(heard.events).toEqual(['message 1', 'close SHUTTING_DOWN']);
    });

    test('a caller that closes is heard at the server, and hears nothing more itself', async () => {
      const { caller, address, calls } = await start();
      const heard = new Heard();
      const stream = caller.open(address, method, heard);
      stream.send(text('x'));
      const served = await calls.next();
      await served.heard.until(() => served.heard.messages.length === 1);
      stream.close();
      stream.close(new SluiceError('INTERNAL'));
      stream.send(text('late'));
      stream.end();
      served.stream.send(text('late'));
      await served.heard.untilClosed();
      await heard.untilClosed();
      expect(heard.events).toEqual(['close CANCELLED']);
      expect(['CANCELLED', 'CONNECTION_LOST']).toContain(served.heard.error?.code);
      expect(served.heard.messages).toHaveLength(1);
    });

    test('callbacks never come from inside a call', async () => {
      const { caller, address, deadAddress, calls } = await start();
      let inside = true;
      const violations: string[] = [];
      const watch = (heard: Heard, what: string): StreamHandlers => ({
        onMessage: (message) => (inside && violations.push(what), heard.onMessage(message)),
        onEnd: () => (inside && violations.push(what), heard.onEnd()),
        onClose: (error) => (inside && violations.push(what), heard.onClose(error)),
      });
      const heards = [new Heard(), new Heard(), new Heard()];
      const cancelled = caller.open(address, method, watch(heards[0]!, 'cancelled'));
      cancelled.send(text('x'));
      cancelled.end();
      cancelled.close();
      caller.open(deadAddress, method, watch(heards[1]!, 'dead')).send(text('x'));
      const live = caller.open(address, method, watch(heards[2]!, 'live'));
      live.send(text('x'));
      inside = false;
      const served = await calls.next();
      inside = true;
      served.stream.send(text('y'));
      served.stream.close(new SluiceError('INTERNAL'));
      inside = false;
      for (const stray of calls.served) stray.stream.close(new SluiceError('INTERNAL'));
      live.close();
      await Promise.all(heards.map((heard) => heard.untilClosed()));
      expect(violations).toEqual([]);
      for (const heard of heards) expect(heard.events.filter((event) => event.startsWith('close'))).toHaveLength(1);
    });

    test('where nobody listens: a definite error, and the probe says refused', async () => {
      const { caller, address, deadAddress } = await start();
      const heard = new Heard();
      const stream = caller.open(deadAddress, method, heard);
      stream.send(text('x'));
      await heard.untilClosed();
      expect(heard.events).toEqual(['close UNREACHABLE']);
      expect(heard.error?.definite).toBe(true);
      expect(heard.error?.message).toContain(deadAddress);
      expect(await caller.probe(deadAddress, 5_000)).toBe('refused');
      expect(await caller.probe(address, 5_000)).toBe('open');
    });

    test('an address that is taken', async () => {
      const { server, address } = await start();
      await expect(server.listen(address, () => new Heard())).rejects.toMatchObject({ code: 'PORT_IN_USE' });
    });

    test('messages of several MiB, both ways', async () => {
      const { caller, address } = await start((_call, stream) => ({
        onMessage: (message) => stream.send(message),
        onEnd: () => stream.end(),
        onClose: () => undefined,
      }));
      const big = Buffer.alloc(6 * 1_048_576, 'abcdefg');
      const heard = new Heard();
      const stream = caller.open(address, method, heard);
      stream.send([big.subarray(0, 1_000_003), big.subarray(1_000_003)]);
      expect(stream.bufferedBytes).toBeGreaterThan(0);
      stream.end();
      await heard.untilClosed();
      expect(heard.error).toBeUndefined();
      expect(Buffer.concat(heard.messages[0]!).equals(big)).toBe(true);
    });

    test('whoever waits for a stream to hold less is called once, later, with fewer bytes held; both ways', async () => {
      const { caller, address, calls } = await start();
      const heard = new Heard();
      const stream = caller.open(address, method, heard);
      stream.send(text('x'));
      const served = await calls.next();
      await served.heard.until(() => served.heard.messages.length === 1);
      const piece = [Buffer.alloc(1_048_576)];
      for (const [from, to] of [
        [stream, served.heard],
        [served.stream, heard],
      ] as const) {
        const known = to.messages.length;
        for (let sent = 0; sent < 6; sent += 1) from.send(piece);
        const held: number[] = [];
        let inside = true;
        const drained = new Promise<void>((resolve) => {
          const run = (): void => {
            held.push(inside ? Infinity : from.bufferedBytes);
            resolve();
          };
          from.whenDrained(1_500_000, run);
          from.whenDrained(1_000_000, run);
        });
        inside = false;
        await drained;
        await to.until(() => to.messages.length === known + 6);
        expect(held).toHaveLength(1);
        expect(held[0]).toBeLessThan(1_500_000);
        // Nothing is left to wait for: later all the same.
        let isInside = true;
        const wasInside = await new Promise<boolean>((resolve) => {
          from.whenDrained(Infinity, () => resolve(isInside));
          isInside = false;
        });
        expect(wasInside).toBe(false);
      }
    });

    test('a stream that closes forgets who waited for it to hold less', async () => {
      const { caller, address, calls } = await start();
      const heard = new Heard();
      const stream = caller.open(address, method, heard);
      for (let sent = 0; sent < 6; sent += 1) stream.send([Buffer.alloc(1_048_576)]);
      const served = await calls.next();
      let called = 0;
      const count = (): void => {
        called += 1;
      };
      stream.whenDrained(1, count);
      stream.close();
      stream.whenDrained(Infinity, count);
      await heard.untilClosed();
      await served.heard.untilClosed();
      served.stream.whenDrained(Infinity, count);
      await new Promise((resolve) => setImmediate(resolve));
      expect(called).toBe(0);
    });

    test('many streams at once, none mixed up', async () => {
      const { caller, address } = await start((_call, stream) => ({
        onMessage: (message) => stream.send([...message, ...text('!')]),
        onEnd: () => stream.end(),
        onClose: () => undefined,
      }));
      const heards = Array.from({ length: 200 }, (_, index) => {
        const heard = new Heard();
        const stream = caller.open(address, method, heard);
        for (let part = 0; part < 5; part += 1) stream.send(text(`${index}.${part}`));
        stream.end();
        return heard;
      });
      await Promise.all(heards.map((heard) => heard.untilClosed()));
      for (const [index, heard] of heards.entries()) {
        expect(heard.messages.map(textOf)).toEqual([0, 1, 2, 3, 4].map((part) => `${index}.${part}!`));
      }
    });

    test('a call ends with TIMEOUT, indefinite, when it is not over in time', async () => {
      const { caller, address, calls } = await start();
      const heard = new Heard();
      const stream = caller.open(address, method, heard, { timeoutMs: 150 });
      stream.send(text('x'));
      const served = await calls.next();
      await heard.untilClosed();
      expect(heard.events).toEqual(['close TIMEOUT']);
      expect(heard.error?.definite).toBe(false);
      await served.heard.untilClosed();
      expect(served.heard.error).toBeDefined();
    });

    test('a server that closes takes nothing new, lets open calls finish, and is then gone', async () => {
      const { caller, address, calls, listening } = await start();
      const heard = new Heard();
      const stream = caller.open(address, method, heard);
      stream.send(text('x'));
      const served = await calls.next();
      let closed = false;
      const closing = listening.close(60_000).then(() => {
        closed = true;
      });
      await served.heard.until(() => served.heard.messages.length === 1);
      const late = new Heard();
      for (;;) {
        // The news that the server takes no more calls may travel behind this one.
        const attempt = new Heard();
        caller.open(address, other, attempt).end();
        await Promise.race([attempt.untilClosed(), calls.next().then((call) => call.stream.end())]);
        if (attempt.error?.code === 'UNREACHABLE') break;
      }
      caller.open(address, other, late).send(text('x'));
      await late.untilClosed();
      expect(late.events).toEqual(['close UNREACHABLE']);
      expect(closed).toBe(false);
      served.stream.send(text('y'));
      served.stream.end();
      await heard.untilClosed();
      expect(heard.events).toEqual(['message 1', 'end', 'close ok']);
      await closing;
      expect(await caller.probe(address, 5_000)).toBe('refused');
    });

    test('what is still open after the grace is cut, and both sides hear of it', async () => {
      const { caller, address, calls, listening } = await start();
      const heard = new Heard();
      caller.open(address, method, heard).send(text('x'));
      const served = await calls.next();
      await listening.close(50);
      await heard.untilClosed();
      await served.heard.untilClosed();
      expect(heard.events).toEqual(['close CONNECTION_LOST']);
      expect(heard.error?.definite).toBe(false);
      expect(['CANCELLED', 'CONNECTION_LOST']).toContain(served.heard.error?.code);
    });

    test('a caller that closes its transport: open and pending calls end with CLOSED', async () => {
      const { caller, address, calls } = await start();
      const heard = new Heard();
      caller.open(address, method, heard).send(text('x'));
      const served = await calls.next();
      const pending = new Heard();
      caller.open(address, other, pending);
      caller.close();
      await heard.untilClosed();
      await pending.untilClosed();
      expect([heard.error?.code, pending.error?.code]).toEqual(['CLOSED', 'CLOSED']);
      await served.heard.untilClosed();
    });

    test('a server that comes back is reached within a second, by the first call after', async () => {
      const { caller, server, address, listening } = await start();
      await listening.close(0);
      const refused = new Heard();
      for (let attempt = 0; attempt < 20; attempt += 1) {
        const heard = attempt === 0 ? refused : new Heard();
        caller.open(address, method, heard).send(text('x'));
        await heard.untilClosed();
        expect(heard.error?.code).toBe('UNREACHABLE');
      }
      const again = await server.listen(address, (_call, stream) => {
        stream.end();
        return new Heard();
      });
      const startedMs = performance.now();
      const heard = new Heard();
      caller.open(address, method, heard).end();
      await heard.untilClosed();
      expect(heard.error).toBeUndefined();
      expect(performance.now() - startedMs).toBeLessThan(1_000);
      caller.close();
      await again.close(0);
    });
  });
}
