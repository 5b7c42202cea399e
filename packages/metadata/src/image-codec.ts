/**
 * A metadata image as the bytes of a Raft snapshot. Canonical: images of the same state have the same bytes, whatever
 * led to it, since nodes and topics are written in the order of their ids. `appliedIndex` is one of the fields, so that
 * state and position can never be of different times (P8). What follows from the rest, the indexes by node, is not
 * written; what was read is checked, and the indexes are made anew.
 *
 * Format version (1 byte), then big-endian fields one after another; lists are their length and their members, an id of
 * 32 hex digits is 16 bytes.
 */
import {
  brokerEpoch,
  ByteReader,
  ByteWriter,
  clusterId,
  directoryId,
  isSmallPosition,
  leaderEpoch,
  logIndex,
  nodeId,
  partitionEpoch,
  partitionIndex,
  producerId,
  topicId,
} from '@sluice/base';
import type { NodeId, TopicId } from '@sluice/base';
import { MetadataImage } from './image.ts';
import { partitionFault } from './partition-rules.ts';
import { featureLevelMax } from './records.ts';
import type { ClientListener, RecordFailure, Refilling } from './records.ts';
import type { NodePhase, NodeState, PartitionState, TopicState } from './state.ts';
import { topicConfigTable } from './topic-config.ts';
import type { TopicConfig } from './topic-config.ts';

export type DecodedImage =
  | { readonly ok: true; readonly image: MetadataImage }
  | { readonly ok: false; readonly failure: RecordFailure };

/** Raise it with every change of what is written, a new key of the topic configuration included. */
const formatVersion = 3;

/** Each at least; what is counted beyond them is not there. */
const nodeBytesMin = 72;
const listenerBytesMin = 6;
const topicBytesMin = 74;
const partitionBytesMin = 36;
const noLeader = 0;
/** Epoch 0 is given at creation. */
const notRecovered = 0;
const phases: readonly NodePhase[] = ['fenced', 'up', 'draining'];

export function encodeImage(image: MetadataImage): Uint8Array {
  const writer = new ByteWriter(256 + image.nodes.size * 256 + image.topics.size * 128 + image.partitionCount * 64);
  writer.u8(formatVersion);
  writer.u64(image.appliedIndex);
  writer.u32(image.featureLevel);
  if (image.clusterId !== null) {
    writeId(writer, image.clusterId);
    writer.u64(image.nextProducerId);
    writer.u32(image.nodes.size);
    const nodes = [...image.nodes.values()].toSorted((a, b) => a.nodeId - b.nodeId);
    for (const node of nodes) writeNode(writer, node);
    writer.u32(image.topics.size);
    const topics = [...image.topics.values()].toSorted((a, b) => (a.topicId < b.topicId ? -1 : 1));
    for (const topic of topics) writeTopic(writer, topic);
  }
  return writer.written().slice();
}

/** Reads what `encodeImage` wrote; `ok: false` is no image of this version. Never throws. */
export function decodeImage(bytes: Uint8Array): DecodedImage {
  const reader = new ByteReader(bytes);
  const format = reader.u8();
  if (reader.failed) return failed('INTERNAL', 'is empty');
  if (format !== formatVersion) {
    return failed('UNSUPPORTED_VERSION', `has format ${format}; this build reads ${formatVersion}`);
  }
  const appliedIndex = reader.u64();
  const featureLevel = reader.u32();
  if (reader.failed) return failed('INTERNAL', 'is cut off');
  if (featureLevel > featureLevelMax) {
    return failed(
      'UNSUPPORTED_VERSION',
      `has feature level ${featureLevel}; this build knows up to ${featureLevelMax}`,
    );
  }
  const isBorn = featureLevel > 0;
  const cluster = isBorn ? clusterId(readId(reader)) : null;
  const nextProducerId = producerId(isBorn ? reader.u64() : 0);
  const nodes = isBorn ? readNodes(reader) : [];
  const topics = isBorn ? readTopics(reader) : [];
  if (reader.failed || reader.left > 0) return failed('INTERNAL', 'is cut off or malformed');
  const state = {
    clusterId: cluster,
    featureLevel,
    appliedIndex: logIndex(appliedIndex),
    nextProducerId,
    nodes,
    topics,
  };
  const fault = imageFault(state.appliedIndex, nodes, topics);
  return fault === undefined
    ? { ok: true, image: MetadataImage.of(state) }
    : failed('INTERNAL', `contradicts itself: ${fault}`);
}

/** 16 hex digits of the state and its position, equal for equal images. Not for an adversary: a fast mix of the bytes. */
export function imageDigest(image: MetadataImage): string {
  let [one, two] = [0xdead_beef, 0x41c6_ce57];
  for (const byte of encodeImage(image)) {
    one = Math.imul(one ^ byte, 0x9e37_79b1);
    two = Math.imul(two ^ byte, 0x5f35_6495);
    one ^= one >>> 15;
    two ^= two >>> 13;
  }
  return hex(one >>> 0, 8) + hex(two >>> 0, 8);
}

function writeNode(writer: ByteWriter, node: NodeState): void {
  writer.u32(node.nodeId);
  writeId(writer, node.directoryId);
  writeId(writer, node.incarnation);
  writer.text(node.softwareVersion);
  writer.text(node.rack);
  writer.u8(node.clientListeners.length);
  for (const { name, protocol, address } of node.clientListeners) {
    writer.text(name);
    writer.text(protocol);
    writer.text(address);
  }
  writer.text(node.peerAddress);
  writer.text(node.adminAddress);
  writer.u8(node.lossy ? 1 : 0);
  writer.u64(node.brokerEpoch);
  // Broker epochs are indexes of entries, which begin at 1.
  writer.u64(node.confirmedEpoch ?? 0);
  writer.u8(phases.indexOf(node.state));
  writer.u8(node.stalled ? 1 : 0);
  writer.u64(node.stateIndex);
}

function writeTopic(writer: ByteWriter, topic: TopicState): void {
  writeId(writer, topic.topicId);
  writer.text(topic.namespace);
  writer.text(topic.name);
  for (const key of configKeys) {
    const row = topicConfigTable[key];
    const value = topic.config[key];
    if (row.kind === 'choice') writer.u8((row.choices as readonly unknown[]).indexOf(value));
    // One more than it is: a limit that there is not is −1.
    else writer.u64((value as number) + 1);
  }
  writer.u32(topic.partitions.length);
  for (const partition of topic.partitions) writePartition(writer, partition);
}

function writePartition(writer: ByteWriter, state: PartitionState): void {
  writeNodeIds(writer, state.replicas);
  writeNodeIds(writer, state.isr);
  writeNodeIds(writer, state.elr);
  writeNodeIds(writer, state.lastKnownElr);
  writeNodeIds(writer, state.lossy);
  writer.u16(state.refilling.length);
  for (const { nodeId: id, since } of state.refilling) {
    writer.u32(id);
    writer.u32(since);
  }
  writer.u32(state.recoveredEpoch ?? notRecovered);
  writer.u32(state.leader ?? noLeader);
  writer.u32(state.leaderEpoch);
  writer.u32(state.partitionEpoch);
}

function writeNodeIds(writer: ByteWriter, ids: readonly NodeId[]): void {
  writer.u16(ids.length);
  for (const id of ids) writer.u32(id);
}

function readNodes(reader: ByteReader): readonly NodeState[] {
  return readList(reader, reader.u32(), nodeBytesMin, readNode);
}

function readNode(reader: ByteReader): NodeState {
  const node = nodeId(readNumber(reader, 1));
  const directory = directoryId(readId(reader));
  const incarnation = readId(reader);
  const softwareVersion = readText(reader);
  const rack = reader.text();
  const clientListeners = readList(reader, reader.u8(), listenerBytesMin, readListener);
  const peerAddress = readText(reader);
  const adminAddress = readText(reader);
  const lossy = readChoice(reader, [false, true]);
  const epoch = brokerEpoch(reader.u64());
  const confirmed = reader.u64();
  return {
    nodeId: node,
    directoryId: directory,
    incarnation,
    softwareVersion,
    rack,
    clientListeners,
    peerAddress,
    adminAddress,
    lossy,
    brokerEpoch: epoch,
    confirmedEpoch: confirmed === 0 ? null : brokerEpoch(confirmed),
    state: readChoice(reader, phases),
    stalled: readChoice(reader, [false, true]),
    stateIndex: logIndex(reader.u64()),
  };
}

const readListener = (reader: ByteReader): ClientListener => ({
  name: readText(reader),
  protocol: readText(reader),
  address: readText(reader),
});

function readTopics(reader: ByteReader): readonly TopicState[] {
  return readList(reader, reader.u32(), topicBytesMin, readTopic);
}

function readTopic(reader: ByteReader): TopicState {
  const topic = topicId(readId(reader));
  const namespace = readText(reader);
  const name = readText(reader);
  const config: Record<string, number | string> = {};
  for (const key of configKeys) {
    const row = topicConfigTable[key];
    config[key] = row.kind === 'choice' ? readChoice<string>(reader, row.choices) : reader.u64() - 1;
  }
  let at = 0;
  const partitions = readList(reader, reader.u32(), partitionBytesMin, () => readPartition(reader, topic, at++));
  return { topicId: topic, namespace, name, config: config as unknown as TopicConfig, partitions };
}

function readPartition(reader: ByteReader, topic: TopicId, at: number): PartitionState {
  const replicas = readNodeIds(reader);
  const isr = readNodeIds(reader);
  const elr = readNodeIds(reader);
  const lastKnownElr = readNodeIds(reader);
  const lossy = readNodeIds(reader);
  const refilling = readList(reader, reader.u16(), 8, readRefilling);
  const recovered = readNumber(reader, 0);
  const leader = readNumber(reader, 0);
  return {
    topicId: topic,
    partition: partitionIndex(at),
    replicas,
    isr,
    elr,
    lastKnownElr,
    lossy,
    refilling,
    recoveredEpoch: recovered === notRecovered ? null : leaderEpoch(recovered),
    leader: leader === noLeader ? null : nodeId(leader),
    leaderEpoch: leaderEpoch(readNumber(reader, 0)),
    partitionEpoch: partitionEpoch(readNumber(reader, 0)),
  };
}

const readRefilling = (reader: ByteReader): Refilling => ({
  nodeId: nodeId(readNumber(reader, 1)),
  since: partitionEpoch(readNumber(reader, 0)),
});

const readNodeIds = (reader: ByteReader): readonly NodeId[] =>
  readList(reader, reader.u16(), 4, () => nodeId(readNumber(reader, 1)));

/** The first failure ends it, and a count that the bytes left cannot hold is one: nothing is allocated for it. */
function readList<Item>(
  reader: ByteReader,
  count: number,
  itemBytesMin: number,
  read: (reader: ByteReader) => Item,
): readonly Item[] {
  const items: Item[] = [];
  if (count * itemBytesMin > reader.left) reader.fail();
  while (items.length < count && !reader.failed) items.push(read(reader));
  return items;
}

/** What is no number of this kind fails, and is `min` then, which is one. */
function readNumber(reader: ByteReader, min: 0 | 1): number {
  const value = reader.u32();
  if (isSmallPosition(value) && value >= min) return value;
  reader.fail();
  return min;
}

function readChoice<Choice>(reader: ByteReader, choices: readonly [Choice, ...Choice[]] | readonly Choice[]): Choice {
  const choice = choices[reader.u8()];
  if (choice !== undefined) return choice;
  reader.fail();
  return choices[0] as Choice;
}

function readText(reader: ByteReader): string {
  const text = reader.text();
  if (text === null) reader.fail();
  return text ?? '';
}

/** The order of the table, which is a part of the format. */
const configKeys = Object.keys(topicConfigTable) as readonly (keyof TopicConfig)[];

const hex = (value: number, digits: number): string => value.toString(16).padStart(digits, '0');

function writeId(writer: ByteWriter, id: string): void {
  for (let at = 0; at < 32; at += 8) writer.u32(Number.parseInt(id.slice(at, at + 8), 16));
}

const readId = (reader: ByteReader): string =>
  hex(reader.u32(), 8) + hex(reader.u32(), 8) + hex(reader.u32(), 8) + hex(reader.u32(), 8);

/** What fields of the right form can still get wrong: a state that no log leads to. */
function imageFault(
  appliedIndex: number,
  nodes: readonly NodeState[],
  topics: readonly TopicState[],
): string | undefined {
  const fenced = new Map<NodeId, boolean>();
  let last = 0;
  for (const { nodeId: id, brokerEpoch: epoch, stateIndex, state } of nodes) {
    if (id <= last) return 'nodes are not in order';
    if (epoch < 1 || epoch > stateIndex || stateIndex > appliedIndex) return `node ${id} is of a later time`;
    fenced.set(id, state === 'fenced');
    last = id;
  }
  const names = new Set<string>();
  let before = '';
  for (const { topicId: id, namespace, name, partitions, config } of topics) {
    if (id <= before) return 'topics are not in order';
    before = id;
    names.add(`${namespace}/${name}`);
    for (const partition of partitions) {
      const fault = partitionFault(partition, config.minIsr);
      if (fault !== undefined) return `topic ${id}, partition ${partition.partition}: ${fault}`;
      const isLed = partition.leader !== null;
      if (isLed && fenced.get(partition.leader) !== false) return `topic ${id} is led by a node that is fenced`;
    }
  }
  return names.size === topics.length ? undefined : 'two topics have one name';
}

const failed = (code: RecordFailure['code'], what: string): DecodedImage => ({
  ok: false,
  failure: { code, message: `the metadata image ${what}` },
});
