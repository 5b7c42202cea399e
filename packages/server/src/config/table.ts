/**
 * The table of node configuration (design §6): the one list of keys, from which come validation, environment names and
 * the reference page. Values come from the YAML file, then the environment, then `--set`, the later one wins.
 * A default must satisfy its own parser; a test checks every row and every profile.
 */
import { nodeId } from '@sluice/base';
import { producerIdleMsMin } from '@sluice/record';
import {
  address,
  addressOrEmpty,
  bytes,
  bytesOrAuto,
  choice,
  duration,
  flag,
  integer,
  list,
  shape,
  text,
} from './parsers.ts';
import type { ParsedValue, Parser } from './parsers.ts';

export interface ConfigRow<Value> {
  readonly parser: Parser<Value>;
  /** What `parser` accepts; undefined when the key must be given. */
  readonly defaultValue: unknown;
  /** `cluster`: the same on all nodes; `node`: each its own. */
  readonly scope: 'cluster' | 'node';
  /** Whether a change needs a restart of the node. */
  readonly change: 'restart' | 'live';
  readonly sentence: string;
}

const KiB = 1024;
const MiB = 1024 * KiB;
const GiB = 1024 * MiB;

const nodeIdParser: Parser<ReturnType<typeof nodeId>> = {
  ...integer({ min: 1, max: 0x7fff_ffff }),
  parse: (raw, at) => nodeId(integer({ min: 1, max: 0x7fff_ffff }).parse(raw, at)),
};

const voter = shape({ nodeId: { parser: nodeIdParser }, peerAddress: { parser: address } });

const clientListener = shape({
  name: { parser: text({ min: 1, max: 64 }) },
  protocol: { parser: choice(['grpc']), whenAbsent: 'grpc' },
  bind: { parser: address },
  advertise: { parser: addressOrEmpty, whenAbsent: '' },
});

function row<Value>(parser: Parser<Value>, rest: Omit<ConfigRow<Value>, 'parser' | 'change'>): ConfigRow<Value> {
  return { parser, change: 'restart', ...rest };
}

export const configTable = {
  profile: row(choice(['production', 'dev', 'tiny']), {
    defaultValue: 'production',
    scope: 'node',
    sentence: 'Set of defaults: production; dev for several nodes on one machine; tiny, the smallest sizes, for tests.',
  }),
  nodeId: row(nodeIdParser, {
    defaultValue: undefined,
    scope: 'node',
    sentence: 'Id of this node, unique in the cluster and for ever the same for its data directory.',
  }),
  rack: row(text({ min: 0, max: 64 }), {
    defaultValue: '',
    scope: 'node',
    sentence: 'Failure domain; replicas of a partition are spread over racks. Processes on one machine share one.',
  }),
  roles: row(list(choice(['controller', 'broker']), { min: 1, max: 2 }), {
    defaultValue: ['controller', 'broker'],
    scope: 'node',
    sentence: 'What the node does: keep the metadata (controller), keep partitions (broker), or both.',
  }),
  dataDirectory: row(text({ min: 1, max: 4096 }), {
    defaultValue: undefined,
    scope: 'node',
    sentence: 'Directory of everything that the node stores; it belongs to one node and one process at a time.',
  }),
  'cluster.voters': row(list(voter, { min: 1, max: 9 }), {
    defaultValue: undefined,
    scope: 'cluster',
    sentence: 'The nodes that found the cluster and vote on its metadata; an odd number survives the most losses.',
  }),
  'listeners.client': row(list(clientListener, { min: 1, max: 16 }), {
    defaultValue: [{ name: 'client', protocol: 'grpc', bind: '127.0.0.1:7650', advertise: '' }],
    scope: 'node',
    sentence: 'Addresses for clients; a client is only told the advertised addresses of the name it came in on.',
  }),
  'listeners.peer.bind': row(address, {
    defaultValue: '127.0.0.1:7651',
    scope: 'node',
    sentence: 'Address that other nodes connect to; it refuses client calls.',
  }),
  'listeners.peer.advertise': row(addressOrEmpty, {
    defaultValue: '',
    scope: 'node',
    sentence: 'Address under which other nodes reach this one; the bind address when absent.',
  }),
  'listeners.admin.bind': row(address, {
    defaultValue: '127.0.0.1:7652',
    scope: 'node',
    sentence: 'Address of health and metrics over HTTP.',
  }),
  'listeners.admin.advertise': row(addressOrEmpty, {
    defaultValue: '',
    scope: 'node',
    sentence: 'Address of health and metrics as others see it; the bind address when absent.',
  }),
  'security.insecure': row(flag, {
    defaultValue: false,
    scope: 'node',
    sentence: 'Allows listening beyond loopback without TLS: anyone who reaches the port may read and write.',
  }),
  sessionTimeoutMs: row(duration({ min: 300, max: 60_000 }), {
    defaultValue: 1500,
    scope: 'cluster',
    sentence: 'A broker silent for this long is fenced; shorter moves leaders sooner, and more often for nothing.',
  }),
  heartbeatMs: row(duration({ min: 20, max: 20_000 }), {
    defaultValue: 200,
    scope: 'cluster',
    sentence: 'How often a broker reports to the controller; at most a third of sessionTimeoutMs.',
  }),
  'raft.heartbeatMs': row(duration({ min: 10, max: 10_000 }), {
    defaultValue: 100,
    scope: 'cluster',
    sentence: 'How often the controller leader reports to the other voters.',
  }),
  'raft.electionTimeoutMs': row(duration({ min: 100, max: 60_000 }), {
    defaultValue: 1000,
    scope: 'cluster',
    sentence: 'A voter that hears no controller leader for one to two times this stands for election.',
  }),
  'raft.snapshotLogBytesMax': row(bytes({ min: 4 * KiB, max: GiB }), {
    defaultValue: 16 * MiB,
    scope: 'node',
    sentence: 'When the metadata log has grown by more than this, the node takes a snapshot and drops what it covers.',
  }),
  'raft.compactionTrailingEntries': row(integer({ min: 1, max: 1_000_000 }), {
    defaultValue: 1000,
    scope: 'node',
    sentence: 'Entries kept below a snapshot of the metadata, so that a node a little behind needs no snapshot.',
  }),
  'raft.snapshotChunkBytesMax': row(bytes({ min: KiB, max: 4 * MiB }), {
    defaultValue: 256 * KiB,
    scope: 'node',
    sentence: 'Size of the pieces in which a snapshot of the metadata is sent to a node that lags far behind.',
  }),
  preferredElectionMs: row(duration({ min: 1000, max: 86_400_000 }), {
    defaultValue: 30_000,
    scope: 'cluster',
    sentence: 'How often leaderships go back to the preferred replicas, so that load stays spread after failures.',
  }),
  replicaLagMsMax: row(duration({ min: 100, max: 600_000 }), {
    defaultValue: 2000,
    scope: 'cluster',
    sentence: 'A follower whose durable end was behind for longer leaves the in-sync replicas.',
  }),
  diskStallMs: row(duration({ min: 100, max: 600_000 }), {
    defaultValue: 2000,
    scope: 'cluster',
    sentence:
      'A node whose oldest write is not durable for longer has a disk that hangs: it hands over, and leads nothing.',
  }),
  ackTimeoutMs: row(duration({ min: 1000, max: 600_000 }), {
    defaultValue: 30_000,
    scope: 'node',
    sentence: 'A batch that waits longer for its replicas is answered TIMEOUT: it may or may not be kept.',
  }),
  producerExpiryMs: row(duration({ min: producerIdleMsMin, max: 2_147_483_647 }), {
    defaultValue: 24 * 3_600_000,
    scope: 'cluster',
    sentence: 'A producer that sent nothing for longer is forgotten, and its old batches are no longer recognised.',
  }),
  producerCountMax: row(integer({ min: 100, max: 1_000_000 }), {
    defaultValue: 10_000,
    scope: 'cluster',
    sentence:
      'Producers that a partition remembers; beyond it one that was idle for an hour is forgotten, or a new one is refused.',
  }),
  journalBytesMax: row(bytes({ min: 1 * MiB, max: 4 * GiB }), {
    defaultValue: 256 * MiB,
    scope: 'node',
    sentence: 'A journal file is finished before it grows past this; space is freed a file at a time.',
  }),
  journalAgeMsMax: row(duration({ min: 10_000, max: 7 * 24 * 3_600_000 }), {
    defaultValue: 3_600_000,
    scope: 'node',
    sentence: 'A journal file with anything in it is finished after this time too, so that little traffic expires.',
  }),
  scrubBytesPerSecondMax: row(bytes({ min: 0, max: 16 * GiB }), {
    defaultValue: 4 * MiB,
    scope: 'node',
    sentence: 'Finished files are read again and checked at this rate, so that damage is found in time; 0: not at all.',
  }),
  scrubIntervalMs: row(duration({ min: 1_000, max: 24 * 24 * 3_600_000 }), {
    defaultValue: 24 * 3_600_000,
    scope: 'node',
    sentence: 'At least this long from the beginning of one scrub of all files to that of the next.',
  }),
  rewriteBytesPerSecondMax: row(bytes({ min: 0, max: 16 * GiB }), {
    defaultValue: 32 * MiB,
    scope: 'node',
    sentence:
      'What the background rewrite into sorted files writes; four times that while files take more than they should; 0: nothing is rewritten.',
  }),
  retentionCheckMs: row(duration({ min: 100, max: 3_600_000 }), {
    defaultValue: 30_000,
    scope: 'node',
    sentence: 'How often partitions are looked at for what retention may remove, and for what is to be compacted.',
  }),
  diskReserveBytes: row(bytesOrAuto({ min: 1 * MiB, max: 1024 * GiB }), {
    defaultValue: 'auto',
    scope: 'node',
    sentence:
      'Free space of the disk below which records are refused; auto: 2 GiB, or a twentieth of the disk where that is less.',
  }),
  compactionMemoryBytesMax: row(bytes({ min: 1 * MiB, max: 4 * GiB }), {
    defaultValue: 64 * MiB,
    scope: 'node',
    sentence: 'Memory for the keys of the one partition that is compacted; 32 bytes a key, more keys take more passes.',
  }),
  compactionReadBytesPerSecondMax: row(bytes({ min: 0, max: 16 * GiB }), {
    defaultValue: 32 * MiB,
    scope: 'node',
    sentence: 'How fast compacted topics are read for their keys; 0: nothing is compacted.',
  }),
  tailBytesMax: row(bytes({ min: 1 * MiB, max: 16 * GiB }), {
    defaultValue: 64 * MiB,
    scope: 'node',
    sentence: 'Memory for the newest batches of all partitions; readers further behind are served from disk.',
  }),
  readBufferBytesMax: row(bytes({ min: 16 * MiB, max: 16 * GiB }), {
    defaultValue: 32 * MiB,
    scope: 'node',
    sentence: 'Memory that all reads from disk share; beyond it they wait for each other, in order.',
  }),
  indexBytesMax: row(bytes({ min: 8 * MiB, max: 16 * GiB }), {
    defaultValue: 32 * MiB,
    scope: 'node',
    sentence: 'Memory for indexes of batches; small batches finish a journal file before they take half of it.',
  }),
  groupBytesMax: row(bytes({ min: 64 * KiB, max: 64 * MiB }), {
    defaultValue: 4 * MiB,
    scope: 'node',
    sentence: 'About the most that one disk write and sync takes; larger is more throughput and longer waits.',
  }),
  receiveBudgetBytes: row(bytes({ min: 1 * MiB, max: 16 * GiB }), {
    defaultValue: 64 * MiB,
    scope: 'node',
    sentence: 'Memory for batches received and not yet answered, over all producers; credit is withheld beyond it.',
  }),
  produceWindowBytesMax: row(bytes({ min: 64 * KiB, max: 1 * GiB }), {
    defaultValue: 4 * MiB,
    scope: 'node',
    sentence: 'The most unanswered bytes that one producer connection may have in flight.',
  }),
  fetchWindowBytesMax: row(bytes({ min: 64 * KiB, max: 1 * GiB }), {
    defaultValue: 8 * MiB,
    scope: 'node',
    sentence: 'The most bytes that one consumer connection may grant, whatever it asks for.',
  }),
  replicateWindowBytes: row(bytes({ min: 64 * KiB, max: 1 * GiB }), {
    defaultValue: 8 * MiB,
    scope: 'node',
    sentence: 'The most unacknowledged bytes between a leader node and one follower node.',
  }),
  catchUpBytesPerSecondMax: row(bytes({ min: 1 * MiB, max: 16 * GiB }), {
    defaultValue: 48 * MiB,
    scope: 'node',
    sentence:
      'How fast followers that are behind the tail come closer, all that read from this node together; what is produced meanwhile comes on top.',
  }),
  drainTimeoutMs: row(duration({ min: 0, max: 600_000 }), {
    defaultValue: 8000,
    scope: 'node',
    sentence: 'The longest that a stop waits for leaderships to move and calls to finish.',
  }),
  logLevel: row(choice(['debug', 'info', 'warn', 'error']), {
    defaultValue: 'info',
    scope: 'node',
    sentence: 'The least important log lines that are written.',
  }),
} as const satisfies Readonly<Record<string, ConfigRow<unknown>>>;

export type ConfigKey = keyof typeof configTable;
export type Profile = ParsedValue<(typeof configTable)['profile']['parser']>;

/** A validated configuration, by dotted key; every `advertise` is filled in. */
export type NodeConfig = { readonly [Key in ConfigKey]: ParsedValue<(typeof configTable)[Key]['parser']> };

export type ClientListener = NodeConfig['listeners.client'][number];
export type VoterAddress = NodeConfig['cluster.voters'][number];

export const configKeys = Object.keys(configTable) as readonly ConfigKey[];

export const isConfigKey = (key: string): key is ConfigKey => Object.hasOwn(configTable, key);

/** `raft.electionTimeoutMs` → `SLUICE_RAFT_ELECTION_TIMEOUT_MS`. */
export const environmentName = (key: string): string =>
  `SLUICE_${key
    .replaceAll('.', '_')
    .replaceAll(/([a-z])([A-Z])/g, '$1_$2')
    .toUpperCase()}`;

/** What a profile has instead of the table's default. */
export const profiles: Readonly<Record<Profile, Partial<Readonly<Record<ConfigKey, unknown>>>>> = {
  production: {},
  // Several nodes share the memory and the disk of one machine.
  dev: {
    journalBytesMax: '64MiB',
    diskReserveBytes: '256MiB',
    tailBytesMax: '32MiB',
    readBufferBytesMax: '16MiB',
    indexBytesMax: '16MiB',
    receiveBudgetBytes: '32MiB',
    fetchWindowBytesMax: '4MiB',
  },
  // Small enough that file rollover, withheld credit, reads past the tail and metadata snapshots happen within a test.
  tiny: {
    journalBytesMax: '1MiB',
    diskReserveBytes: '16MiB',
    tailBytesMax: '1MiB',
    readBufferBytesMax: '16MiB',
    indexBytesMax: '8MiB',
    groupBytesMax: '64KiB',
    receiveBudgetBytes: '4MiB',
    produceWindowBytesMax: '2MiB',
    fetchWindowBytesMax: '64KiB',
    replicateWindowBytes: '64KiB',
    'raft.snapshotLogBytesMax': '8KiB',
    'raft.compactionTrailingEntries': 5,
    'raft.snapshotChunkBytesMax': '1KiB',
  },
};
