/** Nodes that cannot start: each ends with exit code 1 and one log line that says why and what to do. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { LocalCluster } from '../cluster.ts';
import { freeBasePort } from '@sluice/cli/free-ports';
import { holds } from '../holds.ts';
import { HonestLoad, unharmed } from '../honest-load.ts';
import { readNodeFile, writeNodeFile } from '../node-config.ts';
import type { NodeFile } from '../node-config.ts';
import { parseLine } from '../node-figures.ts';
import type { LogLine } from '../node-figures.ts';
import { end, isAlive } from '../node-processes.ts';
import { until } from '../until.ts';

const main = fileURLToPath(new URL('../../packages/cli/src/main.ts', import.meta.url));

/** Whatever was opened, also when what comes after it could not be. */
const open = new AsyncDisposableStack();
let cluster: LocalCluster;
let honest: HonestLoad;
/** Of the node that is about to fail. */
let port: number;
let count = 0;

beforeAll(async () => {
  cluster = open.use(await LocalCluster.start());
  honest = open.use(await HonestLoad.start(cluster, { topic: 'honest' }));
  port = await freeBasePort(1);
});
afterAll(() => open.disposeAsync());
afterEach(() => {
  expect(cluster.nodes.filter(({ pid }) => !isAlive(pid))).toEqual([]);
});

/** A configuration of a fourth node with ports and a directory of its own. */
function fourth(change: (config: NodeFile) => void = () => undefined): string {
  count += 1;
  const config = readNodeFile(cluster.node(1));
  config.nodeId = 4;
  config.dataDirectory = path.join(cluster.directory, `extra-${count}`);
  config.listeners = {
    client: [{ name: 'client', protocol: 'grpc', bind: `127.0.0.1:${port}` }],
    peer: { bind: `127.0.0.1:${port + 1}` },
    admin: { bind: `127.0.0.1:${port + 2}` },
  };
  change(config);
  const file = path.join(cluster.directory, `extra-${count}.yaml`);
  writeNodeFile(file, config);
  return file;
}

/** Node 2 again, but for what two processes cannot share. */
function poseAsSecond(config: NodeFile): void {
  config.nodeId = 2;
  config.listeners.peer.advertise = cluster.node(2).peer;
}

interface Started {
  readonly child: ChildProcess;
  readonly lines: LogLine[];
  readonly code: Promise<number | null>;
}

function start(file: string, ...words: readonly string[]): Started {
  const child = spawn(process.execPath, [main, 'server', '--config', file, ...words], {
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
  const lines: LogLine[] = [];
  let text = '';
  const onData = (chunk: Buffer): void => {
    const parts = (text + chunk.toString()).split('\n');
    text = parts.pop() ?? '';
    lines.push(...parts.map(parseLine));
  };
  child.stdout?.on('data', onData);
  child.stderr?.on('data', onData);
  const code = new Promise<number | null>((resolve) => void child.once('close', resolve));
  return { child, lines, code };
}

interface Ended {
  readonly code: number | null;
  readonly lines: readonly LogLine[];
}

async function run(file: string, ...words: readonly string[]): Promise<Ended> {
  const started = start(file, ...words);
  const timer = setTimeout(() => started.child.kill('SIGKILL'), 20_000);
  const code = await started.code;
  clearTimeout(timer);
  return { code, lines: started.lines };
}

const refusal = (code: string, reason: RegExp): object => ({
  code: 1,
  lines: [expect.objectContaining({ level: 'error', code, reason: expect.stringMatching(reason) as string })],
});

describe('a port that is taken', () => {
  test.each(['client', 'peer', 'admin'] as const)('%s', async (listener) => {
    const taken = cluster.node(2)[listener];
    const file = fourth(({ listeners }) => {
      if (listener === 'client') listeners.client = [{ name: 'client', protocol: 'grpc', bind: taken }];
      else listeners[listener].bind = taken;
    });
    expect(await run(file)).toEqual(refusal('PORT_IN_USE', new RegExp(`${taken} is taken by another process; .*port`)));
  });
});

describe('a data directory', () => {
  test('that a running node holds', async () => {
    const { data } = cluster.node(2);
    const file = fourth((config) => {
      poseAsSecond(config);
      config.dataDirectory = data;
    });
    expect(await run(file)).toEqual(refusal('DIRECTORY_LOCKED', new RegExp(`${data}.*(stop it|another directory)`)));
  });

  test('that belongs to another node', async () => {
    await cluster.kill(3);
    const { data } = cluster.node(3);
    const file = fourth((config) => {
      config.dataDirectory = data;
    });
    const ended = await run(file);
    await cluster.start(3);
    await cluster.waitHealthy();
    expect(ended).toEqual(refusal('WRONG_IDENTITY', /belongs to node 3, this is node 4; point the node to its own/));
  });

  test('that is a file', async () => {
    const file = fourth((config) => {
      config.dataDirectory = cluster.node(1).config;
    });
    expect(await run(file)).toEqual(refusal('INVALID_CONFIG', /node-1\.yaml cannot be written to \(EEXIST\)/));
  });
});

describe('configuration', () => {
  const set = (key: string, value: unknown): string =>
    fourth((config) => {
      config[key] = value;
    });

  test('a key that does not exist', async () => {
    const says = /no configuration key "tailBytes".*did you mean tailBytesMax/;
    expect(await run(set('tailBytes', '32MiB'))).toEqual(refusal('INVALID_CONFIG', says));
    const inFlag = await run(fourth(), '--set', 'logLevle=debug');
    expect(inFlag).toEqual(refusal('INVALID_CONFIG', /"logLevle".*did you mean logLevel/));
  });

  test('a value with the wrong unit', async () => {
    const size = await run(set('tailBytesMax', '32 seconds'));
    expect(size).toEqual(refusal('INVALID_CONFIG', /tailBytesMax is "32 seconds"; it must be a size/));
    const duration = await run(set('sessionTimeoutMs', '2MiB'));
    expect(duration).toEqual(refusal('INVALID_CONFIG', /sessionTimeoutMs is "2MiB"; it must be a duration/));
  });

  test('a pair that cannot be', async () => {
    expect(await run(set('heartbeatMs', '1400ms'))).toEqual(
      refusal('INVALID_CONFIG', /heartbeatMs is 1400; .*at most/),
    );
  });

  test('a file that cannot be read', async () => {
    const missing = path.join(cluster.directory, 'nowhere.yaml');
    expect(await run(missing)).toEqual(refusal('INVALID_CONFIG', /nowhere\.yaml cannot be read \(ENOENT\); give an/));
    const folder = path.join(cluster.directory, 'folder.yaml');
    mkdirSync(folder);
    expect(await run(folder)).toEqual(refusal('INVALID_CONFIG', /folder\.yaml cannot be read \(EISDIR\); give an/));
  });

  test('an address that everybody reaches, without TLS', async () => {
    const file = fourth(({ listeners }) => {
      listeners.peer.bind = `0.0.0.0:${port + 1}`;
    });
    expect(await run(file)).toEqual(refusal('INVALID_CONFIG', /listeners\.peer\.bind .*security\.insecure: true/));
  });
});

describe('a second process with the id of a node that runs', () => {
  test('stays refused and says so once, and the first goes on', async () => {
    const second = start(fourth(poseAsSecond));
    try {
      const look = (): LogLine | undefined => second.lines.find(({ code }) => code === 'DUPLICATE_NODE');
      const said = await until(look, { what: 'the refusal', timeoutMs: 15_000 });
      expect(said).toMatchObject({
        level: 'error',
        reason: expect.stringMatching(/give each node its own id/) as string,
      });
      const { pid } = cluster.node(2);
      const disturbed = async (): Promise<string | undefined> => {
        const { nodes } = await cluster.client.admin.describeCluster();
        const node = nodes.find(({ id }) => id === 2);
        return isAlive(pid) && node?.state === 'up' && node.client === cluster.node(2).client
          ? undefined
          : JSON.stringify(node);
      };
      await holds(disturbed, { forMs: 3000 });
      expect(second.child.exitCode).toBeNull();
      expect(second.lines.filter(({ level }) => level === 'error')).toEqual([said]);
    } finally {
      await end(second.child, 10_000);
    }
    expect(await second.code).toBe(0);
  });
});

test('the fourth node itself starts and serves: what was refused was only what was wrong', async () => {
  const started = start(fourth());
  try {
    const look = (): true | undefined => (started.lines.some(({ msg }) => msg === 'broker serves') ? true : undefined);
    await until(look, { what: 'a fourth node that serves', timeoutMs: 15_000 });
  } finally {
    await end(started.child, 10_000);
  }
  expect(await started.code).toBe(0);
});

test('the honest producer lost nothing', async () => {
  expect(await honest.finish()).toMatchObject(unharmed);
});
