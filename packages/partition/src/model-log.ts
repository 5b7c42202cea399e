/** A disk that loses what was not synced, for the model test: one log as an ordered list of changes. */
import { invariant } from '@sluice/base';
import type { Offset } from '@sluice/base';
import type { LogChange } from './effects.ts';
import type { BatchFacts } from './events.ts';

/** A batch with what stands for its bytes. */
export interface ModelBatch extends BatchFacts {
  readonly value: string;
}

interface Trim {
  readonly kind: 'trim';
  readonly to: Offset;
  readonly generation: number;
}

type Change = { readonly change: LogChange | Trim; readonly batches: readonly ModelBatch[] };

interface Contents {
  readonly start: Offset;
  readonly end: Offset;
  readonly batches: readonly ModelBatch[];
}

export class ModelLog {
  #durable: Contents;
  #current: Contents;
  #unsynced: Change[] = [];

  constructor(start: Offset) {
    this.#durable = { start, end: start, batches: [] };
    this.#current = this.#durable;
  }

  get current(): Contents {
    return this.#current;
  }

  /** Where it starts after any crash. */
  get durableStart(): Offset {
    return this.#durable.start;
  }

  /** Where it ends after any crash, at the least. */
  get durableEnd(): Offset {
    return this.#durable.end;
  }

  get unsyncedCount(): number {
    return this.#unsynced.length;
  }

  apply(change: LogChange, batches: readonly ModelBatch[]): void {
    this.#unsynced.push({ change, batches });
    this.#current = after(this.#current, { change, batches });
  }

  trim(to: Offset, generation: number): void {
    const trim = { change: { kind: 'trim' as const, to, generation }, batches: [] };
    this.#unsynced.push(trim);
    this.#current = after(this.#current, trim);
  }

  /** Makes the first `count` unsynced changes durable and tells how far that is, by the last of them. */
  sync(count: number): { readonly generation: number; readonly end: Offset; readonly start: Offset } | undefined {
    const synced = this.#unsynced.splice(0, count);
    for (const one of synced) this.#durable = after(this.#durable, one);
    const last = synced.at(-1)?.change;
    return last && { generation: last.generation, end: this.#durable.end, start: this.#durable.start };
  }

  /** The power fails: the first `surviving` unsynced changes made it to the disk, the others did not. */
  crash(surviving: number): void {
    this.sync(surviving);
    this.#unsynced = [];
    this.#current = this.#durable;
  }
}

const isBoundary = ({ start, end, batches }: Contents, at: Offset): boolean =>
  at === start || at === end || batches.some(({ endOffset }) => endOffset === at);

function after(contents: Contents, { change, batches }: Change): Contents {
  switch (change.kind) {
    case 'append':
      return { start: contents.start, end: change.endOffset, batches: [...contents.batches, ...batches] };
    case 'truncate':
      invariant(isBoundary(contents, change.to), 'a log is cut between batches', { contents, to: change.to });
      return {
        start: contents.start,
        end: change.to,
        batches: contents.batches.filter((batch) => batch.endOffset <= change.to),
      };
    case 'restartAt':
      return { start: change.to, end: change.to, batches: [] };
    case 'trim':
      return {
        start: change.to,
        end: contents.end,
        batches: contents.batches.filter((batch) => batch.endOffset > change.to),
      };
  }
}
