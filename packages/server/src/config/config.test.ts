import { isSluiceError } from '@sluice/base';
import { describe, expect, test } from 'vitest';
import { loadConfig } from './load.ts';
import { configKeys, configTable, environmentName, profiles } from './table.ts';
import type { ConfigSources } from './load.ts';
import type { ConfigRow } from './table.ts';

const minimal = `
nodeId: 1
dataDirectory: /data
cluster:
  voters: [{nodeId: 1, peerAddress: '127.0.0.1:7651'}]
`;

const load = (yaml: string, rest: Omit<ConfigSources, 'file'> = {}) =>
  loadConfig({ file: { name: 'node.yaml', text: minimal + yaml }, ...rest });

function refusal(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (isSluiceError(error) && error.code === 'INVALID_CONFIG') return error.message;
    throw error;
  }
  throw new Error('was accepted');
}

describe('the table', () => {
  test.each(configKeys.filter((key) => configTable[key].defaultValue !== undefined))(
    'the default of %s satisfies its parser',
    (key) => {
      const { parser, defaultValue }: ConfigRow<unknown> = configTable[key];
      expect(parser.parse(defaultValue, key)).toEqual(defaultValue);
    },
  );

  test.each(Object.keys(profiles))('profile %s alone is legal', (profile) => {
    expect(load(`profile: ${profile}`).profile).toBe(profile);
  });

  test('environment names are unique and none looks like a Kubernetes service link', () => {
    const names = configKeys.map(environmentName);
    expect(new Set(names).size).toBe(names.length);
    expect(names.filter((name) => /_PORT(_|$)/.test(name))).toEqual([]);
    expect(environmentName('raft.electionTimeoutMs')).toBe('SLUICE_RAFT_ELECTION_TIMEOUT_MS');
  });

  test('sentences are sentences', () => {
    for (const key of configKeys) expect(configTable[key].sentence).toMatch(/^\S.*\.$/);
  });
});

describe('sources', () => {
  test('nested and dotted keys are the same thing', () => {
    expect(load('raft: {heartbeatMs: 50}')).toEqual(load('raft.heartbeatMs: 50'));
    expect(refusal(() => load('raft: {heartbeatMs: 50}\nraft.heartbeatMs: 60'))).toContain('given twice');
  });

  test('environment beats file, --set beats both, and the last --set wins', () => {
    const environment = { SLUICE_HEARTBEAT_MS: '250', PATH: '/bin' };
    expect(load('heartbeatMs: 100').heartbeatMs).toBe(100);
    expect(load('heartbeatMs: 100', { environment }).heartbeatMs).toBe(250);
    const sets = ['heartbeatMs=300ms', 'heartbeatMs=0.4s'];
    expect(load('heartbeatMs: 100', { environment, sets }).heartbeatMs).toBe(400);
  });

  test('a value given beats the profile, the profile beats the default', () => {
    expect(load('').journalBytesMax).toBe(256 * 1024 ** 2);
    expect(load('profile: tiny').journalBytesMax).toBe(1024 ** 2);
    expect(load('', { sets: ['profile=tiny'] }).journalBytesMax).toBe(1024 ** 2);
    expect(load('profile: tiny\njournalBytesMax: 2MiB').journalBytesMax).toBe(2 * 1024 ** 2);
  });

  test('lists fit into variables and flags', () => {
    const environment = { SLUICE_ROLES: '[controller]' };
    const sets = [
      'listeners.client=[{name: a, bind: "127.0.0.1:1"}, {name: b, bind: "127.0.0.1:2", advertise: "h:3"}]',
    ];
    const config = load('', { environment, sets });
    expect(config.roles).toEqual(['controller']);
    expect(config['listeners.client']).toEqual([
      { name: 'a', protocol: 'grpc', bind: '127.0.0.1:1', advertise: '127.0.0.1:1' },
      { name: 'b', protocol: 'grpc', bind: '127.0.0.1:2', advertise: 'h:3' },
    ]);
  });

  test("Kubernetes service links and the command line's own variables are not configuration", () => {
    const environment = {
      SLUICE_PORT: 'tcp://10.0.0.1:7650',
      SLUICE_PORT_7650_TCP_ADDR: '10.0.0.1',
      SLUICE_SERVICE_HOST: '10.0.0.1',
      SLUICE_SERVICE_PORT_GRPC: '7650',
      SLUICE_BOOTSTRAP: '127.0.0.1:1',
    };
    expect(load('', { environment })).toEqual(load(''));
  });
});

describe('refusals name key, value and what is allowed', () => {
  test.each([
    ['heartBeatMs: 5', 'there is no configuration key "heartBeatMs"; did you mean heartbeatMs?'],
    ['raft: {elections: 5}', 'there is no configuration key "raft.elections"'],
    ['sessionTimeoutMs: 2MiB', 'sessionTimeoutMs is "2MiB"; it must be a duration from 300ms to 60000ms'],
    ['sessionTimeoutMs: 1500.5', 'sessionTimeoutMs is 1500.5; it must be a duration'],
    ['sessionTimeoutMs: 299', 'sessionTimeoutMs is 299; it must be a duration from 300ms'],
    ['tailBytesMax: 2s', 'tailBytesMax is "2s"; it must be a size'],
    ['tailBytesMax: 64MB', 'tailBytesMax is "64MB"; it must be a size'],
    ['tailBytesMax:', 'tailBytesMax has no value'],
    ['diskReserveBytes: some', 'diskReserveBytes is "some"; it must be auto, or a size such as 512MiB'],
    ['diskReserveBytes: 1KiB', 'diskReserveBytes is "1KiB"; it must be a size from 1048576B'],
    ['logLevel: loud', 'logLevel is "loud"; it must be debug or info or warn or error'],
    ['security: {insecure: yes please}', 'security.insecure is "yes please"; it must be true or false'],
    ['roles: broker2', 'roles is "broker2"; it must be a list'],
    ['listeners.client: [{name: a, bind: nowhere}]', 'listeners.client[0].bind is "nowhere"; it must be host:port'],
    [
      'listeners.client: [{name: a, bind: "h:1", tls: 1}]',
      'listeners.client[0].tls is 1; it must be one of the fields',
    ],
    ['listeners.client: []', 'listeners.client is []; it must be a list of 1 to 16 items'],
    ['roles: [', 'node.yaml is not YAML'],
  ])('%s', (yaml, sentence) => expect(refusal(() => load(yaml))).toContain(sentence));

  test('required keys', () => {
    expect(refusal(() => loadConfig({ sets: ['dataDirectory=/d'] }))).toContain(
      'nodeId is missing; give it in the configuration file, as SLUICE_NODE_ID or with --set nodeId=…',
    );
    expect(refusal(() => loadConfig({ file: { name: 'a', text: '- 1' } }))).toContain('a must be a mapping');
  });

  test('a misspelt variable and a malformed --set', () => {
    expect(refusal(() => load('', { environment: { SLUICE_LOG_LEVLE: 'debug' } }))).toContain(
      'did you mean SLUICE_LOG_LEVEL?',
    );
    expect(refusal(() => load('', { sets: ['logLevel'] }))).toContain('must be key=value');
  });
});

describe('impossible pairs', () => {
  test.each([
    ['heartbeatMs: 600', 'heartbeatMs is 600; it must be at most 500'],
    ['raft.heartbeatMs: 400', 'raft.heartbeatMs is 400; it must be at most 333'],
    ['groupBytesMax: 8MiB\njournalBytesMax: 4MiB', 'groupBytesMax is 8388608; it must be at most 4194304'],
    ['produceWindowBytesMax: 8MiB\nreceiveBudgetBytes: 4MiB', 'it must be at most 4194304: receiveBudgetBytes'],
    ['listeners.peer.bind: 127.0.0.1:9', 'it must be 127.0.0.1:7651, the address of node 1 in cluster.voters'],
    ['roles: [broker]', 'a list with controller'],
    ['listeners.admin.bind: 127.0.0.1:7650', 'another address than listeners.client[0] has'],
    ['listeners.client: [{name: a, bind: "127.0.0.1:1"}, {name: a, bind: "127.0.0.1:2"}]', 'a name that no other'],
    ['listeners.admin.bind: 10.0.0.1:80', 'set security.insecure: true'],
    ['listeners.admin.bind: 0.0.0.0:80\nsecurity.insecure: true', 'listeners.admin.advertise is "0.0.0.0:80"'],
  ])('%s', (yaml, sentence) => expect(refusal(() => load(yaml))).toContain(sentence));

  test('two voters with one id or one address', () => {
    const voters = (second: string) => `[{nodeId: 1, peerAddress: "127.0.0.1:7651"}, ${second}]`;
    const sets = (second: string) => ({ sets: [`cluster.voters=${voters(second)}`] });
    expect(refusal(() => load('', sets('{nodeId: 1, peerAddress: "h:1"}')))).toContain('no other voter has');
    expect(refusal(() => load('', sets('{nodeId: 2, peerAddress: "127.0.0.1:7651"}')))).toContain('no other voter has');
  });

  test('beyond loopback with the risk said openly', () => {
    const config = load('security.insecure: true\nlisteners.admin: {bind: "0.0.0.0:80", advertise: "node1:80"}');
    expect(config['listeners.admin.advertise']).toBe('node1:80');
  });
});
