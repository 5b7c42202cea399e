/**
 * Raft messages as bytes: format version (1 byte), length of the header (4 bytes, big-endian), the header as JSON in
 * UTF-8, then the payloads of its entries one after another, or the chunk of a snapshot. The header carries the length
 * of each.
 */
import { isPosition, logIndex, SluiceError, term, utf8Decode, utf8Encode } from '@sluice/base';
import type { Entry, EntryKind, RaftMessage } from '@sluice/raft';

const formatVersion = 1;
const prefixBytes = 5;
/** As `memberId` bounds it. */
const memberIdLengthMax = 128;

type Fields = Readonly<Record<string, 'position' | 'flag' | 'session' | 'membership'>>;

const sessionFields: Fields = { term: 'position', configIndex: 'position', attempt: 'position' };
const logEnd: Fields = { term: 'position', lastIndex: 'position', lastTerm: 'position' };
const replication: Fields = { term: 'position', session: 'session' };

/** Besides the entries of an append and the chunk of a snapshot. */
const fieldsOf: Readonly<Record<RaftMessage['kind'], Fields>> = {
  'vote-request': { ...logEnd, pre: 'flag', transfer: 'flag' },
  'vote-reply': { term: 'position', pre: 'flag', granted: 'flag' },
  append: { ...replication, prevIndex: 'position', prevTerm: 'position', commitIndex: 'position' },
  'append-accepted': { ...replication, matchIndex: 'position' },
  'append-rejected': {
    ...replication,
    prevIndex: 'position',
    hintIndex: 'position',
    hintTerm: 'position',
    lastIndex: 'position',
  },
  heartbeat: { ...replication, commitIndex: 'position', round: 'position' },
  'heartbeat-reply': { ...replication, matchedIndex: 'position', round: 'position' },
  'time-out-now': { term: 'position' },
  'snapshot-chunk': {
    ...replication,
    index: 'position',
    lastTerm: 'position',
    membership: 'membership',
    bytesTotal: 'position',
    checksum: 'position',
    offset: 'position',
    chunkChecksum: 'position',
  },
  'snapshot-progress': { ...replication, index: 'position', receivedBytes: 'position' },
  observe: logEnd,
  'leader-moved': { term: 'position' },
};

const entryKinds: readonly EntryKind[] = ['no-op', 'command', 'membership'];

interface EntryHeader {
  readonly index: number;
  readonly term: number;
  readonly kind: Entry['kind'];
  readonly bytes: number;
}

export function encodeRaftMessage(message: RaftMessage): Uint8Array {
  const header = utf8Encode(JSON.stringify(headerOf(message)));
  const payloads = payloadsOf(message);
  const payloadBytes = payloads.reduce((sum, payload) => sum + payload.byteLength, 0);
  const bytes = new Uint8Array(prefixBytes + header.byteLength + payloadBytes);
  bytes[0] = formatVersion;
  new DataView(bytes.buffer).setUint32(1, header.byteLength);
  bytes.set(header, prefixBytes);
  let at = prefixBytes + header.byteLength;
  for (const payload of payloads) {
    bytes.set(payload, at);
    at += payload.byteLength;
  }
  return bytes;
}

function headerOf(message: RaftMessage): unknown {
  if (message.kind === 'snapshot-chunk') return { ...message, chunk: message.chunk.byteLength };
  if (message.kind !== 'append') return message;
  return {
    ...message,
    entries: message.entries.map(({ payload, ...entry }) => ({ ...entry, bytes: payload.byteLength })),
  };
}

function payloadsOf(message: RaftMessage): readonly Uint8Array[] {
  if (message.kind === 'snapshot-chunk') return [message.chunk];
  return message.kind === 'append' ? message.entries.map(({ payload }) => payload) : [];
}

/** Throws `INVALID_REQUEST` or `UNSUPPORTED_VERSION` when the bytes are no message of a peer of this version. */
export function decodeRaftMessage(bytes: Uint8Array): RaftMessage {
  if (bytes.byteLength < prefixBytes) throw malformed('it is too short');
  if (bytes[0] !== formatVersion) {
    throw new SluiceError('UNSUPPORTED_VERSION', { message: `Raft message format ${bytes[0]} is not known here.` });
  }
  const headerBytes = new DataView(bytes.buffer, bytes.byteOffset).getUint32(1);
  const header = parseHeader(bytes.subarray(prefixBytes, prefixBytes + headerBytes));
  checkHeader(header);
  const payloadsFrom = prefixBytes + headerBytes;
  if (header['kind'] === 'append') {
    return { ...header, entries: readEntries(header['entries'], bytes, payloadsFrom) } as unknown as RaftMessage;
  }
  if (header['kind'] !== 'snapshot-chunk') return header as unknown as RaftMessage;
  // Copied, as an entry is.
  const chunk = bytes.slice(payloadsFrom);
  if (header['chunk'] !== chunk.byteLength) throw malformed('a snapshot chunk has another length than it says');
  return { ...header, chunk } as unknown as RaftMessage;
}

function readEntries(headers: unknown, bytes: Uint8Array, from: number): readonly Entry[] {
  if (!Array.isArray(headers)) throw malformed('an append has no entries');
  let at = from;
  return (headers as readonly EntryHeader[]).map((header) => {
    const isEntry = isPosition(header?.index) && isPosition(header.term) && isPosition(header.bytes);
    if (!isEntry || !entryKinds.includes(header.kind)) throw malformed('an entry is malformed');
    const end = at + header.bytes;
    if (end > bytes.byteLength) throw malformed('an entry ends beyond the message');
    // Copied: the entry outlives the message that it arrived in.
    const payload = bytes.slice(at, end);
    at = end;
    return { index: logIndex(header.index), term: term(header.term), kind: header.kind, payload };
  });
}

/** The fields of each kind are there and of their type: the machine looks at none of that again. */
function checkHeader(header: Readonly<Record<string, unknown>>): void {
  const kind = String(header['kind']);
  const fields = Object.hasOwn(fieldsOf, kind) ? fieldsOf[kind as RaftMessage['kind']] : undefined;
  if (fields === undefined) throw malformed(`its kind is ${kind.slice(0, 100)}`);
  checkFields(header, fields);
}

function checkFields(record: unknown, fields: Fields): void {
  const values = typeof record === 'object' && record !== null ? (record as Readonly<Record<string, unknown>>) : {};
  for (const [name, kind] of Object.entries(fields)) {
    const value = values[name];
    if (kind === 'session') checkFields(value, sessionFields);
    else if (kind === 'membership') checkMembership(value);
    else if (kind === 'position' ? !isPosition(value) : typeof value !== 'boolean')
      throw malformed(`its ${name} is no ${kind}`);
  }
}

function checkMembership(value: unknown): void {
  checkFields(value, { index: 'position' });
  const { voters } = value as { readonly voters?: unknown };
  const isVoter = (voter: unknown): boolean => {
    const { id, address } = (voter ?? {}) as { readonly id?: unknown; readonly address?: unknown };
    return typeof id === 'string' && id.length >= 1 && id.length <= memberIdLengthMax && typeof address === 'string';
  };
  if (!Array.isArray(voters) || !voters.every(isVoter)) throw malformed('its membership is malformed');
}

function parseHeader(bytes: Uint8Array): Readonly<Record<string, unknown>> {
  const text = utf8Decode(bytes);
  try {
    const parsed: unknown = text === undefined ? undefined : JSON.parse(text);
    if (typeof parsed === 'object' && parsed !== null) return parsed as Readonly<Record<string, unknown>>;
  } catch {
    // Falls through to the one answer for everything that is not a header.
  }
  throw malformed('its header is not JSON');
}

const malformed = (why: string): SluiceError =>
  new SluiceError('INVALID_REQUEST', { message: `This is not a Raft message: ${why}.` });
