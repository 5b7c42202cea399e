/**
 * The house as data: which package may import which, what kind it is, and where Node may be touched.
 * `repository.test.ts` holds the code and every package.json to it. Imports point down only; a test beside the code may
 * also import a package of the same layer or below that its package.json declares.
 */
export type Kind = 'pure' | 'adapter' | 'shell' | 'app' | 'test';

export interface Layer {
  readonly layer: number;
  readonly kind: Kind;
  /** Packages of ours that its code may import, without the scope. */
  readonly mayImport: readonly string[];
  /** Where `node:` may be imported outside tests: nowhere, in these files below `src`, or anywhere. */
  readonly nodeFiles: readonly string[] | 'any';
}

const pure = ['base', 'record', 'raft', 'metadata', 'partition', 'group'] as const;
const adapters = ['storage', 'wire'] as const;

export const layers: Readonly<Record<string, Layer>> = {
  base: { layer: 0, kind: 'pure', mayImport: [], nodeFiles: [] },
  record: { layer: 1, kind: 'pure', mayImport: ['base'], nodeFiles: [] },
  raft: { layer: 1, kind: 'pure', mayImport: ['base'], nodeFiles: [] },
  metadata: { layer: 1, kind: 'pure', mayImport: ['base'], nodeFiles: [] },
  partition: { layer: 1, kind: 'pure', mayImport: ['base', 'record'], nodeFiles: [] },
  group: { layer: 1, kind: 'pure', mayImport: ['base'], nodeFiles: [] },
  storage: { layer: 2, kind: 'adapter', mayImport: ['base', 'record'], nodeFiles: ['node-disk.ts'] },
  wire: {
    layer: 2,
    kind: 'adapter',
    mayImport: ['base'],
    nodeFiles: [
      'compressed-messages.ts',
      'fast-client-stream.ts',
      'fast-connection.ts',
      'fast-keepalive.ts',
      'fast-options.ts',
      'fast-outgoing.ts',
      'fast-server-connection.ts',
      'fast-server-stream.ts',
      'fast-server.ts',
      'fast-status.ts',
      'grpc-listener.ts',
      'grpc-probe.ts',
      'grpc-server-tuning.ts',
      'key-hash.ts',
      'lane-classifier.ts',
      'manual-clock.ts',
      'native-crc32c.ts',
      'node-zlib.ts',
      'proto-codec.ts',
      'system-clock.ts',
      'system-random.ts',
    ],
  },
  controller: { layer: 3, kind: 'shell', mayImport: [...pure, ...adapters], nodeFiles: [] },
  broker: { layer: 3, kind: 'shell', mayImport: [...pure, ...adapters], nodeFiles: [] },
  server: { layer: 4, kind: 'app', mayImport: [...pure, ...adapters, 'controller', 'broker'], nodeFiles: 'any' },
  client: { layer: 4, kind: 'app', mayImport: ['base', 'record', 'wire'], nodeFiles: [] },
  cli: { layer: 4, kind: 'app', mayImport: ['base', 'record', ...adapters, 'client', 'server'], nodeFiles: 'any' },
  sim: {
    layer: 5,
    kind: 'test',
    mayImport: [...pure, ...adapters, 'controller', 'broker', 'server', 'client'],
    nodeFiles: 'any',
  },
};

/** The only files that read the environment and arguments, handle signals and end the process. */
export const processFiles: readonly string[] = ['packages/server/src/main.ts', 'packages/cli/src/main.ts'];

/** Members of `process` that act or configure; reading `process.pid` or `process.stdout` is no such thing. */
export const processMembers: readonly string[] = [
  'env',
  'argv',
  'exit',
  'exitCode',
  'abort',
  'kill',
  'chdir',
  'on',
  'once',
  'off',
  'addListener',
  'removeListener',
  'removeAllListeners',
];

/** Parts of a file or folder name that say nothing about what is inside. */
export const bannedNames: readonly string[] = [
  'util',
  'utils',
  'helper',
  'helpers',
  'manager',
  'common',
  'impl',
  'misc',
  'types',
  'interfaces',
];

/** Hosts that our files may name; everything else is a slip, such as the registry of somebody's machine. */
export const allowedHosts: readonly string[] = [
  'localhost',
  '127.0.0.1',
  '0.0.0.0',
  'example.com',
  'github.com',
  'nodejs.org',
  'www.apache.org',
  'kafka.apache.org',
  'raft.github.io',
  'json.schemastore.org',
  'prometheus.io',
  'grpc.io',
  'protobuf.dev',
  'datatracker.ietf.org',
  'www.w3.org',
];
