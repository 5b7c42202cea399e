/** A pending callback; cancelling twice, or after it fired, does nothing. */
export interface Timer {
  cancel(): void;
}

/** Port: time. Real: `SystemClock` in `server` and `client`; simulated: in `sim`. */
export interface Clock {
  /** Milliseconds since an arbitrary origin, with a fraction; never goes back. For durations. */
  monotonicMs(): number;
  /** Milliseconds since the Unix epoch; may jump either way. For stamps; what would delete by it asks `SteadyWall`. */
  wallMs(): number;
  /** Calls `onFire` once, no earlier than `delayMs` from now. */
  setTimer(delayMs: number, onFire: () => void): Timer;
  /** Calls `run` once, after the events that are ready now: gathers the work of one turn. */
  defer(run: () => void): void;
}

/** Long work gives its turn away here: resolves after the events that are ready now. */
export const laterTurn = (clock: Clock): Promise<void> => new Promise((resolve) => clock.defer(resolve));
