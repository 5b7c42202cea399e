/** The `Transport` port in memory, for embedded mode and, with a scheduler of its own, for simulation. */
import type {
  Acceptor,
  Clock,
  IncomingCall,
  Listening,
  OpenOptions,
  ProbeResult,
  StreamHandlers,
  Timer,
  Transport,
  TransportStream,
} from '@sluice/base';
import { SluiceError } from '@sluice/base';
import type { MemoryFlow } from './memory-flow.ts';
import type { MemoryNetwork, MemoryProcess } from './memory-network.ts';
import { MemoryStream } from './memory-stream.ts';

export class MemoryTransport implements Transport, MemoryProcess {
  readonly name: string;
  readonly #network: MemoryNetwork;
  readonly #clock: Clock;
  readonly #calling = new Set<MemoryStream>();
  readonly #serving = new Set<MemoryStream>();
  /** M3: what the process still asks never happens. */
  #dead = false;

  /** `self` names the process: links are cut and processes crash by name. The clock is its own; default: the network's. */
  constructor(network: MemoryNetwork, self: string, clock: Clock = network.clock) {
    this.name = self;
    this.#network = network;
    this.#clock = clock;
    network.join(this);
  }

  open(address: string, method: string, handlers: StreamHandlers, options: OpenOptions = {}): TransportStream {
    const network = this.#network;
    const clock = this.#clock;
    const home = network.homeOf(address);
    const there = network.flow({ from: this.name, to: home });
    const back = network.flow({ from: home, to: this.name });
    const timers: Timer[] = [];
    const stream = new MemoryStream({
      role: 'caller',
      clock,
      flow: there,
      onOver: (over) => {
        this.#calling.delete(over);
        for (const timer of timers) timer.cancel();
      },
    });
    stream.attach(handlers);
    if (this.#dead) return stream;
    this.#calling.add(stream);
    let reached = false;
    const connectTimer = clock.setTimer(network.connectTimeoutMs, () => stream.close(unreachable(address)));
    timers.push(connectTimer);
    const { timeoutMs } = options;
    if (timeoutMs !== undefined) {
      const timeout = (): SluiceError => (reached ? new SluiceError('TIMEOUT') : unreachable(address));
      timers.push(clock.setTimer(timeoutMs, () => stream.close(timeout())));
    }
    there.push(() => {
      // A call that was given up before it arrived never happens: its caller was told that nothing was sent.
      if (stream.over) return;
      const listener = network.listenerAt(address);
      if (listener === undefined) return back.push(() => stream.closeByOther(unreachable(address)));
      reached = true;
      connectTimer.cancel();
      const { metadata = {} } = options;
      listener.serve({ method, metadata, remote: this.name, timeoutMs }, stream, back);
    });
    return stream;
  }

  /** A message is never half here, so its size is left to whoever accepts the call. */
  async listen(address: string, accept: Acceptor): Promise<Listening> {
    const network = this.#network;
    const open = new Set<MemoryStream>();
    let onIdle = (): void => undefined;
    const onOver = (stream: MemoryStream): void => {
      open.delete(stream);
      this.#serving.delete(stream);
      if (open.size === 0 && !this.#dead) onIdle();
    };
    const listener = {
      process: this.name,
      serve: (call: IncomingCall, caller: MemoryStream, flow: MemoryFlow): void => {
        const stream = new MemoryStream({ role: 'server', clock: this.#clock, flow, onOver });
        open.add(stream);
        this.#serving.add(stream);
        stream.pair(caller);
        caller.pair(stream);
        stream.attach(accept(call, stream));
      },
    };
    const bound = network.bind(address, listener);
    const close = async (graceMs: number): Promise<void> => {
      network.unbind(bound, listener);
      if (open.size === 0) return;
      const grace = this.#clock.setTimer(graceMs, () => {
        for (const stream of open) stream.break();
      });
      await new Promise<void>((resolve) => {
        onIdle = resolve;
      });
      grace.cancel();
    };
    return { address: bound, close };
  }

  probe(address: string, timeoutMs: number): Promise<ProbeResult> {
    const network = this.#network;
    const home = network.homeOf(address);
    return new Promise((resolve) => {
      if (this.#dead) return;
      const timer = this.#clock.setTimer(timeoutMs, () => resolve('unanswered'));
      const settle = (result: ProbeResult): void => {
        timer.cancel();
        resolve(result);
      };
      const back = network.flow({ from: home, to: this.name, kernel: true });
      network.flow({ from: this.name, to: home, kernel: true }).push(() => {
        const result = network.listenerAt(address) === undefined ? 'refused' : 'open';
        back.push(() => settle(result));
      });
    });
  }

  close(): void {
    for (const stream of this.#calling) stream.close(new SluiceError('CLOSED'));
  }

  die(): void {
    this.#dead = true;
    for (const stream of [...this.#calling, ...this.#serving]) stream.die();
  }

  vanish(): readonly MemoryStream[] {
    this.#dead = true;
    return [...this.#calling, ...this.#serving].flatMap((stream) => stream.vanish() ?? []);
  }

  disconnect(other: string): void {
    for (const stream of [...this.#calling, ...this.#serving]) if (stream.other === other) stream.break();
  }
}

function unreachable(address: string): SluiceError {
  const message = `No connection to ${address}. Check the address and that the node runs; nothing was sent.`;
  return new SluiceError('UNREACHABLE', { message, details: { address } });
}
