/** Codecs of the fetch stream. Fields and their numbers are in `proto/sluice/v1/broker.proto`. */
import type { Message } from '@sluice/base';
import type { Codec, Partially } from './codec.ts';
import { errorDetailBytes, readErrorDetail, writeErrorDetail } from './error-detail-codec.ts';
import type {
  FetchedRun,
  FetchFailure,
  FetchOpen,
  FetchRequest,
  FetchResponse,
  FetchStart,
} from './messages-broker.ts';
import type { ErrorDetail } from './messages-errors.ts';
import { ProtobufReader } from './protobuf-reader.ts';
import {
  boolBytes,
  borrowedBytes,
  delimitedBytes,
  listBytes,
  messageFieldBytes,
  packedBytes,
  ProtobufWriter,
  sint32Bytes,
  textBytes,
  uint32Bytes,
  uint64Bytes,
} from './protobuf-writer.ts';

export const fetchRequestCodec: Codec<FetchRequest> = {
  encode({ open, start, stop, creditBytes }: Partially<FetchRequest>): Message {
    const writer = new ProtobufWriter(
      messageFieldBytes(open, openBytes) + listBytes(start, startBytes) + packedBytes(stop) + uint64Bytes(creditBytes),
    );
    if (open !== null && open !== undefined) writeOpen(writer, open);
    for (const one of start ?? []) writeStart(writer, one);
    writer.packed(0o32, stop);
    writer.integer(0o40, creditBytes);
    return writer.finish();
  },

  decode(message: Message): FetchRequest {
    const reader = new ProtobufReader(message, 'request of /sluice.v1.Broker/Fetch');
    let open: FetchOpen | null = null;
    const start: FetchStart[] = [];
    const stop: number[] = [];
    let creditBytes = 0;
    for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
      if (tag === 0o12) open = reader.message(readOpen, open);
      else if (tag === 0o22) start.push(reader.message(readStart));
      else if (tag === 0o32) reader.packed(stop);
      else if (tag === 0o30) stop.push(reader.uint32());
      else if (tag === 0o40) creditBytes = reader.uint64();
      else reader.skip(tag, 4);
    }
    return { open, start, stop, creditBytes };
  },
};

export const fetchResponseCodec: Codec<FetchResponse> = {
  encode({ nodeId, runs, failures }: Partially<FetchResponse>): Message {
    let borrowed = 0;
    for (const { batches } of runs ?? []) for (const batch of batches ?? []) borrowed += borrowedBytes(batch);
    const bytes = uint32Bytes(nodeId) + listBytes(runs, runBytes) + listBytes(failures, failureBytes);
    const writer = new ProtobufWriter(bytes - borrowed);
    writer.integer(0o10, nodeId);
    for (const run of runs ?? []) writeRun(writer, run);
    for (const failure of failures ?? []) writeFailure(writer, failure);
    return writer.finish();
  },

  decode(message: Message): FetchResponse {
    const reader = new ProtobufReader(message, 'response of /sluice.v1.Broker/Fetch');
    let nodeId = 0;
    const runs: FetchedRun[] = [];
    const failures: FetchFailure[] = [];
    for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
      if (tag === 0o10) nodeId = reader.uint32();
      else if (tag === 0o22) runs.push(reader.message(readRun));
      else if (tag === 0o32) failures.push(reader.message(readFailure));
      else reader.skip(tag, 3);
    }
    return { nodeId, runs, failures };
  },
};

const openBytes = (open: Partially<FetchOpen>): number => textBytes(open.clientId) + boolBytes(open.takesParts);

function writeOpen(writer: ProtobufWriter, open: Partially<FetchOpen>): void {
  writer.begin(0o12, openBytes(open));
  writer.text(0o12, open.clientId);
  writer.bool(0o20, open.takesParts);
}

function readOpen(reader: ProtobufReader, before: FetchOpen | null): FetchOpen {
  let { clientId, takesParts } = before ?? { clientId: '', takesParts: false };
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 0o12) clientId = reader.text();
    else if (tag === 0o20) takesParts = reader.bool();
    else reader.skip(tag, 2);
  }
  return { clientId, takesParts };
}

const startBytes = (start: Partially<FetchStart>): number =>
  uint32Bytes(start.subscription) +
  textBytes(start.topicId) +
  uint32Bytes(start.partition) +
  uint64Bytes(start.fromOffset) +
  sint32Bytes(start.leaderEpoch) +
  uint32Bytes(start.runBytesMax);

function writeStart(writer: ProtobufWriter, start: Partially<FetchStart>): void {
  writer.begin(0o22, startBytes(start));
  writer.integer(0o10, start.subscription);
  writer.text(0o22, start.topicId);
  writer.integer(0o30, start.partition);
  writer.integer(0o40, start.fromOffset);
  writer.sint32(0o50, start.leaderEpoch);
  writer.integer(0o60, start.runBytesMax);
}

function readStart(reader: ProtobufReader): FetchStart {
  let subscription = 0;
  let topicId = '';
  let partition = 0;
  let fromOffset = 0;
  let leaderEpoch = 0;
  let runBytesMax = 0;
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 0o10) subscription = reader.uint32();
    else if (tag === 0o22) topicId = reader.text();
    else if (tag === 0o30) partition = reader.uint32();
    else if (tag === 0o40) fromOffset = reader.uint64();
    else if (tag === 0o50) leaderEpoch = reader.sint32();
    else if (tag === 0o60) runBytesMax = reader.uint32();
    else reader.skip(tag, 6);
  }
  return { subscription, topicId, partition, fromOffset, leaderEpoch, runBytesMax };
}

function runBytes(run: Partially<FetchedRun>): number {
  let bytes =
    uint32Bytes(run.subscription) +
    uint64Bytes(run.nextOffset) +
    uint64Bytes(run.highWatermark) +
    uint64Bytes(run.logStart) +
    uint64Bytes(run.moreBytes) +
    boolBytes(run.continues);
  for (const batch of run.batches ?? []) bytes += delimitedBytes(batch.byteLength);
  return bytes;
}

function writeRun(writer: ProtobufWriter, run: Partially<FetchedRun>): void {
  writer.begin(0o22, runBytes(run));
  writer.integer(0o10, run.subscription);
  for (const batch of run.batches ?? []) writer.bytesItem(0o22, batch);
  writer.integer(0o30, run.nextOffset);
  writer.integer(0o40, run.highWatermark);
  writer.integer(0o50, run.logStart);
  writer.integer(0o60, run.moreBytes);
  writer.bool(0o70, run.continues);
}

function readRun(reader: ProtobufReader): FetchedRun {
  let subscription = 0;
  const batches: Uint8Array[] = [];
  let nextOffset = 0;
  let highWatermark = 0;
  let logStart = 0;
  let moreBytes = 0;
  let continues = false;
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 0o10) subscription = reader.uint32();
    else if (tag === 0o22) batches.push(reader.bytes());
    else if (tag === 0o30) nextOffset = reader.uint64();
    else if (tag === 0o40) highWatermark = reader.uint64();
    else if (tag === 0o50) logStart = reader.uint64();
    else if (tag === 0o60) moreBytes = reader.uint64();
    else if (tag === 0o70) continues = reader.bool();
    else reader.skip(tag, 7);
  }
  return { subscription, batches, nextOffset, highWatermark, logStart, moreBytes, continues };
}

const failureBytes = (failure: Partially<FetchFailure>): number =>
  uint32Bytes(failure.subscription) + messageFieldBytes(failure.error, errorDetailBytes);

function writeFailure(writer: ProtobufWriter, failure: Partially<FetchFailure>): void {
  writer.begin(0o32, failureBytes(failure));
  writer.integer(0o10, failure.subscription);
  writeErrorDetail(writer, 0o22, failure.error);
}

function readFailure(reader: ProtobufReader): FetchFailure {
  let subscription = 0;
  let error: ErrorDetail | null = null;
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 0o10) subscription = reader.uint32();
    else if (tag === 0o22) error = reader.message(readErrorDetail, error);
    else reader.skip(tag, 2);
  }
  return { subscription, error };
}
