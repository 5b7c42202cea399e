import { isSluiceError } from '@sluice/base';
import { describe, expect, test } from 'vitest';
import { resolveBootstrap } from './command-context.ts';
import { runCommandLine } from './program.ts';
import type { Terminal } from './terminal.ts';

async function run(argv: string[], interruption = new AbortController().signal) {
  let out = '';
  let err = '';
  const terminal: Terminal = {
    // eslint-disable-next-line @typescript-eslint/require-await
    stdin: (async function* () {})(),
    writeOut: (bytes) =>
      Promise.resolve(void (out += typeof bytes === 'string' ? bytes : Buffer.from(bytes).toString())),
    writeErr: (text) => void (err += text),
    watched: false,
    pid: 1,
    environment: {},
    interruption: () => interruption,
  };
  const exit = await runCommandLine(argv, { terminal, readContexts: () => ({ prod: { bootstrap: ['h:1'] } }) });
  return { exit, out, err };
}

const commands = [
  [],
  ['dev'],
  ['server'],
  ['topic'],
  ['topic', 'create'],
  ['topic', 'list'],
  ['topic', 'describe'],
  ['topic', 'delete'],
  ['produce'],
  ['consume'],
  ['cluster'],
  ['cluster', 'status'],
  ['node'],
  ['node', 'list'],
  ['node', 'add'],
  ['node', 'remove'],
  ['elect'],
  ['elect', 'preferred'],
  ['log'],
  ['log', 'inspect'],
  ['bench'],
  ['bench', 'produce'],
  ['bench', 'consume'],
  ['bench', 'end-to-end'],
  ['bench', 'failover'],
  ['bench', 'cold-start'],
  ['bench', 'idle'],
];

test.each(commands)('help of sluice %s %s', async (...words) => {
  const { exit, out, err } = await run([...words.filter((word) => word !== undefined), '--help']);
  expect({ exit, err }).toEqual({ exit: 0, err: '' });
  expect(out).toContain('Usage: sluice');
  const isGroup = ['topic', 'cluster', 'node', 'elect', 'log', 'bench'].includes(words.join(' '));
  expect(isGroup || out.includes('Examples:\n')).toBe(true);
});

describe('wrong usage exits with 2 and says what is wrong', () => {
  test.each([
    [['frobnicate'], "unknown command 'frobnicate'"],
    [[], 'no command given'],
    [['topic'], 'no command given'],
    [['topic', 'create'], "missing required argument 'name'"],
    [['topic', 'create', 't', '--partitions', '0'], 'an integer from 1 to 10000'],
    [['topic', 'create', 't', '--config', 'minIsr'], 'key=value'],
    [['topic', 'list', '--frob'], "unknown option '--frob'"],
    [['produce', 't', '--acks', 'some'], 'Allowed choices are all, leader, none'],
    [['produce', 't', '--rate', '0'], 'a number greater than 0'],
    [['consume', 't', '--offset', '7'], 'start, end, +N, -N or @TIME'],
    [['consume', 't', '--until', 'noon'], 'Allowed choices are end'],
    [['consume'], "missing required argument 'topics'"],
    [['cluster', 'status', '--timeout', '30'], 'a duration with a unit'],
    [['topic', 'list', '--bootstrap', 'nowhere'], 'is not HOST:PORT'],
    [['node', 'add'], "missing required argument 'node'"],
    [['node', 'add', '0'], 'an integer from 1 to 2147483647'],
    [['node', 'remove', '2', '--directory', 'all'], 'a directory id, 32 hex digits'],
    [['server', '--config'], "option '--config <file>' argument missing"],
    [['bench', 'produce', '--record-bytes', '1KiB'], 'give either --records or --seconds'],
    [['bench', 'produce', '--record-bytes', '1KiB', '--records', '1', '--seconds', '1'], 'give either'],
    [['dev', '--nodes', '0'], 'an integer from 1 to 9'],
  ])('sluice %j', async (argv, sentence) => {
    const { exit, out, err } = await run(argv);
    expect({ exit, out }).toEqual({ exit: 2, out: '' });
    expect(err).toContain(sentence);
    const json = await run([...argv, '--json']);
    expect({ exit: json.exit, err: json.err }).toEqual({ exit: 2, err: '' });
    const line = JSON.parse(json.out) as { error: object };
    expect(line.error).toMatchObject({ code: 'INVALID_REQUEST', retryable: false, definite: true });
  });
});

test('--version', async () => {
  expect(await run(['--version'])).toEqual({ exit: 0, out: '0.1.0\n', err: '' });
});

test('consume ends in order when it is interrupted, also while it looks for the cluster', async () => {
  const words = ['consume', 'orders', '--bootstrap', '127.0.0.1:1', '--timeout', '1m'];
  expect(await run(words, AbortSignal.timeout(50))).toEqual({ exit: 0, out: '', err: '' });
});

describe('which cluster', () => {
  const contexts = () => ({ prod: { bootstrap: ['p:1', 'p:2'] } });
  test.each([
    [{}, {}, ['127.0.0.1:7650']],
    [{}, { SLUICE_BOOTSTRAP: 'a:1, b:2' }, ['a:1', 'b:2']],
    [{}, { SLUICE_CONTEXT: 'prod' }, ['p:1', 'p:2']],
    [{}, { SLUICE_CONTEXT: 'prod', SLUICE_BOOTSTRAP: 'a:1' }, ['a:1']],
    [{ context: 'prod' }, { SLUICE_BOOTSTRAP: 'a:1' }, ['p:1', 'p:2']],
    [{ context: 'prod', bootstrap: ['f:1'] }, {}, ['f:1']],
  ])('%j with %j', (options, environment, expected) => {
    expect(resolveBootstrap(options, environment, contexts)).toEqual(expected);
  });

  test('a context that is not there', () => {
    let thrown: unknown;
    try {
      resolveBootstrap({ context: 'staging' }, {}, contexts);
    } catch (error) {
      thrown = error;
    }
    expect(isSluiceError(thrown) && thrown.code).toBe('INVALID_CONFIG');
  });
});
