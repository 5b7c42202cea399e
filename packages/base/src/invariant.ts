/** A broken invariant is a programmer's error: nobody catches it, the process stops. */
export class InvariantError extends Error {
  override readonly name = 'InvariantError';
  readonly details: Readonly<Record<string, unknown>>;

  constructor(message: string, details: Readonly<Record<string, unknown>> = {}) {
    super(`${message} ${JSON.stringify(details)}`);
    this.details = details;
  }
}

/** Stays on in production: going on with broken state costs more than stopping. */
export function invariant(
  condition: boolean,
  message: string,
  details?: Readonly<Record<string, unknown>>,
): asserts condition {
  if (!condition) throw new InvariantError(message, details);
}

/** The last arm of an exhaustive `switch`. */
export function unreachable(value: never): never {
  throw new InvariantError('unreachable case', { value });
}
