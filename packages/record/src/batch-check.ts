import type { BatchHeader } from './batch-header.ts';
import { checkFrame, readFields } from './batch-header.ts';
import { crc32c } from './crc32c.ts';
import { crcAt, crcStartAt } from './layout.ts';
import type { BatchProblem, Result } from './result.ts';
import { failure } from './result.ts';

export interface ProduceLimits {
  /** Largest batch that the topic takes, header included. */
  readonly batchBytesMax: number;
}

/**
 * What a leader asks of a batch from a client: `bytes` are exactly one whole batch that matches its CRC, starts at
 * offset 0, holds as many records as offsets, at least one, and says nothing that only a broker may say (control,
 * transactional, delete horizon, append time). Records are not parsed. The leader epoch is not looked at, and epoch and
 * sequence only where there is a producer id: clients write what they like there.
 */
export function checkProduceBatch(bytes: Uint8Array, limits: ProduceLimits): Result<BatchHeader> {
  // Before the CRC: an oversized batch must not cost its length in CPU.
  const tooLarge = batchSizeProblem(bytes.byteLength, limits);
  if (tooLarge !== undefined) return { ok: false, problem: tooLarge };
  const read = checkSealedBatch(bytes, 0);
  if (!read.ok) return read;
  const problem = produceProblem(read.value, bytes.byteLength);
  return problem === undefined ? read : { ok: false, problem };
}

/** What is wrong with a batch of so many bytes, which may not be there yet. */
export function batchSizeProblem(batchBytes: number, { batchBytesMax }: ProduceLimits): BatchProblem | undefined {
  if (batchBytes <= batchBytesMax) return undefined;
  const message = `the batch has ${batchBytes} bytes, the limit is ${batchBytesMax}; send smaller ones or raise recordBytesMax`;
  return { code: 'RECORD_TOO_LARGE', rule: 'size', message };
}

/**
 * What a follower, a recovering node and a consumer ask of the batch at `at`: whole, magic 2, matching its CRC, placed
 * by a leader, with numbers that make sense, so that each of them may be branded. Other bytes may follow it.
 */
export function checkReplicatedBatch(bytes: Uint8Array, at = 0): Result<BatchHeader> {
  const read = checkSealedBatch(bytes, at);
  // The epoch lies outside the CRC: this is all that can be known of damage there.
  return read.ok && read.value.leaderEpoch < 0
    ? failure('INVALID_BATCH', 'range', `no leader placed the batch: its leader epoch is ${read.value.leaderEpoch}`)
    : read;
}

function checkSealedBatch(bytes: Uint8Array, at: number): Result<BatchHeader> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const frame = checkFrame(view, at);
  if (!frame.ok) return frame;
  const stored = view.getUint32(at + crcAt);
  const computed = crc32c(bytes.subarray(at + crcStartAt, at + frame.value));
  if (stored !== computed) {
    return failure('CORRUPT_BATCH', 'crc', `the batch has CRC ${hex(stored)}, its bytes have ${hex(computed)}`);
  }
  return readFields(view, at, frame.value);
}

function produceProblem(header: BatchHeader, bytesSent: number): BatchProblem | undefined {
  const invalid = (rule: BatchProblem['rule'], message: string): BatchProblem => ({
    code: 'INVALID_BATCH',
    rule,
    message,
  });
  if (header.batchBytes !== bytesSent) {
    return invalid('length', `one batch a partition: ${bytesSent - header.batchBytes} bytes follow the first`);
  }
  if (header.baseOffset !== 0) return invalid('range', `a producer's base offset is 0, this is ${header.baseOffset}`);
  // Offsets are at least one, so this asks for at least one record too.
  if (header.recordCount !== header.lastOffsetDelta + 1) {
    return invalid('count', `the batch has ${header.recordCount} records and ${header.lastOffsetDelta + 1} offsets`);
  }
  if (header.control) return invalid('attributes', 'clients may not write control batches');
  if (header.transactional) return invalid('attributes', 'the batch is transactional; transactions are not supported');
  if (header.deleteHorizon) return invalid('attributes', 'only compaction sets a delete horizon');
  if (header.timestampType === 'append') return invalid('attributes', 'only the broker sets append time');
  return undefined;
}

const hex = (value: number): string => `0x${value.toString(16).padStart(8, '0')}`;
