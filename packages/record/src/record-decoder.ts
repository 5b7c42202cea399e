import { offset, utf8Decode, VarintReader } from '@sluice/base';
import type { BatchHeader } from './batch-header.ts';
import { readBatchHeader } from './batch-header.ts';
import type { Compression, Decompress } from './codec.ts';
import type { Codec } from './layout.ts';
import { batchHeaderBytes, recordBytesMin, recordHeaderBytesMin } from './layout.ts';
import type { DecodedRecord, RecordHeader } from './record.ts';
import type { BatchProblem, Failure, Result } from './result.ts';
import { failure, success } from './result.ts';

export interface DecodeOptions {
  /** Needed for compressed batches only. */
  readonly decompress?: Decompress;
  /** Largest size that the records of one batch may decompress to; 64 MiB when absent. */
  readonly outputBytesMax?: number;
}

const outputBytesMaxDefault = 64 * 1024 * 1024;
/** A view object costs 20 times the byte that an empty value takes. */
const emptyBlob = new Uint8Array(0);
const noHeaders: readonly RecordHeader[] = Object.freeze([]);

/**
 * All records of one batch, or the first thing that is wrong with it: never half a batch, never an exception. `batch`
 * starts with the batch; the CRC is not checked here (`batchesIn` does). Keys and values are views: they keep the whole
 * buffer alive, and are wrong once somebody reuses it.
 */
export function decodeRecords(batch: Uint8Array, options: DecodeOptions = {}): Result<readonly DecodedRecord[]> {
  const opened = readRecords(batch, options);
  if (!opened.ok) return opened;
  const reader = opened.value;
  const records: DecodedRecord[] = [];
  for (let record = reader.next(); record !== undefined; record = reader.next()) records.push(record);
  return reader.problem === undefined ? success(records) : { ok: false, problem: reader.problem };
}

/** The same, one record after another: only what is asked for is decoded, and only compressed records all at once. */
export function readRecords(batch: Uint8Array, options: DecodeOptions = {}): Result<RecordReader> {
  const read = readBatchHeader(batch);
  if (!read.ok) return read;
  const header = read.value;
  const opened = openRecords(batch.subarray(batchHeaderBytes, header.batchBytes), header, options);
  return opened.ok ? recordsIn(opened.value, header) : opened;
}

/** The same off the event loop, where the codec can be; `batch` is one whole batch with this header. */
export async function readRecordsLater(
  batch: Uint8Array,
  header: BatchHeader,
  compression: Pick<Compression, 'decompressLater'>,
  outputBytesMax = outputBytesMaxDefault,
): Promise<Result<RecordReader>> {
  const { codec, recordCount, batchBytes } = header;
  const bytes = batch.subarray(batchHeaderBytes, batchBytes);
  if (codec === 'none' || recordCount === 0) return recordsIn(bytes, header);
  try {
    return recordsIn(await compression.decompressLater(codec, bytes, outputBytesMax), header);
  } catch (thrown) {
    return unreadable(codec, thrown);
  }
}

/** Of records that are not compressed any more. */
function recordsIn(opened: Uint8Array, header: BatchHeader): Result<RecordReader> {
  // A Buffer's views would be Buffers, whose `slice` does not copy: readers get the plain kind whatever came in.
  const bytes = new Uint8Array(opened.buffer, opened.byteOffset, opened.byteLength);
  if (header.recordCount > bytes.length / recordBytesMin) {
    return malformed(0, `${header.recordCount} records cannot lie in ${bytes.length} bytes`);
  }
  return success(new RecordReader(bytes, header));
}

export class RecordReader {
  readonly #reader: VarintReader;
  readonly #header: BatchHeader;
  #index = 0;
  #previous = -1;
  #problem: BatchProblem | undefined;
  #isDone = false;

  constructor(bytes: Uint8Array, header: BatchHeader) {
    this.#reader = new VarintReader(bytes);
    this.#header = header;
  }

  get bytes(): Uint8Array {
    return this.#reader.bytes;
  }

  /** Where in `bytes` the next record begins. */
  get position(): number {
    return this.#reader.at;
  }

  /** `next` came to the end. */
  get isDone(): boolean {
    return this.#isDone;
  }

  /** Why `next` gave no record, if that was not the end. */
  get problem(): BatchProblem | undefined {
    return this.#problem;
  }

  /** Undefined after the last one, and from the first on that does not decode. */
  next(): DecodedRecord | undefined {
    if (this.#index >= this.#header.recordCount) return this.#end();
    if (this.#problem !== undefined) return undefined;
    const record = readRecord(this.#reader, this.#header);
    if (typeof record === 'string') return this.#fail(record);
    if (record.offset <= this.#previous) return this.#fail('offsets do not increase');
    this.#previous = record.offset;
    this.#index += 1;
    return record;
  }

  #end(): undefined {
    this.#isDone = true;
    const left = this.#reader.bytes.length - this.#reader.at;
    return left === 0 ? undefined : this.#fail(`${left} bytes follow the last record`);
  }

  #fail(what: string): undefined {
    this.#problem ??= malformed(this.#index, what).problem;
  }
}

function openRecords(bytes: Uint8Array, header: BatchHeader, options: DecodeOptions): Result<Uint8Array> {
  if (header.codec === 'none' || header.recordCount === 0) return success(bytes);
  if (options.decompress === undefined) {
    return failure(
      'INVALID_BATCH',
      'compression',
      `the batch is compressed with ${header.codec}; nothing here reads that`,
    );
  }
  const outputBytesMax = options.outputBytesMax ?? outputBytesMaxDefault;
  try {
    const opened = options.decompress(header.codec, bytes, outputBytesMax);
    if (opened.length <= outputBytesMax) return success(opened);
    return failure('INVALID_BATCH', 'compression', `the records decompress to more than ${outputBytesMax} bytes`);
  } catch (thrown) {
    return unreadable(header.codec, thrown);
  }
}

/** Codecs report damaged input by throwing; to a reader it is one more malformed batch. */
function unreadable(codec: Codec, thrown: unknown): Failure {
  const reason = thrown instanceof Error ? thrown.message : String(thrown);
  return failure('CORRUPT_BATCH', 'compression', `the records do not decompress as ${codec}: ${reason}`);
}

/** The next record, or what is wrong with it. */
function readRecord(reader: VarintReader, header: BatchHeader): DecodedRecord | string {
  const length = reader.readVarint();
  const end = reader.at + (length ?? 0);
  if (length === undefined || length < recordBytesMin - 1 || end > reader.bytes.length) return 'impossible length';
  const attributes = reader.bytes[reader.at];
  reader.at += 1;
  if (attributes !== 0) return 'unknown attributes';
  const timestampDelta = reader.readVarlong();
  if (timestampDelta === undefined) return 'impossible timestamp delta';
  const timestamp = header.timestampType === 'append' ? header.maxTimestamp : header.baseTimestamp + timestampDelta;
  if (!Number.isSafeInteger(timestamp)) return 'timestamp beyond 2^53';
  const offsetDelta = reader.readVarint();
  if (offsetDelta === undefined || offsetDelta < 0 || offsetDelta > header.lastOffsetDelta)
    return 'impossible offset delta';
  const key = readBlob(reader, end);
  if (key === undefined) return 'impossible key length';
  const value = readBlob(reader, end);
  if (value === undefined) return 'impossible value length';
  const headers = readHeaders(reader, end);
  if (typeof headers === 'string') return headers;
  if (reader.at !== end) return 'length and content differ';
  return { offset: offset(header.baseOffset + offsetDelta), timestamp, key, value, headers };
}

function readHeaders(reader: VarintReader, end: number): readonly RecordHeader[] | string {
  const count = reader.readVarint();
  if (count === 0) return noHeaders;
  if (count === undefined || count < 0 || count * recordHeaderBytesMin > end - reader.at)
    return 'impossible header count';
  const headers: RecordHeader[] = [];
  for (let index = 0; index < count; index += 1) {
    const keyBytes = readBlob(reader, end);
    if (keyBytes === undefined || keyBytes === null) return 'impossible header key length';
    const key = utf8Decode(keyBytes);
    if (key === undefined) return 'header key is not UTF-8';
    const value = readBlob(reader, end);
    if (value === undefined) return 'impossible header value length';
    headers.push({ key, value });
  }
  return headers;
}

/** A view of the next length-prefixed bytes, null for length −1, undefined when they would pass `end`. */
function readBlob(reader: VarintReader, end: number): Uint8Array | null | undefined {
  const length = reader.readVarint();
  if (length === -1) return null;
  if (length === undefined || length < 0 || length > end - reader.at) return undefined;
  if (length === 0) return emptyBlob;
  const start = reader.at;
  reader.at = start + length;
  return reader.bytes.subarray(start, reader.at);
}

const malformed = (index: number, what: string): Failure =>
  failure('INVALID_BATCH', 'record', `record ${index} of the batch is malformed: ${what}`);
