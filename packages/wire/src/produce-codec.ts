/** Codecs of the produce stream. Fields and their numbers are in `proto/sluice/v1/broker.proto`. */
import type { Message } from '@sluice/base';
import type { Codec, Partially } from './codec.ts';
import { errorDetailBytes, readErrorDetail, writeErrorDetail } from './error-detail-codec.ts';
import type {
  Acks,
  ProduceBatch,
  ProduceOpen,
  ProduceOpened,
  ProduceRequest,
  ProduceResponse,
  ProduceResult,
} from './messages-broker.ts';
import type { ErrorDetail } from './messages-errors.ts';
import { ProtobufReader } from './protobuf-reader.ts';
import {
  borrowedBytes,
  bytesBytes,
  listBytes,
  messageFieldBytes,
  ProtobufWriter,
  textBytes,
  uint32Bytes,
  uint64Bytes,
} from './protobuf-writer.ts';

export const produceRequestCodec: Codec<ProduceRequest> = {
  encode({ open, batches }: Partially<ProduceRequest>): Message {
    let borrowed = 0;
    for (const { batch } of batches ?? []) borrowed += borrowedBytes(batch);
    const writer = new ProtobufWriter(messageFieldBytes(open, openBytes) + listBytes(batches, batchBytes) - borrowed);
    if (open !== null && open !== undefined) writeOpen(writer, open);
    for (const batch of batches ?? []) writeBatch(writer, batch);
    return writer.finish();
  },

  decode(message: Message): ProduceRequest {
    const reader = new ProtobufReader(message, 'request of /sluice.v1.Broker/Produce');
    let open: ProduceOpen | null = null;
    const batches: ProduceBatch[] = [];
    for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
      if (tag === 0o12) open = reader.message(readOpen, open);
      else if (tag === 0o22) batches.push(reader.message(readBatch));
      else reader.skip(tag, 2);
    }
    return { open, batches };
  },
};

export const produceResponseCodec: Codec<ProduceResponse> = {
  encode({ opened, results, creditBytes }: Partially<ProduceResponse>): Message {
    const writer = new ProtobufWriter(
      messageFieldBytes(opened, openedBytes) + listBytes(results, resultBytes) + uint64Bytes(creditBytes),
    );
    if (opened !== null && opened !== undefined) writeOpened(writer, opened);
    for (const result of results ?? []) writeResult(writer, result);
    writer.integer(0o30, creditBytes);
    return writer.finish();
  },

  decode(message: Message): ProduceResponse {
    const reader = new ProtobufReader(message, 'response of /sluice.v1.Broker/Produce');
    let opened: ProduceOpened | null = null;
    const results: ProduceResult[] = [];
    let creditBytes = 0;
    for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
      if (tag === 0o12) opened = reader.message(readOpened, opened);
      else if (tag === 0o22) results.push(reader.message(readResult));
      else if (tag === 0o30) creditBytes = reader.uint64();
      else reader.skip(tag, 3);
    }
    return { opened, results, creditBytes };
  },
};

const openBytes = (open: Partially<ProduceOpen>): number => textBytes(open.clientId) + uint32Bytes(open.acks);

function writeOpen(writer: ProtobufWriter, open: Partially<ProduceOpen>): void {
  writer.begin(0o12, openBytes(open));
  writer.text(0o12, open.clientId);
  writer.integer(0o20, open.acks);
}

function readOpen(reader: ProtobufReader, before: ProduceOpen | null): ProduceOpen {
  let { clientId, acks } = before ?? { clientId: '', acks: 0 };
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 0o12) clientId = reader.text();
    // An enum is any 32-bit integer; who opens the stream refuses those that mean nothing.
    else if (tag === 0o20) acks = reader.int32() as Acks;
    else reader.skip(tag, 2);
  }
  return { clientId, acks };
}

const batchBytes = (one: Partially<ProduceBatch>): number =>
  uint64Bytes(one.requestId) +
  textBytes(one.topicId) +
  uint32Bytes(one.partition) +
  bytesBytes(one.batch) +
  uint64Bytes(one.moreBytes);

function writeBatch(writer: ProtobufWriter, one: Partially<ProduceBatch>): void {
  writer.begin(0o22, batchBytes(one));
  writer.integer(0o10, one.requestId);
  writer.text(0o22, one.topicId);
  writer.integer(0o30, one.partition);
  writer.bytes(0o42, one.batch);
  writer.integer(0o50, one.moreBytes);
}

const noBytes = new Uint8Array(0);

function readBatch(reader: ProtobufReader): ProduceBatch {
  let requestId = 0;
  let topicId = '';
  let partition = 0;
  let batch: Uint8Array = noBytes;
  let moreBytes = 0;
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 0o10) requestId = reader.uint64();
    else if (tag === 0o22) topicId = reader.text();
    else if (tag === 0o30) partition = reader.uint32();
    else if (tag === 0o42) batch = reader.bytes();
    else if (tag === 0o50) moreBytes = reader.uint64();
    else reader.skip(tag, 5);
  }
  return { requestId, topicId, partition, batch, moreBytes };
}

const openedBytes = (opened: Partially<ProduceOpened>): number =>
  uint32Bytes(opened.nodeId) + uint64Bytes(opened.batchBytesMax);

function writeOpened(writer: ProtobufWriter, opened: Partially<ProduceOpened>): void {
  writer.begin(0o12, openedBytes(opened));
  writer.integer(0o10, opened.nodeId);
  writer.integer(0o20, opened.batchBytesMax);
}

function readOpened(reader: ProtobufReader, before: ProduceOpened | null): ProduceOpened {
  let { nodeId, batchBytesMax } = before ?? { nodeId: 0, batchBytesMax: 0 };
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 0o10) nodeId = reader.uint32();
    else if (tag === 0o20) batchBytesMax = reader.uint64();
    else reader.skip(tag, 2);
  }
  return { nodeId, batchBytesMax };
}

const resultBytes = (result: Partially<ProduceResult>): number =>
  uint64Bytes(result.requestId) + uint64Bytes(result.baseOffset) + messageFieldBytes(result.error, errorDetailBytes);

function writeResult(writer: ProtobufWriter, result: Partially<ProduceResult>): void {
  writer.begin(0o22, resultBytes(result));
  writer.integer(0o10, result.requestId);
  writer.integer(0o20, result.baseOffset);
  writeErrorDetail(writer, 0o32, result.error);
}

function readResult(reader: ProtobufReader): ProduceResult {
  let requestId = 0;
  let baseOffset = 0;
  let error: ErrorDetail | null = null;
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 0o10) requestId = reader.uint64();
    else if (tag === 0o20) baseOffset = reader.uint64();
    else if (tag === 0o32) error = reader.message(readErrorDetail, error);
    else reader.skip(tag, 3);
  }
  return { requestId, baseOffset, error };
}
