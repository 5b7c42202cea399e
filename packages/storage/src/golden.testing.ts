/**
 * The small directory that golden files are made of: a checkpoint, finished journal files with footers and a snapshot, one
 * that is open, a Raft snapshot, the manifest and the identity. Equal bytes each time it is written, as long as the format is the same.
 */
import { logIndex, nodeId, SeededRandom, term } from '@sluice/base';
import { turn } from './crash-points.testing.ts';
import { DataDirectory } from './data-directory.ts';
import { IdentityStore } from './identity.ts';
import type { Disk } from '@sluice/base';
import { at, testBatch, testSpan } from './test-batches.ts';
import { TestClock } from './test-clock.ts';
import { contents, openTestNode, testLogId } from './test-node-log.ts';

const path = '/node';
const limits = { journalBytesMax: 16 * 1024, spaceAheadBytes: 0 };
const logNumbers = [1, 2, 3] as const;

export async function writeGolden(disk: Disk): Promise<void> {
  const clock = new TestClock(1_700_000_000_000);
  const directory = await DataDirectory.open(disk, path);
  await new IdentityStore(directory).create(nodeId(7), new SeededRandom(7));
  await directory.release();
  const { log: node, close } = await openTestNode({ disk, clock, limits });
  node.raft.load();
  let written = 0;
  const group = async (number: number): Promise<void> => {
    written += 1;
    const log = node.log(testLogId(number));
    log.snapshot = () => ({ offset: log.endOffset, bytes: Uint8Array.of(number, written) });
    const base = log.endOffset;
    log.append(testBatch({ base, records: 2, valueBytes: 40, epoch: 3, mark: written }), testSpan(base, base + 2));
    const entry = { index: logIndex(written), term: term(2), kind: 1, payload: Uint8Array.of(written) };
    node.raft.persist({ hardState: { term: term(2), votedFor: 'node 7' }, entries: [entry] }, () => undefined);
    if (written === 6) {
      const snapshot = { index: logIndex(5), term: term(2), meta: Uint8Array.of(5), bytes: Uint8Array.of(1, 2, 3) };
      await node.raft.saveSnapshot(snapshot);
      const { index, term: of } = snapshot;
      const compaction = { index, term: of, keepFrom: logIndex(5), replacesLog: false };
      node.raft.persist({ snapshot: compaction }, () => undefined);
    }
    await turn();
    clock.advance(1000);
  };
  for (const number of [1, 2, 3, 1]) await group(number);
  node.log(testLogId(3)).delete();
  node.log(testLogId(1)).restartAt(at(3));
  node.log(testLogId(2)).truncate(at(0));
  for (const number of [2, 1, 2, 1]) await group(number);
  await close();
}

export interface GoldenLog {
  readonly number: number;
  readonly start: number;
  readonly end: number;
  /** Its batches, in hex. */
  readonly batches: string;
  readonly snapshot: string | undefined;
}

export interface Golden {
  readonly identity: unknown;
  readonly logs: readonly GoldenLog[];
  readonly raft: unknown;
}

/** Everything that the directory holds; it is opened for that, and closed. */
export async function readGolden(disk: Disk): Promise<Golden> {
  const directory = await DataDirectory.open(disk, path);
  const identity = await new IdentityStore(directory).load(nodeId(7));
  await directory.release();
  const { log: node, close } = await openTestNode({ disk, limits });
  if (node.damaged || node.lossy.length > 0 || node.raft.doubtful) throw new Error('the directory is damaged');
  const { hardState, snapshot: start, entries } = node.raft.load();
  const logs: GoldenLog[] = [];
  for (const number of logNumbers) {
    const log = node.log(testLogId(number));
    const snapshot = await log.loadSnapshot();
    logs.push({
      number,
      start: log.startOffset,
      end: log.endOffset,
      batches: Buffer.from(await contents(log)).toString('hex'),
      snapshot: snapshot && `${snapshot.offset}: ${Buffer.from(snapshot.bytes).toString('hex')}`,
    });
  }
  await close();
  const snapshot = start && { ...start, meta: [...start.meta], bytes: [...start.bytes] };
  const raft = { hardState, snapshot, entries: entries.map((entry) => ({ ...entry, payload: [...entry.payload] })) };
  // As it is when it was written down.
  return JSON.parse(JSON.stringify({ identity, logs, raft })) as Golden;
}
