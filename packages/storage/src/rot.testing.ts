/**
 * For tests: a directory with everything that there can be in one, what it must hold, and whether what is read of it is
 * that. Damage may take records, never without a word, and never gives others for them.
 */
import { DiskError, isSluiceError, logIndex, nodeId, SeededRandom, term } from '@sluice/base';
import { batchesIn } from '@sluice/record';
import { turn } from './crash-points.testing.ts';
import { DataDirectory } from './data-directory.ts';
import { IdentityStore } from './identity.ts';
import type { LogStore } from './log-store.ts';
import type { MemoryDisk } from './memory-disk.ts';
import type { RaftSnapshot } from './raft-store.ts';
import { at, testBatch, testSpan } from './test-batches.ts';
import { TestClock } from './test-clock.ts';
import { openTestNode, testLogId, type TestNode } from './test-node-log.ts';

export const rotPath = '/node';
const limits = { journalBytesMax: 24 * 1024, tailBytesMax: 0, spaceAheadBytes: 0 };

/** That the Raft log starts with; three entries that it stands for are kept. */
const rotSnapshot: RaftSnapshot = {
  index: logIndex(16),
  term: term(1),
  meta: Uint8Array.of(1, 2, 3),
  bytes: new Uint8Array(5000).fill(7),
};

/** What a log holds: its batches by base offset. */
interface TrueLog {
  start: number;
  end: number;
  readonly batches: Map<number, Uint8Array>;
  /** What it held once. A log that lost rows may hold it again: it says that it is lossy. */
  readonly cut: Set<string>;
}

export interface Truth {
  readonly logs: ReadonlyMap<number, TrueLog>;
  readonly raftEntries: number;
  /** False when the node stopped on the way. */
  readonly isWhole: boolean;
}

/**
 * Three logs, two of them trimmed so far that files were dropped, one truncated and written again, one deleted; Raft
 * entries, and a snapshot that they go on from. A file takes few groups. Ends with a node that was closed.
 */
export async function writeDirectory(disk: MemoryDisk): Promise<Truth> {
  const script = new Script();
  try {
    await script.run(disk);
  } catch (error) {
    if (!isTyped(error)) throw error;
    disk.killProcess();
    return script.truth(false);
  }
  return script.truth(true);
}

class Script {
  readonly logs = new Map<number, TrueLog>();
  raftEntries = 0;

  truth(isWhole: boolean): Truth {
    return { logs: this.logs, raftEntries: this.raftEntries, isWhole };
  }

  async run(disk: MemoryDisk): Promise<void> {
    const clock = new TestClock(1_700_000_000_000);
    const directory = await DataDirectory.open(disk, rotPath);
    await new IdentityStore(directory).create(nodeId(1), new SeededRandom(1));
    await directory.release();
    const node = await openTestNode({ disk, clock, limits });
    node.log.raft.load();
    const write = async (number: number): Promise<void> => {
      this.#write(node, number, clock.monotonicMs());
      await turn();
      if (node.log.failed !== undefined) throw node.log.failed;
      clock.advance(100);
    };
    for (let n = 0; n < 12; n += 1) await write(n % 3);
    this.#truncate(node, 1, 4);
    node.log.log(testLogId(2)).delete();
    this.logs.delete(2);
    await write(1);
    for (const number of [0, 1]) this.#trim(node, number);
    for (let n = 0; n < 7; n += 1) await write(n % 2);
    await this.#compact(node);
    for (let n = 0; n < 7; n += 1) await write(n % 2);
    await node.close();
    if (node.log.failed !== undefined) throw node.log.failed;
  }

  /** A batch of the log and a Raft entry, in one group. */
  #write(node: TestNode, number: number, mark: number): void {
    const known = this.logs.get(number) ?? {
      start: 0,
      end: 0,
      batches: new Map<number, Uint8Array>(),
      cut: new Set<string>(),
    };
    this.logs.set(number, known);
    const batch = testBatch({ base: known.end, records: 2, valueBytes: 700, mark });
    known.batches.set(known.end, batch.slice());
    node.log.log(testLogId(number)).append(batch, testSpan(known.end, known.end + 2));
    known.end += 2;
    this.raftEntries += 1;
    const payload = new Uint8Array(20).fill(this.raftEntries);
    const entry = { index: logIndex(this.raftEntries), term: term(1), kind: 1, payload };
    node.log.raft.persist({ entries: [entry] }, () => undefined);
  }

  async #compact({ log }: TestNode): Promise<void> {
    await log.raft.saveSnapshot(rotSnapshot);
    const { index, term: of } = rotSnapshot;
    log.raft.persist(
      { snapshot: { index, term: of, keepFrom: logIndex(index - 2), replacesLog: false } },
      () => undefined,
    );
  }

  #truncate(node: TestNode, number: number, to: number): void {
    node.log.log(testLogId(number)).truncate(at(to));
    this.#keep(number, (base) => base < to);
    Object.assign(this.logs.get(number) ?? {}, { end: to });
  }

  /** All but its last batch. */
  #trim(node: TestNode, number: number): void {
    const to = (this.logs.get(number)?.end ?? 0) - 2;
    node.log.log(testLogId(number)).restartAt(at(to));
    this.#keep(number, (base) => base >= to);
    Object.assign(this.logs.get(number) ?? {}, { start: to });
  }

  #keep(number: number, keeps: (base: number) => boolean): void {
    const known = this.logs.get(number);
    for (const [base, bytes] of known?.batches ?? []) {
      if (keeps(base)) continue;
      known?.cut.add(Buffer.from(bytes).toString('hex'));
      known?.batches.delete(base);
    }
  }
}

const isTyped = (error: unknown): boolean => error instanceof DiskError || isSluiceError(error);

/**
 * `same`: all of it is there. `told`: something is not, and the log, or the node, says so. `refused`: the node does not
 * open, with a typed error. Anything else is what is wrong, in a sentence.
 */
export type Reading = 'same' | 'told' | 'refused' | { readonly wrong: string };

/** Opens the directory, reads everything in it, and closes it. */
export async function readDirectory(disk: MemoryDisk, truth: Truth): Promise<Reading> {
  let node: TestNode;
  try {
    const directory = await DataDirectory.open(disk, rotPath);
    await new IdentityStore(directory).load(nodeId(1));
    await directory.release();
    node = await openTestNode({ disk, limits });
  } catch (error) {
    return isTyped(error) ? 'refused' : { wrong: `it is refused with ${String(error)}` };
  }
  let isSame = true;
  for (const [number, known] of truth.logs) {
    const found = await readLog(node.log.log(testLogId(number)), known);
    if (typeof found === 'object') return { wrong: `log ${number}: ${found.wrong}` };
    isSame &&= found === 'same';
    const isTold = node.log.log(testLogId(number)).lossy !== undefined || node.log.damaged;
    if (found === 'more' && !isTold) return { wrong: `log ${number} holds what was cut, and nothing says so` };
    if (found === 'less' && !isTold) return { wrong: `log ${number} holds less, and nothing says so` };
  }
  if (!node.log.damaged && node.log.log(testLogId(2)).endOffset > 0) return { wrong: 'a deleted log is there again' };
  const { snapshot, entries } = node.log.raft.load();
  const isSnapshotSame = Buffer.compare(snapshot?.bytes ?? new Uint8Array(0), rotSnapshot.bytes) === 0;
  if (snapshot !== null && !isSnapshotSame) return { wrong: 'the Raft snapshot has other bytes' };
  const isRaftSame =
    isSnapshotSame &&
    entries[0]?.index === rotSnapshot.index - 2 &&
    entries.at(-1)?.index === truth.raftEntries &&
    entries.length === truth.raftEntries - rotSnapshot.index + 3 &&
    entries.every(({ index, payload }) => payload.every((byte) => byte === index));
  if (!isRaftSame && !node.log.raft.doubtful)
    return { wrong: `there are ${entries.length} Raft entries without a doubt` };
  const isQuiet = node.log.lossy.length === 0 && !node.log.damaged && !node.log.raft.doubtful;
  await node.close();
  return isSame && isRaftSame && isQuiet ? 'same' : 'told';
}

/** Every batch is the one that was written there; those that cannot be read may be missing. */
async function readLog(log: LogStore, known: TrueLog): Promise<'same' | 'less' | 'more' | { readonly wrong: string }> {
  let read = 0;
  for (let from: number = log.startOffset; from < log.endOffset; ) {
    const result = await readFrom(log, from);
    if (result === undefined) break;
    for (const found of result.batches.flatMap((part) => [...batchesIn(part)].map((batch) => ({ part, batch })))) {
      const { part, batch } = found;
      if (!batch.ok) return { wrong: `what is read at offset ${from} is no batch` };
      const bytes = part.subarray(batch.position, batch.position + batch.header.batchBytes);
      const written = known.batches.get(batch.header.baseOffset);
      if (written === undefined && known.cut.has(Buffer.from(bytes).toString('hex'))) return 'more';
      if (written === undefined || Buffer.compare(bytes, written) !== 0) {
        return { wrong: `offset ${batch.header.baseOffset} has other bytes` };
      }
      read += 1;
    }
    from = result.endOffset;
  }
  const isWhole = log.startOffset === known.start && log.endOffset === known.end && read === known.batches.size;
  return isWhole ? 'same' : 'less';
}

/** Undefined when the log says that it cannot be read; it is lossy then. */
async function readFrom(
  log: LogStore,
  from: number,
): Promise<{ batches: readonly Uint8Array[]; endOffset: number } | undefined> {
  try {
    const read = await log.read(at(from), log.endOffset, 1_000_000);
    if (read.kind === 'out-of-range') return undefined;
    if (read.endOffset <= from) throw new Error(`a read at ${from} of ${log.endOffset} gets nowhere`);
    return read;
  } catch (error) {
    if (!isSluiceError(error) || error.code !== 'STORAGE_FAILED') throw error;
    return undefined;
  }
}
