/** Deliveries in one direction of one call, in the order they were made (M1 of the network). */

export interface MemoryLink {
  readonly from: string;
  readonly to: string;
}

export interface FlowWires {
  schedule(deliver: () => void): void;
  /** True when the link is cut; the network then calls `resume` when it is whole again. */
  stalls(flow: MemoryFlow): boolean;
}

/** One direction of one call. */
export class MemoryFlow {
  readonly link: MemoryLink;
  readonly #wires: FlowWires;
  readonly #queue: (() => void)[] = [];
  #stalledSteps = 0;

  constructor(link: MemoryLink, wires: FlowWires) {
    this.link = link;
    this.#wires = wires;
  }

  push(deliver: () => void): void {
    this.#queue.push(deliver);
    this.#wires.schedule(() => this.#step());
  }

  resume(): void {
    const steps = this.#stalledSteps;
    this.#stalledSteps = 0;
    for (let step = 0; step < steps; step += 1) this.#wires.schedule(() => this.#step());
  }

  #step(): void {
    if (this.#wires.stalls(this)) this.#stalledSteps += 1;
    else this.#queue.shift()?.();
  }
}
