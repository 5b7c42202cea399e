/**
 * The leader's decisions, one at a time: a request is decided on the committed image, its records are proposed, and the
 * answer is parked until they are committed and applied; then comes the next. Owned by `ControllerNode`.
 *
 * Q1. Only a leader that has applied its own term's first entry decides: then its image holds everything committed.
 * Q2. A decision is made on an image that nothing else can have changed by the time its records are replayed (ADR 0006).
 * Q3. When leadership ends, the request whose records are out is answered CONTROLLER_CHANGED (indefinite), those that
 *     wait NOT_CONTROLLER (definite).
 * Q4. An answer that commits nothing, a refusal or what is so already, is given only once a quorum has confirmed that
 *     this node led after the decision: with Q1 and Q2 the image it was made on was then the newest there was, so that
 *     all answers together are linearizable. Nothing waits behind it.
 */
import { brokerEpoch, SluiceError } from '@sluice/base';
import type { LogIndex, Term } from '@sluice/base';
import { decide, encodeRecords } from '@sluice/metadata';
import type { MetadataImage, MetadataRequest, ResponseValues } from '@sluice/metadata';
import type { Entry, Proposal, ReadOutcome } from '@sluice/raft';
import { LeadershipReads } from './leadership-reads.ts';

export interface DecisionsOptions {
  readonly image: MetadataImage;
  /** Undefined when the node halted meanwhile. */
  readonly propose: (payload: Uint8Array) => Proposal | undefined;
  /** Answered by `onReads`, now or later. */
  readonly read: (id: number) => void;
}

interface Waiting {
  readonly request: MetadataRequest;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
}

interface Proposed {
  readonly waiting: Waiting;
  readonly index: LogIndex;
  readonly term: Term;
  readonly value: unknown;
}

/** More than this many waiting requests are refused: a controller that falls behind says so. */
const waitingMax = 10_000;

export class Decisions {
  readonly #options: DecisionsOptions;
  readonly #reads: LeadershipReads;
  readonly #waiting: Waiting[] = [];
  #proposed: Proposed | undefined;
  /** Waits for the first entry of its term: what is asked meanwhile is decided then, instead of being asked again. */
  #isElected = false;
  #leads = false;

  constructor(options: DecisionsOptions) {
    this.#options = options;
    this.#reads = new LeadershipReads(options.read, () => options.image.appliedIndex);
  }

  /** Leading, with everything committed before applied (Q1). */
  get leads(): boolean {
    return this.#leads;
  }

  /** The answer, once its records are committed or this leadership is confirmed. A refusal rejects with its error. */
  ask<Request extends MetadataRequest>(request: Request): Promise<ResponseValues[Request['type']]> {
    if (!this.#isElected && !this.#leads) return Promise.reject(new SluiceError('NOT_CONTROLLER'));
    if (this.#waiting.length + this.#reads.waiting >= waitingMax) {
      return Promise.reject(
        new SluiceError('LIMIT_EXCEEDED', { message: 'The controller has too many requests waiting.' }),
      );
    }
    const { promise, resolve, reject } = Promise.withResolvers<ResponseValues[Request['type']]>();
    this.#waiting.push({ request, resolve: resolve as (value: unknown) => void, reject });
    this.#next();
    return promise;
  }

  /** Resolves once a quorum has confirmed, after this call, that this node leads; else rejects with NOT_CONTROLLER. */
  confirm(): Promise<void> {
    if (!this.#leads) return Promise.reject(new SluiceError('NOT_CONTROLLER'));
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#reads.wait({ confirmed: resolve, failed: () => reject(new SluiceError('NOT_CONTROLLER')) });
    return promise;
  }

  /** It won the election, and does not lead yet (Q1). */
  elected(): void {
    this.#isElected = true;
  }

  lead(): void {
    this.#leads = true;
    this.#next();
  }

  stepDown(): void {
    this.#isElected = false;
    this.#leads = false;
    this.#proposed?.waiting.reject(new SluiceError('CONTROLLER_CHANGED'));
    this.#proposed = undefined;
    for (const { reject } of this.#waiting.splice(0)) reject(new SluiceError('NOT_CONTROLLER'));
    this.#reads.fail();
  }

  onReads(outcomes: readonly ReadOutcome[]): void {
    this.#reads.onReads(outcomes);
  }

  /** After the entry was applied to the image. */
  onApplied(entry: Entry): void {
    this.#reads.onApplied();
    const proposed = this.#proposed;
    if (proposed === undefined || entry.index < proposed.index) return;
    this.#proposed = undefined;
    if (entry.index === proposed.index && entry.term === proposed.term) proposed.waiting.resolve(proposed.value);
    else proposed.waiting.reject(new SluiceError('CONTROLLER_CHANGED'));
    this.#next();
  }

  #next(): void {
    while (this.#leads && this.#proposed === undefined) {
      const waiting = this.#waiting.shift();
      if (waiting === undefined) return;
      this.#decide(waiting);
    }
  }

  #decide(waiting: Waiting): void {
    const decision = this.#decision(waiting);
    if (decision === undefined) return;
    const { records, response } = decision;
    if (!response.ok || records.length === 0) {
      this.#answerConfirmed(waiting, response);
      return;
    }
    const proposal = this.#options.propose(encodeRecords(records));
    if (proposal?.outcome !== 'accepted') {
      waiting.reject(new SluiceError(refusals[proposal?.outcome ?? 'unknown']));
      return;
    }
    const value = withGrantedEpoch(waiting.request, response.value, proposal.firstIndex);
    this.#proposed = { waiting, index: proposal.firstIndex, term: proposal.term, value };
  }

  #answerConfirmed({ resolve, reject }: Waiting, response: ReturnType<typeof decide>['response']): void {
    const confirmed = (): void => {
      if (response.ok) return resolve(response.value);
      const { code, message, details } = response.error;
      reject(new SluiceError(code, { message, details }));
    };
    this.#reads.wait({ confirmed, failed: () => reject(new SluiceError('NOT_CONTROLLER')) });
  }

  /** `decide` changes nothing: if it throws, one request is lost and those behind it are not. */
  #decision(waiting: Waiting): ReturnType<typeof decide> | undefined {
    try {
      return decide(this.#options.image, waiting.request);
    } catch (thrown) {
      waiting.reject(thrown);
      return undefined;
    }
  }
}

/** `unknown`: this node halts, and what went out before that nobody knows. */
const refusals = {
  'tail-full': 'LIMIT_EXCEEDED',
  'not-leader': 'NOT_CONTROLLER',
  transferring: 'NOT_CONTROLLER',
  unknown: 'CONTROLLER_CHANGED',
} as const;

/** A registration's broker epoch is the index of its entry, which is known only now. */
function withGrantedEpoch(request: MetadataRequest, value: unknown, index: LogIndex): unknown {
  if (request.type !== 'registerNode') return value;
  const registered = value as ResponseValues['registerNode'];
  return { ...registered, brokerEpoch: registered.brokerEpoch ?? brokerEpoch(index) };
}
