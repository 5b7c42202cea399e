/**
 * A known bug that the simulator must find: proof that it sees. Not a flag of the product, but edits of its source, made
 * while a process of the simulator loads it (`plant`): nothing in production can switch one on, and neither the invariants
 * nor the checker can know of it.
 */
export interface Edit {
  /** From the root of the repository. */
  readonly file: string;
  /** Occurs once in the file; one that no longer does fails the tests and names the canary to be mended. */
  readonly find: string;
  readonly replace: string;
}

export interface Canary {
  readonly name: string;
  /** Who had this bug, or which rule it breaks. */
  readonly source: string;
  readonly edits: readonly Edit[];
}

/** Throws when an edit no longer fits. */
export function edited(source: string, { name }: Canary, { file, find, replace }: Edit): string {
  const parts = source.split(find);
  if (parts.length !== 2) {
    throw new Error(`canary ${name}: ${file} holds this text ${parts.length - 1} times, not once: ${find}`);
  }
  return parts.join(replace);
}
