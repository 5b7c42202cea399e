/** Deliveries in one direction of one call, in the order they were made (M1 of the network). */

export interface MemoryLink {
  readonly from: string;
  readonly to: string;
  /** What the operating system of the receiver does, whatever its processes do. */
  readonly kernel?: true;
}

export interface FlowWires {
  schedule(deliver: () => void, bytes: readonly Uint8Array[]): void;
  /** True when the link is cut; the network then calls `resume` when it is whole again. */
  stalls(flow: MemoryFlow): boolean;
}

interface Delivery {
  readonly run: () => void;
  arrived: boolean;
}

/** One direction of one call. What arrives before its turn waits for what was sent before it, as TCP has it. */
export class MemoryFlow {
  readonly link: MemoryLink;
  readonly #wires: FlowWires;
  readonly #queue: Delivery[] = [];
  #stalled: Delivery[] = [];

  constructor(link: MemoryLink, wires: FlowWires) {
    this.link = link;
    this.#wires = wires;
  }

  push(run: () => void, bytes: readonly Uint8Array[] = []): void {
    const delivery: Delivery = { run, arrived: false };
    this.#queue.push(delivery);
    this.#wires.schedule(() => this.#arrive(delivery), bytes);
  }

  resume(): void {
    const stalled = this.#stalled;
    this.#stalled = [];
    for (const delivery of stalled) this.#wires.schedule(() => this.#arrive(delivery), []);
  }

  #arrive(delivery: Delivery): void {
    if (this.#wires.stalls(this)) {
      this.#stalled.push(delivery);
      return;
    }
    delivery.arrived = true;
    while (this.#queue[0]?.arrived === true) this.#queue.shift()?.run();
  }
}
