/**
 * The wires between `MemoryTransport`s, for embedded mode and simulation: who listens where, which links are cut, and
 * the order of what is under way. Owns no decision about time: when a delivery happens is the scheduler's.
 *
 * M1 Deliveries of one flow happen in the order they were made, whatever the scheduler does.
 * M2 Nothing is delivered over a cut link; it waits, as TCP's retransmissions do, until the link is healed.
 * M3 A dead process hears and says nothing, except that its kernel resets its connections and refuses new ones.
 */
import type { Clock, IncomingCall } from '@sluice/base';
import { SluiceError } from '@sluice/base';
import type { MemoryLink } from './memory-flow.ts';
import { MemoryFlow } from './memory-flow.ts';
import type { MemoryStream } from './memory-stream.ts';

/** Must call `deliver` once, later and never from inside the call; how much later is its choice. */
export type DeliveryScheduler = (link: MemoryLink, deliver: () => void) => void;

export interface MemoryNetworkOptions {
  readonly clock: Clock;
  /** Default: in the next turn. */
  readonly schedule?: DeliveryScheduler;
  /** An open that reached nobody fails after this time; default 5 s. */
  readonly connectTimeoutMs?: number;
}

export interface MemoryListener {
  readonly process: string;
  /** A call arrives; `flow` leads back to the caller. */
  serve(call: IncomingCall, caller: MemoryStream, flow: MemoryFlow): void;
}

/** What a process has open; known to the network so that a crash can end it. */
export interface MemoryProcess {
  readonly name: string;
  /** The process is dead: forgets everything and tells only the other ends. */
  die(): void;
  /** Breaks the connections with `other`, as a reset does. */
  disconnect(other: string): void;
}

export class MemoryNetwork {
  readonly clock: Clock;
  readonly connectTimeoutMs: number;
  readonly #schedule: DeliveryScheduler;
  readonly #listeners = new Map<string, MemoryListener>();
  /** Which process an address belongs to, kept when nobody listens there any more: a dead host has its links too. */
  readonly #homes = new Map<string, string>();
  readonly #processes = new Map<string, Set<MemoryProcess>>();
  readonly #cuts = new Set<string>();
  readonly #stalled = new Set<MemoryFlow>();
  #nextPort = 40_000;

  constructor(options: MemoryNetworkOptions) {
    this.clock = options.clock;
    this.connectTimeoutMs = options.connectTimeoutMs ?? 5_000;
    this.#schedule = options.schedule ?? ((_link, deliver) => options.clock.defer(deliver));
  }

  /** Nothing passes between the two processes, in either direction, until `heal`. */
  cut(one: string, other: string): void {
    this.#cuts.add(linkKey(one, other));
  }

  heal(one: string, other: string): void {
    this.#cuts.delete(linkKey(one, other));
    for (const flow of this.#stalled) {
      if (this.#isCut(flow.link)) continue;
      this.#stalled.delete(flow);
      flow.resume();
    }
  }

  /** Resets the connections between two processes; new ones can be made at once. */
  disconnect(one: string, other: string): void {
    for (const process of this.#processes.get(one) ?? []) process.disconnect(other);
  }

  /** Every transport of this process is dead from now on; a new one may be made under the same name. */
  crash(name: string): void {
    for (const [address, listener] of this.#listeners) if (listener.process === name) this.#listeners.delete(address);
    const processes = this.#processes.get(name) ?? [];
    this.#processes.delete(name);
    for (const process of processes) process.die();
  }

  join(process: MemoryProcess): void {
    const known = this.#processes.get(process.name) ?? new Set();
    this.#processes.set(process.name, known.add(process));
  }

  /** Returns the address, with a port when 0 was asked for. Throws `PORT_IN_USE`. */
  bind(address: string, listener: MemoryListener): string {
    const bound = address.endsWith(':0') ? `${address.slice(0, -1)}${this.#nextPort++}` : address;
    if (this.#listeners.has(bound)) {
      throw new SluiceError('PORT_IN_USE', { details: { address: bound } });
    }
    this.#listeners.set(bound, listener);
    this.#homes.set(bound, listener.process);
    return bound;
  }

  unbind(address: string, listener: MemoryListener): void {
    if (this.#listeners.get(address) === listener) this.#listeners.delete(address);
  }

  listenerAt(address: string): MemoryListener | undefined {
    return this.#listeners.get(address);
  }

  /** The process behind an address, or the address itself when nobody ever listened there. */
  homeOf(address: string): string {
    return this.#homes.get(address) ?? address;
  }

  flow(from: string, to: string): MemoryFlow {
    const link = { from, to };
    return new MemoryFlow(link, {
      schedule: (deliver) => this.#schedule(link, deliver),
      stalls: (flow) => {
        if (!this.#isCut(link)) return false;
        this.#stalled.add(flow);
        return true;
      },
    });
  }

  #isCut(link: MemoryLink): boolean {
    return this.#cuts.has(linkKey(link.from, link.to));
  }
}

const linkKey = (one: string, other: string): string => (one < other ? `${one}\n${other}` : `${other}\n${one}`);
