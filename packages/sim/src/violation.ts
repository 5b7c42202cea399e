/** What a simulated run must never show. Ends the run; the seed shows it again. */
export class Violation extends Error {
  override readonly name = 'Violation';
  readonly invariant: string;
  readonly details: Readonly<Record<string, unknown>>;

  /** `invariant`: short name, e.g. `election-safety`; the text says what was seen. */
  constructor(invariant: string, text: string, details: Readonly<Record<string, unknown>> = {}) {
    super(`${invariant}: ${text} ${JSON.stringify(details)}`);
    this.invariant = invariant;
    this.details = details;
  }
}

type Details = Readonly<Record<string, unknown>>;

/** Details that are asked for at every event are best made when they are needed: as a function. */
export function mustHold(
  condition: boolean,
  invariant: string,
  text: string,
  details?: Details | (() => Details),
): asserts condition {
  if (!condition) throw new Violation(invariant, text, typeof details === 'function' ? details() : details);
}
