/**
 * Whether a concurrent history of one object could have been made by an atomic one: the search of Wing and Gong with the
 * memo of Lowe (the method of Porcupine). Objects are independent: the caller partitions by object (P-compositionality).
 *
 * An operation takes effect at one moment between its call and its return; one whose outcome is unknown at any moment
 * after its call, or never.
 */
export interface Operation<Request, Answer> {
  readonly request: Request;
  /** Undefined: nobody knows whether it took effect. */
  readonly answer: Answer | undefined;
  readonly calledAt: number;
  /** Infinity when the outcome is unknown. */
  readonly returnedAt: number;
}

export interface Model<State, Request, Answer> {
  readonly initial: State;
  /** The state after the request, if an atomic object could have given this answer; undefined: it could not. */
  readonly step: (state: State, request: Request, answer: Answer | undefined) => State | undefined;
  /** Equal states have equal texts. */
  readonly text: (state: State) => string;
}

export type Linearizability =
  | { readonly outcome: 'linearizable' }
  /** `stuck`: the operations of which no one could come next, in the longest order that was found. */
  | { readonly outcome: 'not-linearizable'; readonly stuck: readonly number[] }
  /** The search was given up. */
  | { readonly outcome: 'unknown' };

/** One end of an operation, in a doubly linked list that the search shortens and restores. */
interface Edge {
  readonly operation: number;
  /** Of a call: its return. Of a return: undefined. */
  readonly match: Edge | undefined;
  previous: Edge | undefined;
  next: Edge | undefined;
}

interface Choice<State> {
  readonly call: Edge;
  readonly before: State;
}

const stepsMaxDefault = 5_000_000;

export function checkLinearizable<State, Request, Answer>(
  model: Model<State, Request, Answer>,
  operations: readonly Operation<Request, Answer>[],
  stepsMax = stepsMaxDefault,
): Linearizability {
  const search = new Search(model, operations);
  for (let steps = 0; steps < stepsMax; steps += 1) {
    const outcome = search.step();
    if (outcome !== undefined) return outcome;
  }
  return { outcome: 'unknown' };
}

class Search<State, Request, Answer> {
  readonly #model: Model<State, Request, Answer>;
  readonly #operations: readonly Operation<Request, Answer>[];
  readonly #head: Edge;
  readonly #seen = new Set<string>();
  readonly #chosen: Choice<State>[] = [];
  readonly #isChosen: Uint8Array;
  #state: State;
  #at: Edge | undefined;
  #certainLeft: number;
  #deepest: { readonly depth: number; readonly stuck: readonly number[] } = { depth: -1, stuck: [] };

  constructor(model: Model<State, Request, Answer>, operations: readonly Operation<Request, Answer>[]) {
    this.#model = model;
    this.#operations = operations;
    this.#state = model.initial;
    this.#isChosen = new Uint8Array(operations.length);
    this.#certainLeft = operations.filter(({ returnedAt }) => returnedAt !== Number.POSITIVE_INFINITY).length;
    this.#head = linked(operations);
    this.#at = this.#head.next;
  }

  /** Undefined: not decided yet. */
  step(): Linearizability | undefined {
    if (this.#certainLeft === 0) return { outcome: 'linearizable' };
    const edge = this.#at;
    if (edge?.match !== undefined) {
      if (!this.#choose(edge)) this.#at = edge.next;
      return undefined;
    }
    // A return that must come before any call that is left, or the end of all: what was chosen last was wrong.
    this.#remember();
    const last = this.#chosen.pop();
    if (last === undefined) return { outcome: 'not-linearizable', stuck: this.#deepest.stuck };
    this.#takeBack(last);
    this.#at = last.call.next;
    return undefined;
  }

  #choose(call: Edge): boolean {
    const operation = this.#operations[call.operation];
    if (operation === undefined) return false;
    const after = this.#model.step(this.#state, operation.request, operation.answer);
    if (after === undefined) return false;
    this.#isChosen[call.operation] = 1;
    const memo = `${this.#isChosenText()} ${this.#model.text(after)}`;
    if (this.#seen.has(memo)) {
      this.#isChosen[call.operation] = 0;
      return false;
    }
    this.#seen.add(memo);
    this.#chosen.push({ call, before: this.#state });
    this.#state = after;
    if (operation.returnedAt !== Number.POSITIVE_INFINITY) this.#certainLeft -= 1;
    unlink(call);
    if (call.match !== undefined) unlink(call.match);
    this.#at = this.#head.next;
    return true;
  }

  #takeBack({ call, before }: Choice<State>): void {
    this.#state = before;
    this.#isChosen[call.operation] = 0;
    if (this.#operations[call.operation]?.returnedAt !== Number.POSITIVE_INFINITY) this.#certainLeft += 1;
    if (call.match !== undefined) relink(call.match);
    relink(call);
  }

  /** The set of chosen operations, exact: how many are chosen from the first on, then 16 of the others a character. */
  #isChosenText(): string {
    const first = this.#isChosen.indexOf(0);
    const last = this.#isChosen.lastIndexOf(1);
    let text = `${first} `;
    for (let at = first; at >= 0 && at <= last; at += 16) {
      let bits = 0;
      for (let bit = 0; bit < 16; bit += 1) bits |= (this.#isChosen[at + bit] ?? 0) << bit;
      text += String.fromCharCode(bits);
    }
    return text;
  }

  #remember(): void {
    if (this.#chosen.length <= this.#deepest.depth) return;
    const stuck: number[] = [];
    for (let edge = this.#head.next; edge?.match !== undefined; edge = edge.next) stuck.push(edge.operation);
    this.#deepest = { depth: this.#chosen.length, stuck };
  }
}

/** Calls and returns in the order of time; a call comes before a return of the same moment, which allows more orders. */
function linked<Request, Answer>(operations: readonly Operation<Request, Answer>[]): Edge {
  const ends = operations.flatMap(({ calledAt, returnedAt }, operation) => {
    const returned: Edge = { operation, match: undefined, previous: undefined, next: undefined };
    const called: Edge = { operation, match: returned, previous: undefined, next: undefined };
    return [
      { at: calledAt, order: 0, edge: called },
      { at: returnedAt, order: 1, edge: returned },
    ];
  });
  ends.sort((one, other) => (one.at === other.at ? one.order - other.order : one.at - other.at));
  const head: Edge = { operation: -1, match: undefined, previous: undefined, next: undefined };
  let last = head;
  for (const { edge } of ends) {
    last.next = edge;
    edge.previous = last;
    last = edge;
  }
  return head;
}

function unlink(edge: Edge): void {
  if (edge.previous !== undefined) edge.previous.next = edge.next;
  if (edge.next !== undefined) edge.next.previous = edge.previous;
}

/** In the opposite order of `unlink`: the neighbours are then those that there were. */
function relink(edge: Edge): void {
  if (edge.previous !== undefined) edge.previous.next = edge;
  if (edge.next !== undefined) edge.next.previous = edge;
}
