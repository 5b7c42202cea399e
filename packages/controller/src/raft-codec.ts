/**
 * Raft messages as bytes: format version (1 byte), kind (1 byte), the fields of the kind in the order of `fieldsOf`, then
 * the entries of an append, each with its payload, or the chunk of a snapshot. Numbers are varints: most are small.
 */
import { ByteReader, ByteWriter, logIndex, SluiceError, term } from '@sluice/base';
import { defaultRaftConfig, entriesMax, memberId } from '@sluice/raft';
import type { Entry, EntryKind, Membership, RaftMessage, ReplicationSession, Voter } from '@sluice/raft';

const formatVersion = 2;
/**
 * No member sends more: an empty entry is five bytes of a message and much more in memory, so that the size of a message
 * alone is no bound.
 */
const appendEntriesMax = entriesMax(defaultRaftConfig.appendBytesMax);
/** As `memberId` bounds it. */
const memberIdLengthMax = 128;
/** One for all: most messages are shorter than the smallest buffer that does not cost the collector dearly. */
const writer = new ByteWriter();

type FieldKind = 'position' | 'flag' | 'session' | 'membership';
type Fields = readonly (readonly [name: string, kind: FieldKind])[];

const fields = (of: Readonly<Record<string, FieldKind>>): Fields => Object.entries(of);
const logEnd = { term: 'position', lastIndex: 'position', lastTerm: 'position' } as const;
const replication = { term: 'position', session: 'session' } as const;

/** Besides the entries of an append and the chunk of a snapshot. */
const fieldsOf: Readonly<Record<RaftMessage['kind'], Fields>> = {
  'vote-request': fields({ ...logEnd, pre: 'flag', transfer: 'flag' }),
  'vote-reply': fields({ term: 'position', pre: 'flag', granted: 'flag' }),
  append: fields({ ...replication, prevIndex: 'position', prevTerm: 'position', commitIndex: 'position' }),
  'append-accepted': fields({ ...replication, matchIndex: 'position' }),
  'append-rejected': fields({
    ...replication,
    prevIndex: 'position',
    hintIndex: 'position',
    hintTerm: 'position',
    lastIndex: 'position',
  }),
  heartbeat: fields({ ...replication, commitIndex: 'position', round: 'position' }),
  'heartbeat-reply': fields({ ...replication, matchedIndex: 'position', round: 'position' }),
  'time-out-now': fields({ term: 'position' }),
  'snapshot-chunk': fields({
    ...replication,
    index: 'position',
    lastTerm: 'position',
    membership: 'membership',
    bytesTotal: 'position',
    checksum: 'position',
    offset: 'position',
    chunkChecksum: 'position',
  }),
  'snapshot-progress': fields({ ...replication, index: 'position', receivedBytes: 'position' }),
  observe: fields(logEnd),
  'leader-moved': fields({ term: 'position' }),
};

/** Their places are their numbers on the wire. */
const kinds = Object.keys(fieldsOf) as readonly RaftMessage['kind'][];
const numberOf = new Map(kinds.map((kind, number) => [kind, number]));
const entryKinds: readonly EntryKind[] = ['no-op', 'command', 'membership'];

export function encodeRaftMessage(message: RaftMessage): Uint8Array {
  writer.clear();
  writer.u8(formatVersion);
  writer.u8(numberOf.get(message.kind) ?? kinds.length);
  const values = message as unknown as Readonly<Record<string, unknown>>;
  for (const [name, kind] of fieldsOf[message.kind]) writeField(kind, values[name]);
  if (message.kind === 'append') writeEntries(message.entries);
  if (message.kind === 'snapshot-chunk') writePayload(message.chunk);
  return writer.written().slice();
}

function writeField(kind: FieldKind, value: unknown): void {
  switch (kind) {
    case 'position':
      writer.integer(value as number);
      return;
    case 'flag':
      writer.u8(value === true ? 1 : 0);
      return;
    case 'session': {
      const session = value as ReplicationSession;
      writer.integer(session.term);
      writer.integer(session.configIndex);
      writer.integer(session.attempt);
      return;
    }
    case 'membership': {
      const { index, voters } = value as Membership;
      writer.integer(index);
      writer.integer(voters.length);
      for (const { id, address } of voters) {
        writer.text(id);
        writer.text(address);
      }
    }
  }
}

function writeEntries(entries: readonly Entry[]): void {
  writer.integer(entries.length);
  for (const entry of entries) {
    writer.integer(entry.index);
    writer.integer(entry.term);
    writer.u8(entryKinds.indexOf(entry.kind));
    writePayload(entry.payload);
  }
}

function writePayload(payload: Uint8Array): void {
  writer.integer(payload.byteLength);
  writer.bytes(payload);
}

/**
 * Throws `INVALID_REQUEST` or `UNSUPPORTED_VERSION` when the bytes are no message of a peer of this version: the machine
 * looks at the type of no field again.
 */
export function decodeRaftMessage(bytes: Uint8Array): RaftMessage {
  const reader = new ByteReader(bytes);
  const version = reader.u8();
  if (!reader.failed && version !== formatVersion) {
    throw new SluiceError('UNSUPPORTED_VERSION', { message: `Raft message format ${version} is not known here.` });
  }
  const kind = kinds[reader.u8()];
  if (reader.failed || kind === undefined) throw malformed('its kind is not known');
  const message: Record<string, unknown> = { kind };
  for (const [name, fieldKind] of fieldsOf[kind]) message[name] = readField(reader, fieldKind);
  if (kind === 'append') message['entries'] = readEntries(reader);
  if (kind === 'snapshot-chunk') message['chunk'] = readPayload(reader);
  if (reader.failed) throw malformed(`${kind} ends early, or a field of it is no value of its type`);
  if (reader.left > 0) throw malformed(`${reader.left} bytes follow its end`);
  return message as unknown as RaftMessage;
}

function readField(reader: ByteReader, kind: FieldKind): unknown {
  switch (kind) {
    case 'position':
      return reader.count();
    case 'flag':
      return readFlag(reader);
    case 'session':
      return { term: reader.count(), configIndex: reader.count(), attempt: reader.count() };
    case 'membership':
      return { index: reader.count(), voters: readVoters(reader) };
  }
}

function readFlag(reader: ByteReader): boolean {
  const value = reader.u8();
  if (value > 1) reader.fail();
  return value === 1;
}

/** Each takes bytes of the message, so a count beyond them ends at the first that is not there. */
function readVoters(reader: ByteReader): readonly Voter[] {
  const voters: Voter[] = [];
  for (let left = reader.count(); left > 0 && !reader.failed; left -= 1) {
    const id = reader.text() ?? '';
    const address = reader.text();
    if (address === null || id.length === 0 || id.length > memberIdLengthMax) reader.fail();
    else voters.push({ id: memberId(id), address });
  }
  return voters;
}

function readEntries(reader: ByteReader): readonly Entry[] {
  const entries: Entry[] = [];
  const count = reader.count();
  if (count > appendEntriesMax) throw malformed(`it brings ${count} entries, and none brings over ${appendEntriesMax}`);
  for (let left = count; left > 0 && !reader.failed; left -= 1) {
    const index = logIndex(reader.count());
    const inTerm = term(reader.count());
    const kind = entryKinds[reader.u8()];
    const payload = readPayload(reader);
    if (kind === undefined) reader.fail();
    else entries.push({ index, term: inTerm, kind, payload });
  }
  return entries;
}

/** Copied: it outlives the message that it arrived in. */
const readPayload = (reader: ByteReader): Uint8Array => reader.bytes(reader.count()).slice();

const malformed = (why: string): SluiceError =>
  new SluiceError('INVALID_REQUEST', { message: `This is not a Raft message: ${why}.` });
