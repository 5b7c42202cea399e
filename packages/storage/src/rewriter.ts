/**
 * Rewrites finished files into sorted sets in the background, where `rewrite-policy.ts` says that it is worth it.
 *
 * Owns the rewrite that is in flight. Called by the node log at start and after each group; works beside the groups, and
 * they wait for it at most where both name files in the manifest. What dies as the oldest is dropped by `Reclaim`.
 *
 * R1 A set takes the place of files that follow each other, and stands for the same groups (`compose.ts`): recovery makes
 *    of both the same, but for bytes that are dead by rows that are durable.
 * R2 Every byte is checked before it is copied. A file in which one is wrong stays as it is, as evidence, and its log says
 *    that it is damaged.
 * R3 The parts are durable with their names, then a manifest that names them in the place of the files, then the live
 *    index knows the parts, then the files are removed. A crash in between leaves files without a name, which recovery
 *    removes.
 * R4 What is cut, dropped or deleted while its bytes are copied stays so: the live index takes of the parts only what it
 *    still had in the files (`LogIndex.moveSegments`), and on recovery the rows that did it come behind the set.
 * R5 Without room, or when a file cannot be read, nothing is rewritten this time, and nothing fails.
 * R6 It writes at most `rewriteBytesPerSecondMax`, four times that while the files take more than they should, in pieces
 *    that are durable one by one. An interrupted rewrite leaves nothing and begins anew.
 */
import type { Clock, LogId, Logger } from '@sluice/base';
import type { AskedLog, BatchTransform } from './asked-log.ts';
import { DiskError, invariant, laterTurn, logKey } from '@sluice/base';
import type { ColdReader } from './cold-reader.ts';
import { DamagedRead } from './damaged-read.ts';
import type { DataDirectory } from './data-directory.ts';
import { logsInTurn } from './in-turns.ts';
import { sortedName } from './journal-file.ts';
import type { FinishedEntry, FinishedFile, LiveFiles } from './live-files.ts';
import type { LogIndex, Segment } from './log-index.ts';
import type { NodeLogLimits } from './node-log.ts';
import type { Removal } from './removal.ts';
import type { Replay } from './replay.ts';
import { type CopiedSet, copySet, isHarmless, RewriteStopped } from './rewrite-copy.ts';
import { RewritePace } from './rewrite-pace.ts';
import { type EntryState, isOverBound, planRewrite, type RewritePlan, wholePlan } from './rewrite-policy.ts';
import { noPlaces } from './snapshot-places.ts';
import { DamagedSource, UnreadableSource } from './rewrite-source.ts';

const hurry = 4;
/** A rewrite that is asked for takes so many neighbours at once. */
const askedEntriesMax = 4;

type Limits = Pick<
  NodeLogLimits,
  'journalBytesMax' | 'journalAgeMsMax' | 'rewriteBytesPerSecondMax' | 'spaceAmplificationMax'
>;

export interface RewriterOptions {
  readonly directory: DataDirectory;
  readonly files: LiveFiles;
  readonly replay: Replay;
  readonly cold: ColdReader;
  readonly removal: Removal;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly limits: Limits;
  /** Damage: the file stays. */
  readonly isEvidence: (file: FinishedFile) => boolean;
  /** It is dropped now. */
  readonly isDropped: (entry: FinishedEntry) => boolean;
  readonly onDamage: (id: LogId, damage: DamagedRead) => Promise<void>;
  readonly isDiskLow: () => boolean;
  /** Calls `run` once, when the disk was asked again what is free. */
  readonly afterLook: (run: () => void) => void;
  /** After each: what was held may be dropped. */
  readonly onDone: () => void;
  readonly isStopped: () => boolean;
  readonly onFailure: (error: Error) => void;
}

export interface RewriteStats {
  /** Sets made since the start, and bytes of their files. */
  readonly rewrites: number;
  readonly rewrittenBytes: number;
}

interface Asked {
  readonly logs: readonly AskedLog[];
  /** Files that were there when it was asked for and are not rewritten yet. */
  readonly fileIds: Set<number>;
  readonly end: (isDone: boolean) => void;
}

export class Rewriter {
  readonly #options: RewriterOptions;
  readonly #pace: RewritePace;
  #inFlight: Promise<void> | undefined;
  /** What is rewritten now, and the set that takes its place. */
  #held: readonly FinishedEntry[] = [];
  /** Of which nothing can be read until the next start. */
  readonly #unfit = new Set<number>();
  /** What the files were, and lived, when they were last looked at. */
  #seen: { readonly finished: readonly FinishedEntry[]; readonly live: number; readonly changes: number } | undefined;
  /** Said once, until there is room. */
  #hadNoRoom = false;
  #asked: Asked[] = [];
  #closing = false;
  #rewrites = 0;
  #rewrittenBytes = 0;

  constructor(options: RewriterOptions) {
    this.#options = options;
    this.#pace = new RewritePace(options.clock, options.limits.rewriteBytesPerSecondMax);
  }

  get #isOff(): boolean {
    return this.#options.limits.rewriteBytesPerSecondMax === 0;
  }

  get stats(): RewriteStats {
    return { rewrites: this.#rewrites, rewrittenBytes: this.#rewrittenBytes };
  }

  holds(entry: FinishedEntry): boolean {
    return this.#held.includes(entry);
  }

  /** Returns at once; begins a rewrite when one is worth it and none is in flight. */
  check(): void {
    const { files, replay, limits, isDiskLow, isStopped, onFailure, onDone } = this.#options;
    if (this.#inFlight !== undefined || this.#closing || isStopped() || this.#isOff) return;
    const now = { finished: files.finished, live: replay.use.liveBytes, changes: replay.use.changes };
    const { finished, live, changes } = this.#seen ?? {};
    if (finished === now.finished && live === now.live && changes === now.changes && this.#asked.length === 0) return;
    this.#seen = now;
    const states = this.#states();
    const { journalBytesMax, spaceAmplificationMax } = limits;
    const rules = { journalBytesMax, spaceAmplificationMax, isDiskLow: isDiskLow() };
    const plan = this.#askedPlan(states) ?? planRewrite(states, rules);
    if (plan === undefined) return;
    this.#held = plan.entries;
    this.#inFlight = this.#rewrite(plan, isOverBound(states, rules) ? hurry : 1)
      .catch((error: unknown) => onFailure(error instanceof Error ? error : new Error(String(error))))
      .then(() => {
        this.#inFlight = undefined;
        this.#held = [];
        onDone();
        this.check();
      });
  }

  /**
   * Rewrites the finished files that hold these logs below their offsets now, a few at a time, with what the transforms
   * make of their batches; other logs in them are copied as ever. A transform is called for every batch of its log that
   * lies in those files, in offset order within each rewrite, and may be called again for batches that it was called for
   * when a rewrite is given up. Resolves to false when not all was rewritten: the log was closed or failed, there was no
   * room, or a file could not be read.
   */
  rewrite(logs: readonly AskedLog[]): Promise<boolean> {
    const fileIds = new Set<number>();
    for (const { id, upTo } of logs) {
      for (const { fileId, base } of this.#options.replay.logs.get(logKey(id))?.sealed ?? []) {
        if (base < upTo) fileIds.add(fileId);
      }
    }
    if (this.#closing || this.#options.isStopped() || this.#isOff) return Promise.resolve(false);
    return new Promise((resolve) => {
      this.#asked.push({ logs, fileIds, end: resolve });
      this.check();
    });
  }

  /** Resolves when nothing is in flight; begins nothing more. */
  async close(): Promise<void> {
    this.#closing = true;
    this.#pace.stop();
    await this.#inFlight;
    for (const { end } of this.#asked) end(false);
    this.#asked = [];
  }

  #states(): readonly EntryState[] {
    const { files, replay, isEvidence, isDropped } = this.#options;
    return files.finished.map((entry) => ({
      entry,
      isFit:
        !isDropped(entry) &&
        entry.files.every(
          (file) => file.footerAt !== undefined && !file.damaged && !isEvidence(file) && !this.#unfit.has(file.fileId),
        ),
      files: entry.files.map((file) => ({
        file,
        liveBytes: replay.use.liveBytesOf(file.fileId),
        extents: replay.use.extentsOf(file.fileId),
      })),
    }));
  }

  /** Of what is asked for, the oldest entries that are left. */
  #askedPlan(states: readonly EntryState[]): RewritePlan | undefined {
    for (let asked = this.#asked[0]; asked !== undefined; asked = this.#asked[0]) {
      const { fileIds } = asked;
      const isWanted = ({ fileId }: FinishedFile): boolean => fileIds.has(fileId);
      const first = states.findIndex(({ entry }) => entry.files.some((file) => isWanted(file)));
      const isWhollyWanted = (state: EntryState | undefined): boolean =>
        state?.isFit === true && state.entry.files.every((file) => isWanted(file));
      let end = first;
      while (end - first < askedEntriesMax && isWhollyWanted(states[end])) end += 1;
      if (end > first) return wholePlan('asked for', states.slice(first, end));
      const { entry, isFit = false } = states[first] ?? {};
      if (entry !== undefined && isFit) return { why: 'asked for', entries: [entry], files: partsOf(entry, isWanted) };
      this.#endAsked(first < 0);
    }
    return undefined;
  }

  #endAsked(isDone: boolean): void {
    this.#asked.shift()?.end(isDone);
  }

  async #rewrite(plan: RewritePlan, speed: number): Promise<void> {
    const { logger } = this.#options;
    const bytes = plan.files.reduce((sum, file) => sum + file.bytes, 0);
    logger.debug('rewriting files', { why: plan.why, files: plan.files.map(({ fileId }) => fileId), bytes });
    let copied: CopiedSet;
    try {
      copied = await this.#copy(plan, speed);
    } catch (error) {
      if (!isHarmless(error, this.#options.directory)) throw error;
      await this.#giveUp(error);
      if (plan.why === 'asked for') this.#endAsked(false);
      return;
    }
    // From here on whatever fails has to do with what the log stands on.
    await this.#switch(plan, copied);
  }

  #copy(plan: RewritePlan, speed: number): Promise<CopiedSet> {
    const { directory, files, replay, clock, limits } = this.#options;
    const transforms = new Map<string, BatchTransform>();
    const asked = plan.why === 'asked for' ? this.#asked[0] : undefined;
    for (const { id, transform } of asked?.logs ?? []) transforms.set(logKey(id), transform);
    return copySet({
      directory,
      replay,
      clock,
      files: plan.files,
      pathOf: (fileId) => files.pathOf(fileId),
      takeFileId: () => files.takeFileId(),
      partBytesMax: limits.journalBytesMax,
      segmentAgeMsMax: limits.journalAgeMsMax,
      transformOf: (id) => transforms.get(logKey(id)),
      mayWrite: async (bytes) => {
        this.#assertGoesOn();
        await this.#pace.take(bytes, speed);
        this.#assertGoesOn();
        this.#rewrittenBytes += bytes;
      },
    });
  }

  #assertGoesOn(): void {
    if (this.#closing || this.#options.isStopped()) throw new RewriteStopped('the rewrite is stopped');
  }

  /** R3, from the manifest on. */
  async #switch(plan: RewritePlan, { parts, moved, snapshots, batchBytes }: CopiedSet): Promise<void> {
    const { files, replay, cold, removal, logger, isStopped, isEvidence } = this.#options;
    const old = new Set(plan.files.map(({ fileId }) => fileId));
    const set = setOf(plan, parts);
    await this.#assertWhole(old, moved);
    if (isStopped()) return;
    // A reader met damage meanwhile where the copy found none: the file stays, as evidence (R2).
    if (plan.files.some((file) => isEvidence(file))) {
      if (plan.why === 'asked for') this.#endAsked(false);
      removal.add(parts.map(({ fileId }) => sortedName(fileId)));
      return;
    }
    // The set is nobody's to drop before the index knows all of it.
    this.#held = [...plan.entries, set];
    const gone = plan.files.map(({ fileId }) => files.nameOf(fileId));
    await files.replace(plan.entries, set);
    await this.#move(old, { moved, snapshots });
    this.#noteRewritten(plan, old, parts);
    for (const fileId of old) await cold.forget(fileId);
    files.forget(old);
    replay.use.changes += 1;
    this.#rewrites += 1;
    this.#hadNoRoom = false;
    removal.add(gone);
    const bytes = parts.reduce((sum, file) => sum + file.bytes, 0);
    logger.debug('files rewritten', { why: plan.why, files: gone, parts: parts.length, bytes, batchBytes });
  }

  /** What was not asked for went by without the transform of those who did ask: they want the parts now. */
  #noteRewritten({ why }: RewritePlan, old: ReadonlySet<number>, parts: readonly FinishedFile[]): void {
    const done = why === 'asked for' ? this.#asked[0] : undefined;
    for (const asked of this.#asked) {
      const wanted = [...old].filter((fileId) => asked.fileIds.delete(fileId));
      if (asked !== done && wanted.length > 0) for (const { fileId } of parts) asked.fileIds.add(fileId);
    }
  }

  /** All that lives in the files is in the parts. What dies meanwhile does no harm; nothing is added to finished files. */
  async #assertWhole(old: ReadonlySet<number>, moved: ReadonlyMap<LogIndex, readonly Segment[]>): Promise<void> {
    let turn = 0;
    for (const index of this.#options.replay.logs.values()) {
      turn += 1;
      if (turn % logsInTurn === 0) await laterTurn(this.#options.clock);
      const live = index.segmentsIn(old);
      const first = live[0];
      if (first === undefined || index.forgotten) continue;
      let end = Math.max(first.base, index.start);
      for (const segment of moved.get(index) ?? []) if (segment.base <= end) end = Math.max(end, segment.end);
      const needed = live.at(-1)?.end ?? 0;
      invariant(end >= needed, 'R1: all that lives is in the set', { ...index.id, end, needed });
    }
  }

  async #move(old: ReadonlySet<number>, { moved, snapshots }: Pick<CopiedSet, 'moved' | 'snapshots'>): Promise<void> {
    const { replay } = this.#options;
    let turn = 0;
    for (const index of replay.logs.values()) {
      turn += 1;
      if (turn % logsInTurn === 0) await laterTurn(this.#options.clock);
      if (index.segmentsIn(old).length > 0) index.moveSegments(old, moved.get(index) ?? []);
      index.moveSnapshots(old, snapshots.get(index) ?? noPlaces);
    }
    for (const fileId of old) invariant(!replay.use.lives(fileId), 'R3: the index knows the files no more', { fileId });
  }

  async #giveUp(error: unknown): Promise<void> {
    const { logger, onDamage, afterLook } = this.#options;
    if (error instanceof RewriteStopped) return;
    const message = error instanceof Error ? error.message : String(error);
    if (error instanceof DamagedSource) {
      this.#unfit.add(error.fileId);
      logger.error('a file that was to be rewritten is damaged and stays', { where: message });
      if (error.log !== undefined) {
        const { id, intactEnd } = error.log;
        await onDamage(id, new DamagedRead(message, { fileId: error.fileId, intactEnd })).catch((cause: unknown) => {
          // Whoever reads there meets the damage.
          if (!(cause instanceof DiskError)) throw cause;
          logger.error('damage in a file cannot be looked at', { error: cause.message });
        });
      }
    } else if (error instanceof UnreadableSource) {
      this.#unfit.add(error.fileId);
      logger.error('a file that was to be rewritten cannot be read and stays', { error: message });
    } else {
      if (!this.#hadNoRoom) logger.warn('no room to rewrite files', { error: message });
      this.#hadNoRoom = true;
      afterLook(() => {
        this.#seen = undefined;
        this.check();
      });
    }
  }
}

/** The first that are wanted, as far as they follow each other. The others hold other logs: they are not copied with these. */
function partsOf({ files }: FinishedEntry, isWanted: (file: FinishedFile) => boolean): readonly FinishedFile[] {
  const from = files.findIndex((file) => isWanted(file));
  const to = files.findIndex((file, at) => at > from && !isWanted(file));
  return files.slice(from, to < 0 ? files.length : to);
}

/** Parts of a set that were not read stay in their places. */
function setOf({ entries, files }: RewritePlan, parts: readonly FinishedFile[]): FinishedEntry {
  const [entry] = entries;
  const [first] = files;
  if (entry === undefined || first === undefined || entries.length > 1) return { kind: 'sorted', files: parts };
  return { kind: 'sorted', files: entry.files.toSpliced(entry.files.indexOf(first), files.length, ...parts) };
}
