/**
 * The clock of one process on one machine: its timers die with the process, wait while it is paused, and run at the
 * machine's own rate. The wall clock jumps by itself, the monotonic clock never does.
 */
import type { Clock, Random } from '@sluice/base';
import type { Simulation } from './simulation.ts';

/** When simulated runs begin on the wall clock: a moment that no test depends on. */
const wallStartMs = 1_800_000_000_000;

/** What a machine's clocks have in common over the lives of its processes. */
export class MachineTime {
  readonly #simulation: Simulation;
  #rate = 1;
  /** The monotonic clock as it was when the rate last changed. */
  #sinceMs = 0;
  #atMs = 0;
  #wallOffsetMs = 0;

  constructor(simulation: Simulation) {
    this.#simulation = simulation;
  }

  get rate(): number {
    return this.#rate;
  }

  monotonicMs(): number {
    return this.#atMs + (this.#simulation.nowMs - this.#sinceMs) * this.#rate;
  }

  wallMs(): number {
    return wallStartMs + this.#wallOffsetMs + Math.floor(this.monotonicMs());
  }

  /** From now on this many milliseconds pass here in one of the simulation. */
  setRate(rate: number): void {
    this.#atMs = this.monotonicMs();
    this.#sinceMs = this.#simulation.nowMs;
    this.#rate = rate;
  }

  jumpWall(byMs: number): void {
    this.#wallOffsetMs += byMs;
  }
}

interface Held {
  readonly run: () => void;
  /** Of a message: the machine that it came from. */
  readonly from?: string | undefined;
  /** It is the machine's: when the process dies it still happens. */
  readonly outlives: boolean;
}

/** What a process does waits here while it is paused, and ends here when it dies. */
export class ProcessGate {
  readonly #simulation: Simulation;
  readonly #owner: string;
  readonly #onRun: () => void;
  readonly #random: Random;
  #held: Held[] | undefined;
  #alive = true;

  /** `onRun`: before anything that the process does. */
  constructor(simulation: Simulation, owner: string, onRun: () => void = () => undefined) {
    this.#simulation = simulation;
    this.#owner = owner;
    this.#onRun = onRun;
    this.#random = simulation.random.fork(`gate of ${owner}`);
  }

  get isAlive(): boolean {
    return this.#alive;
  }

  get paused(): boolean {
    return this.#held !== undefined;
  }

  /** Now, when it goes on, or never. */
  pass(run: () => void): void {
    if (this.#alive) this.#take({ run, outlives: false });
  }

  /** Now, or when it goes on or dies: what the machine does when there is no process to take it. */
  passOrAtDeath(run: () => void, from?: string): void {
    this.#take({ run, from, outlives: true });
  }

  pause(): void {
    if (this.#alive) this.#held ??= [];
  }

  /**
   * What was held happens now, each as an event of its own: in the order in which it came, or as a process finds it that
   * was stopped while it waited for the network: all that came, one peer after the other, then the rest.
   */
  resume(): void {
    const held = this.#held ?? [];
    this.#release(held.length > 1 && this.#random.below(2) === 0 ? this.#messagesFirst(held) : held);
  }

  /** The process is dead: nothing that it planned happens any more. */
  die(): void {
    this.#alive = false;
    this.#release((this.#held ?? []).filter(({ outlives }) => outlives));
  }

  #messagesFirst(held: readonly Held[]): readonly Held[] {
    const byPeer = Map.groupBy(held, ({ from }) => from);
    const rest = byPeer.get(undefined) ?? [];
    byPeer.delete(undefined);
    const messages = [...byPeer.values()].map((of) => ({ of, at: this.#random.below(2 ** 30) }));
    return [...messages.toSorted((one, other) => one.at - other.at).flatMap(({ of }) => of), ...rest];
  }

  #take(held: Held): void {
    if (this.#held !== undefined) {
      this.#held.push(held);
      return;
    }
    this.#onRun();
    held.run();
  }

  #release(held: readonly Held[]): void {
    this.#held = undefined;
    for (const { run, outlives, from } of held) {
      this.#simulation.schedule(0, `${this.#owner} resumed`, () =>
        outlives ? this.passOrAtDeath(run, from) : this.pass(run),
      );
    }
  }
}

export class SimClock implements Clock {
  readonly #simulation: Simulation;
  readonly #label: string;
  readonly #time: MachineTime;
  readonly #gate: ProcessGate;

  constructor(simulation: Simulation, owner: string, of: { time?: MachineTime; gate?: ProcessGate } = {}) {
    this.#simulation = simulation;
    this.#label = `${owner} timer`;
    this.#time = of.time ?? new MachineTime(simulation);
    this.#gate = of.gate ?? new ProcessGate(simulation, owner);
  }

  monotonicMs(): number {
    return this.#time.monotonicMs();
  }

  wallMs(): number {
    return this.#time.wallMs();
  }

  setTimer(delayMs: number, onFire: () => void): { cancel(): void } {
    let cancelled = false;
    const fire = (): void => {
      // One that fell due in a pause can still be cancelled by what happens before it.
      if (!cancelled) onFire();
    };
    const cancelEvent = this.#simulation.schedule((delayMs * 1000) / this.#time.rate, this.#label, () =>
      this.#gate.pass(fire),
    );
    return {
      cancel: () => {
        cancelled = true;
        cancelEvent();
      },
    };
  }

  defer(run: () => void): void {
    this.#simulation.defer(() => this.#gate.pass(run));
  }

  /** The process is dead: nothing that it planned happens any more. */
  die(): void {
    this.#gate.die();
  }
}
