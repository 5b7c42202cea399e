/** Reads the logs of replicas, so many at a time, in the order they were asked for. Owned by `PartitionHosts`. */

/** Enough to keep the disk busy; each holds a buffer of about a megabyte, and a node may open 10,000 at once. */
export const loadsMax = 16;

interface Loadable {
  /** Never rejects. */
  load(): Promise<void>;
}

export class LogLoads {
  #waiting: Loadable[] = [];
  #next = 0;
  #running = 0;

  add(host: Loadable): void {
    this.#waiting.push(host);
    if (this.#running < loadsMax) void this.#run();
  }

  async #run(): Promise<void> {
    this.#running += 1;
    for (let host = this.#waiting[this.#next]; host !== undefined; host = this.#waiting[this.#next]) {
      this.#next += 1;
      await host.load();
    }
    this.#running -= 1;
    if (this.#running > 0) return;
    this.#waiting = [];
    this.#next = 0;
  }
}
