/**
 * The wires between `MemoryTransport`s, for embedded mode and simulation: who listens where, which links are cut, and
 * the order of what is under way. Owns no decision about time: when a delivery happens is the scheduler's.
 *
 * M1 Deliveries of one flow happen in the order they were made, whatever the scheduler does.
 * M2 Nothing is delivered over a cut link; it waits, as TCP's retransmissions do, until the link is healed.
 * M3 A dead process hears and says nothing, except that its kernel resets its connections and refuses new ones.
 * M4 A machine that lost power says nothing at all: the other ends stay open until `expire`, and what they send is gone.
 */
import type { Clock, IncomingCall } from '@sluice/base';
import { SluiceError } from '@sluice/base';
import type { MemoryLink } from './memory-flow.ts';
import { MemoryFlow } from './memory-flow.ts';
import type { MemoryStream } from './memory-stream.ts';

/** Must call `deliver` once, later and never from inside the call; how much later is its choice. */
export type DeliveryScheduler = (link: MemoryLink, deliver: () => void, bytes: readonly Uint8Array[]) => void;

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
  /** M4: as `die`, but nobody is told. Returns the other ends. */
  vanish(): readonly MemoryStream[];
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
  readonly #refusing = new Set<string>();
  /** M4 */
  readonly #dark = new Set<string>();
  /** M4: by the name of the process at their other end. */
  readonly #halfOpen = new Map<string, MemoryStream[]>();
  readonly #stalled = new Set<MemoryFlow>();
  #nextPort = 40_000;

  constructor(options: MemoryNetworkOptions) {
    this.clock = options.clock;
    this.connectTimeoutMs = options.connectTimeoutMs ?? 5_000;
    this.#schedule = options.schedule ?? ((_link, deliver) => options.clock.defer(deliver));
  }

  /** Nothing passes between the two processes, in either direction, until `heal`. */
  cut(one: string, other: string): void {
    this.cutOneWay(one, other);
    this.cutOneWay(other, one);
  }

  heal(one: string, other: string): void {
    this.healOneWay(one, other);
    this.healOneWay(other, one);
  }

  cutOneWay(from: string, to: string): void {
    this.#cuts.add(linkKey(from, to));
  }

  healOneWay(from: string, to: string): void {
    this.#cuts.delete(linkKey(from, to));
    this.#resumeStalled();
  }

  /** While it refuses, nobody reaches what the process listens on; what is open stays open. */
  setRefusing(name: string, isRefusing: boolean): void {
    if (isRefusing) this.#refusing.add(name);
    else this.#refusing.delete(name);
  }

  /** Resets the connections between two processes; new ones can be made at once. */
  disconnect(one: string, other: string): void {
    for (const process of this.#processes.get(one) ?? []) process.disconnect(other);
  }

  /** Every transport of this process is dead from now on; a new one may be made under the same name. */
  crash(name: string): void {
    for (const process of this.#leave(name)) process.die();
  }

  /** As `crash`, but nobody is told (M4), and until `powerOn` nobody is answered either. */
  losePower(name: string): void {
    this.#dark.add(name);
    const halfOpen = [...this.#leave(name)].flatMap((process) => process.vanish());
    this.#halfOpen.set(name, [...(this.#halfOpen.get(name) ?? []), ...halfOpen]);
  }

  /** The kernel is there again, and resets what it does not know. */
  powerOn(name: string): void {
    if (!this.#dark.delete(name)) return;
    this.expire(name);
    this.#resumeStalled();
  }

  /** The other ends of a machine that lost power find out: by a reset when it is back, or by asking whether it lives. */
  expire(name: string): void {
    const halfOpen = this.#halfOpen.get(name) ?? [];
    this.#halfOpen.delete(name);
    for (const stream of halfOpen) stream.finish(new SluiceError('CONNECTION_LOST'));
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
    const listener = this.#listeners.get(address);
    return listener === undefined || this.#refusing.has(listener.process) ? undefined : listener;
  }

  /** The process behind an address, or the address itself when nobody ever listened there. */
  homeOf(address: string): string {
    return this.#homes.get(address) ?? address;
  }

  flow(link: MemoryLink): MemoryFlow {
    return new MemoryFlow(link, {
      schedule: (deliver, bytes) => this.#schedule(link, deliver, bytes),
      stalls: (flow) => {
        if (!this.#isCut(link)) return false;
        this.#stalled.add(flow);
        return true;
      },
    });
  }

  #resumeStalled(): void {
    for (const flow of this.#stalled) {
      if (this.#isCut(flow.link)) continue;
      this.#stalled.delete(flow);
      flow.resume();
    }
  }

  #leave(name: string): Iterable<MemoryProcess> {
    for (const [address, listener] of this.#listeners) if (listener.process === name) this.#listeners.delete(address);
    const processes = this.#processes.get(name) ?? [];
    this.#processes.delete(name);
    return processes;
  }

  #isCut(link: MemoryLink): boolean {
    return this.#dark.has(link.to) || this.#cuts.has(linkKey(link.from, link.to));
  }
}

const linkKey = (from: string, to: string): string => `${from}\n${to}`;
