/**
 * What a replica derived from its log, as bytes: leader epochs, and the windows of idempotent producers. Kept by storage,
 * which does not look inside; read again by `LogScan`, which goes on from it.
 *
 *   version u8, then zigzag varints: log end; epochs, each as its distance to the one before and the offsets between;
 *   producers in order of last append, each with id, epoch, age and the batches of its window, oldest first
 *
 * Bytes that are not as this writes them give undefined: the log is then read as a whole.
 */
import { leaderEpoch, offset, producerEpoch, producerId, VarintReader, writeVarint, writeVarlong } from '@sluice/base';
import type { Offset } from '@sluice/base';
import { sequenceAfter } from '@sluice/record';
import type { EpochStart, ProducerBatch, ProducerSnapshot } from './events.ts';
import { producerWindowBatches } from './producer-state.ts';

export interface ReplicaSnapshot {
  /** Everything below it is told, and nothing behind it. */
  readonly logEnd: Offset;
  readonly epochs: readonly EpochStart[];
  readonly producers: readonly ProducerSnapshot[];
}

const version = 1;
const headBytesMax = 1 + 10 + 5 + 5;
const epochBytesMax = 5 + 10;
const producerBytesMax = 10 + 5 + 10 + 1;
const batchBytesMax = 5 + 10 + 5;

export function encodeSnapshot({ logEnd, epochs, producers }: ReplicaSnapshot): Uint8Array {
  let bytesMax = headBytesMax + epochs.length * epochBytesMax;
  for (const { batches } of producers) bytesMax += producerBytesMax + batches.length * batchBytesMax;
  const bytes = new Uint8Array(bytesMax);
  bytes[0] = version;
  let at = writeVarlong(bytes, 1, logEnd);
  at = writeVarint(bytes, at, epochs.length);
  let last = { epoch: 0, startOffset: 0 };
  for (const { epoch, startOffset } of epochs) {
    at = writeVarint(bytes, at, epoch - last.epoch);
    at = writeVarlong(bytes, at, startOffset - last.startOffset);
    last = { epoch, startOffset };
  }
  at = writeVarint(bytes, at, producers.length);
  for (const producer of producers) {
    at = writeVarlong(bytes, at, producer.producerId);
    at = writeVarint(bytes, at, producer.producerEpoch);
    at = writeVarlong(bytes, at, producer.ageMs);
    bytes[at] = producer.batches.length;
    at = writeBatches(bytes, at + 1, producer.batches);
  }
  return bytes.slice(0, at);
}

function writeBatches(bytes: Uint8Array, from: number, batches: readonly ProducerBatch[]): number {
  let at = from;
  let end = 0;
  for (const { baseSequence, baseOffset, endOffset } of batches) {
    at = writeVarint(bytes, at, baseSequence);
    at = writeVarlong(bytes, at, baseOffset - end);
    at = writeVarint(bytes, at, endOffset - baseOffset);
    end = endOffset;
  }
  return at;
}

/** Undefined when it is none, or none of a log that ends at `logEnd`. */
export function decodeSnapshot(bytes: Uint8Array, logEnd: Offset): ReplicaSnapshot | undefined {
  if (bytes[0] !== version) return undefined;
  const reader = new VarintReader(bytes, 1);
  if (reader.readVarlong() !== logEnd) return undefined;
  const epochs = readEpochs(reader, logEnd);
  if (epochs === undefined) return undefined;
  const producers = readProducers(reader, logEnd);
  if (producers === undefined || reader.at !== bytes.length) return undefined;
  return { logEnd, epochs, producers };
}

function readEpochs(reader: VarintReader, logEnd: Offset): EpochStart[] | undefined {
  const count = reader.readVarint() ?? -1;
  if (count < 0 || count > reader.bytes.length) return undefined;
  const epochs: EpochStart[] = [];
  let epoch = 0;
  let startOffset = 0;
  for (let at = 0; at < count; at += 1) {
    const epochStep = reader.readVarint() ?? -1;
    const offsetStep = reader.readVarlong() ?? -1;
    const leastStep = at === 0 ? 0 : 1;
    epoch += epochStep;
    startOffset += offsetStep;
    if (epochStep < leastStep || offsetStep < leastStep || startOffset >= logEnd || epoch > 0x7fff_ffff)
      return undefined;
    epochs.push({ epoch: leaderEpoch(epoch), startOffset: offset(startOffset) });
  }
  return epochs;
}

function readProducers(reader: VarintReader, logEnd: Offset): ProducerSnapshot[] | undefined {
  const count = reader.readVarint() ?? -1;
  if (count < 0 || count > reader.bytes.length) return undefined;
  const producers: ProducerSnapshot[] = [];
  const ids = new Set<number>();
  for (let at = 0; at < count; at += 1) {
    const id = reader.readVarlong() ?? -1;
    const epoch = reader.readVarint() ?? -1;
    const ageMs = reader.readVarlong() ?? -1;
    const batches = readBatches(reader, logEnd);
    if (id < 0 || ids.has(id) || epoch < 0 || epoch > 0x7fff || ageMs < 0 || batches === undefined) return undefined;
    ids.add(id);
    producers.push({ producerId: producerId(id), producerEpoch: producerEpoch(epoch), ageMs, batches });
  }
  return producers;
}

function readBatches(reader: VarintReader, logEnd: Offset): ProducerBatch[] | undefined {
  const count = reader.bytes[reader.at] ?? 0;
  reader.at += 1;
  if (count < 1 || count > producerWindowBatches) return undefined;
  const batches: ProducerBatch[] = [];
  let end = 0;
  for (let at = 0; at < count; at += 1) {
    const baseSequence = reader.readVarint() ?? -1;
    const gap = reader.readVarlong() ?? -1;
    const records = reader.readVarint() ?? 0;
    const baseOffset = end + gap;
    end = baseOffset + records;
    if (baseSequence < 0 || gap < 0 || records < 1 || end > logEnd) return undefined;
    const lastSequence = sequenceAfter(baseSequence, records - 1);
    batches.push({ baseSequence, lastSequence, baseOffset: offset(baseOffset), endOffset: offset(end) });
  }
  return batches;
}
