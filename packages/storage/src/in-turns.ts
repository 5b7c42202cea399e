/** Long synchronous work in slices: a generator gives a turn away where it yields. */
import { type Clock, laterTurn } from '@sluice/base';

/** Logs that are dealt with in one turn: about a millisecond of a footer. */
export const logsInTurn = 500;

/** At once. */
export function atOnce<T>(work: Generator<void, T, undefined>): T {
  for (;;) {
    const step = work.next();
    if (step.done === true) return step.value;
  }
}

/** With others in between. */
export async function inTurns<T>(clock: Clock, work: Generator<void, T, undefined>): Promise<T> {
  for (;;) {
    const step = work.next();
    if (step.done === true) return step.value;
    await laterTurn(clock);
  }
}
