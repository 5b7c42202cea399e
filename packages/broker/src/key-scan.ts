/**
 * The newest offset of each key in a part of a log, read batch after batch: the first half of a compaction pass. Owns
 * the table of keys.
 *
 * S1. The table knows all records with a key from `from` to `end`. What it knows of offsets behind that is right, too.
 * S2. It reads at a bounded rate and gives the event loop back every few hundred records.
 */
import { invariant, laterTurn, offset } from '@sluice/base';
import type { Clock } from '@sluice/base';
import { batchesIn, KeyOffsets, offsetAfterBatch, readRecordsLater } from '@sluice/record';
import type { BatchHeader, Compression, KeyHash } from '@sluice/record';
import type { LogStore } from '@sluice/storage';

export interface KeyScanOptions {
  readonly log: Pick<LogStore, 'read' | 'startOffset'>;
  readonly from: number;
  /** A batch boundary. */
  readonly upTo: number;
  readonly memoryBytesMax: number;
  readonly hash: KeyHash;
  readonly compression: Compression;
  readonly clock: Clock;
  /** Resolves when so many bytes may be read; false when the scan is to be given up. */
  readonly mayRead: (bytes: number) => Promise<boolean>;
}

export interface ScannedKeys {
  readonly keys: KeyOffsets;
  /** `upTo`, or the beginning of the batch whose keys found no more memory. */
  readonly end: number;
  /** With a key. */
  readonly records: number;
}

const readBytesMax = 256 * 1024;
/** About a millisecond, most of it for the hashes of keys. */
const recordsPerTurn = 512;

/** Undefined when it was given up, also because the log was cut under it. Rejects as `LogStore.read` does. */
export async function scanKeys(options: KeyScanOptions): Promise<ScannedKeys | undefined> {
  const { log, from, upTo, memoryBytesMax, hash } = options;
  const keys = new KeyOffsets(hash, { keysMax: upTo - from, bytesMax: memoryBytesMax });
  const scan = new Scan(options, keys);
  for (let next = from; next < upTo; ) {
    const read = await log.read(offset(next), offset(upTo), readBytesMax);
    if (read.kind === 'out-of-range' || read.bytes === 0 || !(await options.mayRead(read.bytes))) return undefined;
    for (const bytes of read.batches) {
      for (const found of batchesIn(bytes, 'skip')) {
        invariant(found.ok, 'S1: a log gives whole batches', { from, next });
        const { header, position } = found;
        // Stored whole and read whole: what lies before was compacted before.
        if (offsetAfterBatch(header) <= from) continue;
        if (!(await scan.add(bytes.subarray(position, position + header.batchBytes), header))) {
          return { keys, end: Math.max(header.baseOffset, from), records: scan.records };
        }
      }
    }
    next = read.endOffset;
  }
  return { keys, end: upTo, records: scan.records };
}

class Scan {
  readonly #options: KeyScanOptions;
  readonly #keys: KeyOffsets;
  /** Of whole batches. */
  records = 0;

  constructor(options: KeyScanOptions, keys: KeyOffsets) {
    this.#options = options;
    this.#keys = keys;
  }

  /** False when there is no room for a key of it. */
  async add(batch: Uint8Array, header: BatchHeader): Promise<boolean> {
    if (header.control || header.recordCount === 0) return true;
    const { compression, clock, from } = this.#options;
    const opened = await readRecordsLater(batch, header, compression);
    // Like one that does not decode to its end, it stays as it is (C3): no record gives way to one of it.
    if (!opened.ok) return true;
    const found: { readonly key: Uint8Array; readonly offset: number }[] = [];
    const reader = opened.value;
    for (let record = reader.next(); record !== undefined; record = reader.next()) {
      if (record.key !== null && record.offset >= from) found.push({ key: record.key, offset: record.offset });
    }
    if (reader.problem !== undefined) return true;
    for (const [index, { key, offset: at }] of found.entries()) {
      if (index % recordsPerTurn === recordsPerTurn - 1) await laterTurn(clock);
      if (!this.#keys.put(key, at)) return false;
    }
    this.records += found.length;
    return true;
  }
}
