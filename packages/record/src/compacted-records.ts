/**
 * What compaction leaves of one batch's records, and the batch around it. Base offset, last offset, producer, sequence
 * and leader epoch stay; so does each record's own offset and time.
 *
 * C1. A record goes when its key has a newer one; a tombstone (null value) also once its delete horizon has passed.
 * C2. The horizon is set by the pass that first keeps a tombstone, and lies in the base timestamp (attribute bit 6). The
 *     records' deltas are made anew against it, so that a reader who knows nothing of horizons finds their times.
 * C3. What does not decode stays as it is.
 */
import { VarintReader, varintBytes, varlongBytes, writeVarint, writeVarlong } from '@sluice/base';
import type { BatchHeader } from './batch-header.ts';
import { writeInt64 } from './batch-header.ts';
import { crc32c } from './crc32c.ts';
import {
  attributesAt,
  baseTimestampAt,
  batchHeaderBytes,
  batchLengthAt,
  type Codec,
  codecMask,
  codecs,
  crcAt,
  crcStartAt,
  deleteHorizonBit,
  lengthPrefixBytes,
  maxTimestampAt,
  recordCountAt,
} from './layout.ts';
import type { DecodedRecord } from './record.ts';
import type { RecordReader } from './record-decoder.ts';
import type { Result } from './result.ts';
import { success } from './result.ts';

export interface CompactionRule {
  /** No record of the log below the end of what is compacted has this key and a higher offset. */
  isNewest(key: Uint8Array, offset: number): boolean;
  /** Delete horizons up to here have passed: wall clock, or less while it is in doubt. */
  readonly passedMs: number;
  /** The horizon of tombstones that have none yet, in whole ms. */
  readonly newHorizonMs: number;
}

/** Of records, not compressed. */
export interface CompactedRecords {
  readonly bytes: Uint8Array;
  readonly recordCount: number;
  readonly baseTimestamp: number;
  readonly maxTimestamp: number;
  readonly deleteHorizon: boolean;
}

/** About a millisecond, most of it for the hashes of keys. */
const recordsPerTurn = 512;

interface Kept {
  readonly record: DecodedRecord;
  readonly start: number;
  readonly end: number;
}

/**
 * `unchanged` when all records stay as they are. `reader` stands before the first record of the batch; `turn` is awaited
 * after some of them, so that no batch holds up the event loop.
 */
export async function compactRecords(
  reader: RecordReader,
  header: BatchHeader,
  rule: CompactionRule,
  turn: () => Promise<void>,
): Promise<Result<CompactedRecords | 'unchanged'>> {
  const horizonPassed = header.deleteHorizon && header.baseTimestamp <= rule.passedMs;
  const kept: Kept[] = [];
  let hasTombstone = false;
  let seen = 0;
  for (let start = reader.position, record = reader.next(); record !== undefined; record = reader.next()) {
    const end = reader.position;
    if (stays(record, rule, horizonPassed)) {
      kept.push({ record, start, end });
      hasTombstone ||= isTombstone(record);
    }
    start = end;
    seen += 1;
    if (seen % recordsPerTurn === 0) await turn();
  }
  if (reader.problem !== undefined) return { ok: false, problem: reader.problem };
  const setsHorizon = hasTombstone && !header.deleteHorizon;
  if (kept.length === header.recordCount && !setsHorizon) return success('unchanged');
  const baseTimestamp = setsHorizon ? rule.newHorizonMs : header.baseTimestamp;
  const newest = kept.reduce((max, { record }) => Math.max(max, record.timestamp), -1);
  return success({
    bytes: setsHorizon ? rebased(reader, kept, baseTimestamp) : joined(reader, kept),
    recordCount: kept.length,
    baseTimestamp,
    maxTimestamp: header.timestampType === 'append' || kept.length === 0 ? header.maxTimestamp : newest,
    deleteHorizon: header.deleteHorizon || setsHorizon,
  });
}

/** The batch with these records in place of its own, and `payload` as they lie in it. `batch` begins with the batch. */
export function sealCompacted(
  batch: Uint8Array,
  records: Omit<CompactedRecords, 'bytes'>,
  { codec, payload }: { readonly codec: Codec; readonly payload: Uint8Array },
): Uint8Array {
  const sealed = new Uint8Array(batchHeaderBytes + payload.length);
  sealed.set(batch.subarray(0, batchHeaderBytes));
  sealed.set(payload, batchHeaderBytes);
  const view = new DataView(sealed.buffer);
  view.setInt32(batchLengthAt, sealed.length - lengthPrefixBytes);
  const others = view.getUint16(attributesAt) & ~(codecMask | deleteHorizonBit);
  view.setUint16(attributesAt, others | codecs.indexOf(codec) | (records.deleteHorizon ? deleteHorizonBit : 0));
  writeInt64(view, baseTimestampAt, records.baseTimestamp);
  writeInt64(view, maxTimestampAt, records.maxTimestamp);
  view.setInt32(recordCountAt, records.recordCount);
  view.setUint32(crcAt, crc32c(sealed.subarray(crcStartAt)));
  return sealed;
}

function stays(record: DecodedRecord, rule: CompactionRule, horizonPassed: boolean): boolean {
  if (record.key === null) return true;
  return rule.isNewest(record.key, record.offset) && !(horizonPassed && record.value === null);
}

const isTombstone = ({ key, value }: DecodedRecord): boolean => key !== null && value === null;

function joined({ bytes }: RecordReader, kept: readonly Kept[]): Uint8Array {
  const target = new Uint8Array(kept.reduce((sum, { start, end }) => sum + end - start, 0));
  let at = 0;
  for (const { start, end } of kept) {
    target.set(bytes.subarray(start, end), at);
    at += end - start;
  }
  return target;
}

/** The same with each record's time told from another base. */
function rebased({ bytes }: RecordReader, kept: readonly Kept[], baseTimestamp: number): Uint8Array {
  const parts = kept.map(({ record, start, end }) => {
    const reader = new VarintReader(bytes, start);
    reader.readVarint();
    // The attributes of a record are one byte, always 0.
    reader.at += 1;
    reader.readVarlong();
    const delta = record.timestamp - baseTimestamp;
    return { delta, rest: bytes.subarray(reader.at, end), body: 1 + varlongBytes(delta) + end - reader.at };
  });
  const target = new Uint8Array(parts.reduce((sum, { body }) => sum + varintBytes(body) + body, 0));
  let at = 0;
  for (const { delta, rest, body } of parts) {
    at = writeVarlong(target, writeVarint(target, at, body) + 1, delta);
    target.set(rest, at);
    at += rest.length;
  }
  return target;
}
