/** Runs a fuzz target over many inputs; each can be run alone again by its number. */
import { fuzzInput } from './fuzz-inputs.testing.ts';
import { fuzzSeed, type FuzzTarget, refusesTyped } from './fuzz-targets.testing.ts';

export interface FuzzRun {
  readonly seed: number;
  /** Number of the first input. */
  readonly first: number;
  readonly inputs: number;
  readonly onProgress?: (inputs: number) => void;
}

export interface FuzzResult {
  readonly inputs: number;
  /** Of all inputs together. */
  readonly bytes: number;
  readonly slowestMs: number;
  readonly allocatedBytesMax: number;
  readonly problems: readonly string[];
}

/** One that takes longer hangs, as good as. */
const inputMsMax = 5000;
const problemsMax = 20;
const progressEvery = 1000;

export async function fuzz({ samples, decode, allocation }: FuzzTarget, run: FuzzRun): Promise<FuzzResult> {
  const { seed, first, inputs, onProgress } = run;
  const counter = new AllocationCounter();
  const problems: string[] = [];
  let bytes = 0;
  let slowestMs = 0;
  let allocatedBytesMax = 0;
  let done = 0;
  try {
    for (; done < inputs && problems.length < problemsMax; done += 1) {
      const number = first + done;
      const random = fuzzSeed(seed, number);
      const input = fuzzInput(samples, random);
      bytes += input.length;
      counter.reset();
      const startedMs = performance.now();
      const problem = await attempt(() => decode(input, random));
      const ms = performance.now() - startedMs;
      slowestMs = Math.max(slowestMs, ms);
      allocatedBytesMax = Math.max(allocatedBytesMax, counter.bytes);
      if (problem !== undefined) problems.push(`input ${number}: ${problem}`);
      if (ms > inputMsMax) problems.push(`input ${number} took ${Math.round(ms)} ms`);
      const mayAllocate = input.length * allocation.perByte + allocation.beside;
      if (counter.bytes > mayAllocate) {
        problems.push(`input ${number} of ${input.length} bytes allocates ${counter.bytes}, ${mayAllocate} at most`);
      }
      if (counter.atOnce > (allocation.atOnceMax ?? mayAllocate)) {
        problems.push(`input ${number} of ${input.length} bytes makes room for ${counter.atOnce} at once`);
      }
      if ((done + 1) % progressEvery > 0) continue;
      onProgress?.(done + 1);
      // A process that runs this hears that it is to end.
      await new Promise((resolve) => void setImmediate(resolve));
    }
  } finally {
    counter.stop();
  }
  return { inputs: done, bytes, slowestMs: Math.round(slowestMs), allocatedBytesMax, problems };
}

async function attempt(decode: () => string | undefined | Promise<string | undefined>): Promise<string | undefined> {
  try {
    return await decode();
  } catch (error) {
    try {
      return refusesTyped(error);
    } catch {
      return error instanceof Error ? (error.stack ?? error.message) : String(error);
    }
  }
}

/** Counts the bytes of every `Uint8Array` that is made by length, while it is there: what a wrong length field would ask for. */
class AllocationCounter {
  bytes = 0;
  /** The largest of them. */
  atOnce = 0;
  readonly #original = globalThis.Uint8Array;

  constructor() {
    const count = (length: number): void => {
      this.bytes += length;
      this.atOnce = Math.max(this.atOnce, length);
    };
    globalThis.Uint8Array = new Proxy(this.#original, {
      construct(target, args: unknown[], newTarget) {
        if (typeof args[0] === 'number') count(args[0]);
        return Reflect.construct(target, args, newTarget === globalThis.Uint8Array ? target : newTarget) as object;
      },
    });
  }

  reset(): void {
    this.bytes = 0;
    this.atOnce = 0;
  }

  stop(): void {
    globalThis.Uint8Array = this.#original;
  }
}
