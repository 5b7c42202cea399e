/**
 * Which files are rewritten next: pure. Asked by `Rewriter` whenever something has changed.
 *
 * W1 Files that are dead, behind one that is not, give their space back at once: that copies nothing.
 * W2 While all files together take more than `spaceAmplificationMax` times what lives, and two journal files, those go that
 *    give back the most for each byte that is copied.
 * W3 Journal files whose runs are short are brought into the order of partitions, several neighbours at once, and once.
 *    Those with long runs are read as fast as they are.
 * W4 Neighbours that have become small are put together, those of like size only, so that their number grows with the
 *    logarithm of what was written, and a byte is copied as often.
 */
import { entryBytes, type FinishedEntry, type FinishedFile } from './live-files.ts';

/** Mean run below which a file is regrouped: at 1 GB/s a read of this size takes about as long as finding it. */
const shortRunBytes = 128 * 1024;
/** So many journal files become one set. */
const regroupedMax = 4;
/** Beside what lives and its garbage, so many full journal files may be there. */
const spareFiles = 2;
const mergedMin = 8;
const mergedMax = 64;

export interface FileState {
  readonly file: FinishedFile;
  readonly liveBytes: number;
  /** Pieces that the live bytes lie in. */
  readonly extents: number;
}

export interface EntryState {
  readonly entry: FinishedEntry;
  readonly files: readonly FileState[];
  /** Nothing else is done with it, and it holds no damage. */
  readonly isFit: boolean;
}

export interface RewriteRules {
  readonly journalBytesMax: number;
  /** Of what all files take to what lives. */
  readonly spaceAmplificationMax: number;
  /** Only what gives space back. */
  readonly isDiskLow: boolean;
}

export interface RewritePlan {
  readonly why: 'dead' | 'garbage' | 'short runs' | 'small files' | 'asked for';
  /** The set takes the place of these, which follow each other. */
  readonly entries: readonly FinishedEntry[];
  /** What is read: all files of the entries, or parts of a set, which follow each other, while its others stay. */
  readonly files: readonly FinishedFile[];
}

export function planRewrite(states: readonly EntryState[], rules: RewriteRules): RewritePlan | undefined {
  const freeing = dead(states) ?? garbage(states, rules);
  if (freeing !== undefined || rules.isDiskLow) return freeing;
  return shortRuns(states) ?? small(states, rules);
}

/** More than it should be. */
export function isOverBound(
  states: readonly EntryState[],
  { journalBytesMax, spaceAmplificationMax }: RewriteRules,
): boolean {
  let bytes = 0;
  let live = 0;
  for (const state of states) {
    bytes += entryBytes(state.entry);
    live += liveBytes(state);
  }
  return bytes > live * spaceAmplificationMax + spareFiles * journalBytesMax;
}

export const wholePlan = (why: RewritePlan['why'], states: readonly EntryState[]): RewritePlan => ({
  why,
  entries: states.map(({ entry }) => entry),
  files: states.flatMap(({ entry }) => entry.files),
});

/** W1; the oldest are dropped without a rewrite. */
function dead(states: readonly EntryState[]): RewritePlan | undefined {
  const firstLive = states.findIndex((state) => !state.isFit || liveBytes(state) > 0);
  if (firstLive < 0) return undefined;
  for (const state of states.slice(firstLive)) {
    if (!state.isFit) continue;
    const file = state.files.find((of) => of.liveBytes === 0 && isWorthIt(of));
    if (file !== undefined) return filePlan('dead', state, file);
  }
  return undefined;
}

/** W2 */
function garbage(states: readonly EntryState[], rules: RewriteRules): RewritePlan | undefined {
  if (!isOverBound(states, rules)) return undefined;
  let best: { readonly at: number; readonly state: EntryState; readonly file: FileState } | undefined;
  for (const [at, state] of states.entries()) {
    if (!state.isFit) continue;
    for (const file of state.files) {
      if (isWorthIt(file) && (best === undefined || gain(file) > gain(best.file))) best = { at, state, file };
    }
  }
  if (best === undefined) return undefined;
  if (best.state.files.length > 1) return filePlan('garbage', best.state, best.file);
  // Neighbours that are half garbage go with it: fewer, larger files.
  const goesToo = ({ isFit, files: [file, ...others] }: EntryState): boolean =>
    isFit && file !== undefined && others.length === 0 && isWorthIt(file) && gain(file) >= 0.5;
  const liveMax = regroupedMax * rules.journalBytesMax;
  return wholePlan('garbage', neighbours(states, { at: best.at, goesToo, liveMax }));
}

/** W3 */
function shortRuns(states: readonly EntryState[]): RewritePlan | undefined {
  for (let at = 0; at < states.length; ) {
    let end = at;
    while (end - at < regroupedMax && isShort(states[end])) end += 1;
    // The newest wait until there are enough of them.
    const isEnough = end - at === regroupedMax || (end > at && end < states.length);
    if (isEnough && end - at > 1) return wholePlan('short runs', states.slice(at, end));
    at = Math.max(end, at + 1);
  }
  return undefined;
}

/** W4 */
function small(states: readonly EntryState[], { journalBytesMax }: RewriteRules): RewritePlan | undefined {
  const isSmall = (state: EntryState | undefined): boolean =>
    state !== undefined &&
    state.isFit &&
    state.entry.kind === 'sorted' &&
    entryBytes(state.entry) < journalBytesMax / 8;
  for (let at = 0; at + mergedMin <= states.length; at += 1) {
    let end = at;
    let bytes = 0;
    let largest = 0;
    while (end - at < mergedMax && isSmall(states[end])) {
      const next = states[end];
      const of = next === undefined ? 0 : entryBytes(next.entry);
      if (bytes + of > journalBytesMax) break;
      bytes += of;
      largest = Math.max(largest, of);
      end += 1;
    }
    if (end - at >= mergedMin && largest * 2 <= bytes) return wholePlan('small files', states.slice(at, end));
  }
  return undefined;
}

const liveBytes = ({ files }: EntryState): number => files.reduce((sum, file) => sum + file.liveBytes, 0);

const deadBytes = ({ file, liveBytes: live }: FileState): number => file.batchBytes - live;

/** A new footer is written for it, and a manifest. */
const isWorthIt = (state: FileState): boolean => {
  const { bytes, footerAt = bytes } = state.file;
  return deadBytes(state) > 2 * (bytes - footerAt);
};

/** Bytes given back for each that is copied. */
const gain = (state: FileState): number => deadBytes(state) / (state.liveBytes + 4096);

const filePlan = (why: RewritePlan['why'], { entry }: EntryState, { file }: FileState): RewritePlan => ({
  why,
  entries: [entry],
  files: [file],
});

function isShort(state: EntryState | undefined): boolean {
  const file = state?.files[0];
  if (state === undefined || file === undefined || !state.isFit || state.entry.kind === 'sorted') return false;
  return file.extents > 0 && file.liveBytes / file.extents < shortRunBytes;
}

function neighbours(
  states: readonly EntryState[],
  { at, goesToo, liveMax }: { at: number; goesToo: (state: EntryState) => boolean; liveMax: number },
): readonly EntryState[] {
  let [from, to] = [at, at + 1];
  let live = states[at] === undefined ? 0 : liveBytes(states[at]);
  const fits = (state: EntryState | undefined): state is EntryState =>
    state !== undefined && to - from < mergedMax && goesToo(state) && live + liveBytes(state) <= liveMax;
  for (let next = states[to]; fits(next); next = states[to]) {
    live += liveBytes(next);
    to += 1;
  }
  for (let next = states[from - 1]; fits(next); next = states[from - 1]) {
    live += liveBytes(next);
    from -= 1;
  }
  return states.slice(from, to);
}
