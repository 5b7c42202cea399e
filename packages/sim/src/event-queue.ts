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
    this.#heap.push(event);
    this.#siftUp(this.#heap.length - 1);
    return event;
  }

  /** Removes the first event that was not cancelled. */
  take(): QueuedEvent | undefined {
    for (;;) {
      const first = this.#heap[0];
      if (first === undefined) return undefined;
      const last = this.#heap.pop();
      if (last !== undefined && this.#heap.length > 0) {
        this.#heap[0] = last;
        this.#siftDown();
      }
      if (!first.cancelled) return first;
    }
  }

  #siftUp(from: number): void {
    let at = from;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!this.#swapIfBefore(at, parent)) return;
      at = parent;
    }
  }

  #siftDown(): void {
    let at = 0;
    for (;;) {
      const left = 2 * at + 1;
      const right = left + 1;
      if (left >= this.#heap.length) return;
      const smaller = right < this.#heap.length && isBefore(this.#heap[right], this.#heap[left]) ? right : left;
      if (!this.#swapIfBefore(smaller, at)) return;
      at = smaller;
    }
  }

  #swapIfBefore(one: number, other: number): boolean {
    const first = this.#heap[one];
    const second = this.#heap[other];
    if (first === undefined || second === undefined || !isBefore(first, second)) return false;
    this.#heap[one] = second;
    this.#heap[other] = first;
    return true;
  }
}

const isBefore = (one: QueuedEvent | undefined, other: QueuedEvent | undefined): boolean =>
  one !== undefined &&
  other !== undefined &&
  (one.atUs < other.atUs || (one.atUs === other.atUs && one.number < other.number));
