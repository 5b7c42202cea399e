/** Events ordered by (time, number): a binary heap. Equal times run in the order in which they were added. */
export interface QueuedEvent {
  readonly atUs: number;
  readonly number: number;
  readonly label: string;
  readonly run: () => void;
  cancelled: boolean;
}

export class EventQueue {
  readonly #heap: QueuedEvent[] = [];
  #added = 0;

  get size(): number {
    return this.#heap.length;
  }

  add(atUs: number, label: string, run: () => void): QueuedEvent {
    const event: QueuedEvent = { atUs, number: this.#added, label, run, cancelled: false };
    this.#added += 1;
    this.#siftUp(event, this.#heap.length);
    return event;
  }

  /** Removes the first event that was not cancelled. */
  take(): QueuedEvent | undefined {
    for (;;) {
      const first = this.#heap[0];
      if (first === undefined) return undefined;
      const last = this.#heap.pop();
      if (last !== undefined && this.#heap.length > 0) this.#siftDown(last);
      if (!first.cancelled) return first;
    }
  }

  /** The hole at `from` moves up until the event fits. */
  #siftUp(event: QueuedEvent, from: number): void {
    const heap = this.#heap;
    let at = from;
    while (at > 0) {
      const above = (at - 1) >> 1;
      const parent = heap[above];
      if (parent === undefined || !isBefore(event, parent)) break;
      heap[at] = parent;
      at = above;
    }
    heap[at] = event;
  }

  /** The hole at the top moves down until the event fits. */
  #siftDown(event: QueuedEvent): void {
    const heap = this.#heap;
    let at = 0;
    for (;;) {
      let below = 2 * at + 1;
      let child = heap[below];
      const right = heap[below + 1];
      if (child !== undefined && right !== undefined && isBefore(right, child)) {
        below += 1;
        child = right;
      }
      if (child === undefined || !isBefore(child, event)) break;
      heap[at] = child;
      at = below;
    }
    heap[at] = event;
  }
}

const isBefore = (one: QueuedEvent, other: QueuedEvent): boolean =>
  one.atUs < other.atUs || (one.atUs === other.atUs && one.number < other.number);
