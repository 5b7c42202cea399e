/** The thread of `metronome.ts`: sleeps as told, then says so. */
import { parentPort, workerData } from 'node:worker_threads';

/** [microseconds to sleep, negative to end; never written: what the thread sleeps on]. */
const cells = workerData as Int32Array<SharedArrayBuffer>;

for (;;) {
  Atomics.wait(cells, 0, 0);
  const us = Atomics.exchange(cells, 0, 0);
  if (us < 0) break;
  Atomics.wait(cells, 1, 0, us / 1000);
  parentPort?.postMessage(null);
}
