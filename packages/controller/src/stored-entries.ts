/** Raft entries as the node log stores them: the kind is a number there, fixed for ever. */
import { invariant } from '@sluice/base';
import type { Entry, EntryKind } from '@sluice/raft';
import type { RaftEntry } from '@sluice/storage';

const kindsByNumber: readonly EntryKind[] = ['no-op', 'command', 'membership'];

export const entryKindNumber = (kind: EntryKind): number => kindsByNumber.indexOf(kind);

export function loadedEntry(stored: RaftEntry): Entry {
  const kind = kindsByNumber[stored.kind];
  invariant(kind !== undefined, 'a Raft entry of unknown kind: written by a newer version', { kind: stored.kind });
  return { index: stored.index, term: stored.term, kind, payload: stored.payload };
}
