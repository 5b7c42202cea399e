/** Shows that something does not happen: the condition is looked at again and again for as long as it might. */
import { setTimeout as sleep } from 'node:timers/promises';

/** Throws as soon as `look` finds something. */
export async function holds(
  look: () => string | undefined | Promise<string | undefined>,
  { forMs, everyMs = 100 }: { readonly forMs: number; readonly everyMs?: number },
): Promise<void> {
  const deadlineMs = performance.now() + forMs;
  while (performance.now() < deadlineMs) {
    const found = await look();
    if (found !== undefined) throw new Error(found);
    await sleep(everyMs);
  }
}
