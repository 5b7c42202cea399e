/** Codecs of the replication stream. Fields and their numbers are in `proto/sluice/peer/v1/peer.proto`. */
import type { Message } from '@sluice/base';
import type { Codec, Partially } from './codec.ts';
import { errorDetailBytes, readErrorDetail, writeErrorDetail } from './error-detail-codec.ts';
import type { ErrorDetail } from './messages-errors.ts';
import type {
  Identity,
  ReplicaAck,
  ReplicaDivergence,
  ReplicaPosition,
  ReplicaPush,
  ReplicaRefusal,
  ReplicateRequest,
  ReplicateResponse,
} from './messages-peer.ts';
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

export const replicateRequestCodec: Codec<ReplicateRequest> = {
  encode({ identity, positions, acks, creditBytes, releasedSlots }: Partially<ReplicateRequest>): Message {
    const writer = new ProtobufWriter(
      messageFieldBytes(identity, identityBytes) +
        listBytes(positions, positionBytes) +
        listBytes(acks, ackBytes) +
        uint64Bytes(creditBytes) +
        packedBytes(releasedSlots),
    );
    writeIdentity(writer, identity);
    for (const position of positions ?? []) writePosition(writer, position);
    for (const ack of acks ?? []) writeAck(writer, ack);
    writer.integer(0o40, creditBytes);
    writer.packed(0o52, releasedSlots);
    return writer.finish();
  },

  decode(message: Message): ReplicateRequest {
    const reader = new ProtobufReader(message, 'request of /sluice.peer.v1.Replication/Replicate');
    let identity: Identity | null = null;
    const positions: ReplicaPosition[] = [];
    const acks: ReplicaAck[] = [];
    let creditBytes = 0;
    const releasedSlots: number[] = [];
    for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
      if (tag === 0o12) identity = reader.message(readIdentity, identity);
      else if (tag === 0o22) positions.push(reader.message(readPosition));
      else if (tag === 0o32) acks.push(reader.message(readAck));
      else if (tag === 0o40) creditBytes = reader.uint64();
      else if (tag === 0o52) reader.packed(releasedSlots);
      else if (tag === 0o50) releasedSlots.push(reader.uint32());
      else reader.skip(tag, 5);
    }
    return { identity, positions, acks, creditBytes, releasedSlots };
  },
};

export const replicateResponseCodec: Codec<ReplicateResponse> = {
  encode({ identity, pushes, divergences, refusals }: Partially<ReplicateResponse>): Message {
    let borrowed = 0;
    for (const { batches } of pushes ?? []) for (const batch of batches ?? []) borrowed += borrowedBytes(batch);
    const bytes =
      messageFieldBytes(identity, identityBytes) +
      listBytes(pushes, pushBytes) +
      listBytes(divergences, divergenceBytes) +
      listBytes(refusals, refusalBytes);
    const writer = new ProtobufWriter(bytes - borrowed);
    writeIdentity(writer, identity);
    for (const push of pushes ?? []) writePush(writer, push);
    for (const divergence of divergences ?? []) writeDivergence(writer, divergence);
    for (const refusal of refusals ?? []) writeRefusal(writer, refusal);
    return writer.finish();
  },

  decode(message: Message): ReplicateResponse {
    const reader = new ProtobufReader(message, 'response of /sluice.peer.v1.Replication/Replicate');
    let identity: Identity | null = null;
    const pushes: ReplicaPush[] = [];
    const divergences: ReplicaDivergence[] = [];
    const refusals: ReplicaRefusal[] = [];
    for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
      if (tag === 0o12) identity = reader.message(readIdentity, identity);
      else if (tag === 0o22) pushes.push(reader.message(readPush));
      else if (tag === 0o32) divergences.push(reader.message(readDivergence));
      else if (tag === 0o42) refusals.push(reader.message(readRefusal));
      else reader.skip(tag, 4);
    }
    return { identity, pushes, divergences, refusals };
  },
};

const identityBytes = (identity: Partially<Identity>): number =>
  textBytes(identity.clusterId) +
  uint32Bytes(identity.nodeId) +
  textBytes(identity.directoryId) +
  textBytes(identity.incarnation) +
  uint32Bytes(identity.protocolVersion) +
  uint64Bytes(identity.brokerEpoch);

function writeIdentity(writer: ProtobufWriter, identity: Partially<Identity> | null | undefined): void {
  if (identity === null || identity === undefined) return;
  writer.begin(0o12, identityBytes(identity));
  writer.text(0o12, identity.clusterId);
  writer.integer(0o20, identity.nodeId);
  writer.text(0o32, identity.directoryId);
  writer.text(0o42, identity.incarnation);
  writer.integer(0o50, identity.protocolVersion);
  writer.integer(0o60, identity.brokerEpoch);
}

const absent: Identity = {
  clusterId: '',
  nodeId: 0,
  directoryId: '',
  incarnation: '',
  protocolVersion: 0,
  brokerEpoch: 0,
};

function readIdentity(reader: ProtobufReader, before: Identity | null): Identity {
  let { clusterId, nodeId, directoryId, incarnation, protocolVersion, brokerEpoch } = before ?? absent;
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 0o12) clusterId = reader.text();
    else if (tag === 0o20) nodeId = reader.uint32();
    else if (tag === 0o32) directoryId = reader.text();
    else if (tag === 0o42) incarnation = reader.text();
    else if (tag === 0o50) protocolVersion = reader.uint32();
    else if (tag === 0o60) brokerEpoch = reader.uint64();
    else reader.skip(tag, 6);
  }
  return { clusterId, nodeId, directoryId, incarnation, protocolVersion, brokerEpoch };
}

const positionBytes = (position: Partially<ReplicaPosition>): number =>
  uint32Bytes(position.slot) +
  textBytes(position.topicId) +
  uint32Bytes(position.partition) +
  uint32Bytes(position.kind) +
  uint32Bytes(position.leaderEpoch) +
  uint64Bytes(position.session) +
  uint64Bytes(position.fetchOffset) +
  sint32Bytes(position.lastEpoch) +
  uint64Bytes(position.durableOffset) +
  uint64Bytes(position.durableStart) +
  uint32Bytes(position.partitionEpoch);

function writePosition(writer: ProtobufWriter, position: Partially<ReplicaPosition>): void {
  writer.begin(0o22, positionBytes(position));
  writer.integer(0o10, position.slot);
  writer.text(0o22, position.topicId);
  writer.integer(0o30, position.partition);
  writer.integer(0o40, position.kind);
  writer.integer(0o50, position.leaderEpoch);
  writer.integer(0o60, position.session);
  writer.integer(0o70, position.fetchOffset);
  writer.sint32(0o100, position.lastEpoch);
  writer.integer(0o110, position.durableOffset);
  writer.integer(0o120, position.durableStart);
  writer.integer(0o130, position.partitionEpoch);
}

function readPosition(reader: ProtobufReader): ReplicaPosition {
  let slot = 0;
  let topicId = '';
  let partition = 0;
  let kind = 0;
  let leaderEpoch = 0;
  let session = 0;
  let fetchOffset = 0;
  let lastEpoch = 0;
  let durableOffset = 0;
  let durableStart = 0;
  let partitionEpoch = 0;
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 0o10) slot = reader.uint32();
    else if (tag === 0o22) topicId = reader.text();
    else if (tag === 0o30) partition = reader.uint32();
    else if (tag === 0o40) kind = reader.uint32();
    else if (tag === 0o50) leaderEpoch = reader.uint32();
    else if (tag === 0o60) session = reader.uint64();
    else if (tag === 0o70) fetchOffset = reader.uint64();
    else if (tag === 0o100) lastEpoch = reader.sint32();
    else if (tag === 0o110) durableOffset = reader.uint64();
    else if (tag === 0o120) durableStart = reader.uint64();
    else if (tag === 0o130) partitionEpoch = reader.uint32();
    else reader.skip(tag, 11);
  }
  const durable = { durableOffset, durableStart };
  return { slot, topicId, partition, kind, leaderEpoch, session, fetchOffset, lastEpoch, ...durable, partitionEpoch };
}

const ackBytes = (ack: Partially<ReplicaAck>): number =>
  uint32Bytes(ack.slot) +
  uint32Bytes(ack.leaderEpoch) +
  uint64Bytes(ack.session) +
  uint64Bytes(ack.durableOffset) +
  uint64Bytes(ack.durableStart) +
  uint64Bytes(ack.ackOffset);

function writeAck(writer: ProtobufWriter, ack: Partially<ReplicaAck>): void {
  writer.begin(0o32, ackBytes(ack));
  writer.integer(0o10, ack.slot);
  writer.integer(0o20, ack.leaderEpoch);
  writer.integer(0o30, ack.session);
  writer.integer(0o40, ack.durableOffset);
  writer.integer(0o50, ack.durableStart);
  writer.integer(0o60, ack.ackOffset);
}

function readAck(reader: ProtobufReader): ReplicaAck {
  let slot = 0;
  let leaderEpoch = 0;
  let session = 0;
  let durableOffset = 0;
  let durableStart = 0;
  let ackOffset = 0;
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 0o10) slot = reader.uint32();
    else if (tag === 0o20) leaderEpoch = reader.uint32();
    else if (tag === 0o30) session = reader.uint64();
    else if (tag === 0o40) durableOffset = reader.uint64();
    else if (tag === 0o50) durableStart = reader.uint64();
    else if (tag === 0o60) ackOffset = reader.uint64();
    else reader.skip(tag, 6);
  }
  return { slot, leaderEpoch, session, durableOffset, durableStart, ackOffset };
}

function pushBytes(push: Partially<ReplicaPush>): number {
  let bytes =
    uint32Bytes(push.slot) +
    uint32Bytes(push.leaderEpoch) +
    uint64Bytes(push.session) +
    uint64Bytes(push.highWatermark) +
    uint64Bytes(push.logStart) +
    uint64Bytes(push.moreBytes) +
    boolBytes(push.continues);
  for (const batch of push.batches ?? []) bytes += delimitedBytes(batch.byteLength);
  return bytes;
}

function writePush(writer: ProtobufWriter, push: Partially<ReplicaPush>): void {
  writer.begin(0o22, pushBytes(push));
  writer.integer(0o10, push.slot);
  writer.integer(0o20, push.leaderEpoch);
  writer.integer(0o30, push.session);
  for (const batch of push.batches ?? []) writer.bytesItem(0o42, batch);
  writer.integer(0o50, push.highWatermark);
  writer.integer(0o60, push.logStart);
  writer.integer(0o70, push.moreBytes);
  writer.bool(0o100, push.continues);
}

function readPush(reader: ProtobufReader): ReplicaPush {
  let slot = 0;
  let leaderEpoch = 0;
  let session = 0;
  const batches: Uint8Array[] = [];
  let highWatermark = 0;
  let logStart = 0;
  let moreBytes = 0;
  let continues = false;
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 0o10) slot = reader.uint32();
    else if (tag === 0o20) leaderEpoch = reader.uint32();
    else if (tag === 0o30) session = reader.uint64();
    else if (tag === 0o42) batches.push(reader.bytes());
    else if (tag === 0o50) highWatermark = reader.uint64();
    else if (tag === 0o60) logStart = reader.uint64();
    else if (tag === 0o70) moreBytes = reader.uint64();
    else if (tag === 0o100) continues = reader.bool();
    else reader.skip(tag, 8);
  }
  return { slot, leaderEpoch, session, batches, highWatermark, logStart, moreBytes, continues };
}

const divergenceBytes = (divergence: Partially<ReplicaDivergence>): number =>
  uint32Bytes(divergence.slot) +
  uint32Bytes(divergence.leaderEpoch) +
  uint64Bytes(divergence.session) +
  sint32Bytes(divergence.epoch) +
  uint64Bytes(divergence.endOffset);

function writeDivergence(writer: ProtobufWriter, divergence: Partially<ReplicaDivergence>): void {
  writer.begin(0o32, divergenceBytes(divergence));
  writer.integer(0o10, divergence.slot);
  writer.integer(0o20, divergence.leaderEpoch);
  writer.integer(0o30, divergence.session);
  writer.sint32(0o40, divergence.epoch);
  writer.integer(0o50, divergence.endOffset);
}

function readDivergence(reader: ProtobufReader): ReplicaDivergence {
  let slot = 0;
  let leaderEpoch = 0;
  let session = 0;
  let epoch = 0;
  let endOffset = 0;
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 0o10) slot = reader.uint32();
    else if (tag === 0o20) leaderEpoch = reader.uint32();
    else if (tag === 0o30) session = reader.uint64();
    else if (tag === 0o40) epoch = reader.sint32();
    else if (tag === 0o50) endOffset = reader.uint64();
    else reader.skip(tag, 5);
  }
  return { slot, leaderEpoch, session, epoch, endOffset };
}

const refusalBytes = (refusal: Partially<ReplicaRefusal>): number =>
  uint32Bytes(refusal.slot) +
  uint32Bytes(refusal.leaderEpoch) +
  uint64Bytes(refusal.session) +
  messageFieldBytes(refusal.error, errorDetailBytes) +
  uint64Bytes(refusal.logStart);

function writeRefusal(writer: ProtobufWriter, refusal: Partially<ReplicaRefusal>): void {
  writer.begin(0o42, refusalBytes(refusal));
  writer.integer(0o10, refusal.slot);
  writer.integer(0o20, refusal.leaderEpoch);
  writer.integer(0o30, refusal.session);
  writeErrorDetail(writer, 0o42, refusal.error);
  writer.integer(0o50, refusal.logStart);
}

function readRefusal(reader: ProtobufReader): ReplicaRefusal {
  let slot = 0;
  let leaderEpoch = 0;
  let session = 0;
  let error: ErrorDetail | null = null;
  let logStart = 0;
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 0o10) slot = reader.uint32();
    else if (tag === 0o20) leaderEpoch = reader.uint32();
    else if (tag === 0o30) session = reader.uint64();
    else if (tag === 0o42) error = reader.message(readErrorDetail, error);
    else if (tag === 0o50) logStart = reader.uint64();
    else reader.skip(tag, 5);
  }
  return { slot, leaderEpoch, session, error, logStart };
}
