import { closeSync, createReadStream, createWriteStream, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { LocalCluster } from '../cluster.ts';
import { sluice, startSluice } from '../sluice-command.ts';
import type { CommandOptions, Finished } from '../sluice-command.ts';

interface RecordLine {
  readonly partition: number;
  readonly offset: number;
  readonly timestamp: number;
  readonly key: string | null;
  readonly value: string | null;
  readonly valueBase64?: string;
  readonly headers: readonly object[];
}

interface ErrorLine {
  readonly error: { readonly code: string; readonly retryable: boolean; readonly definite: boolean };
}

let cluster: LocalCluster;
const directory = mkdtempSync(path.join(tmpdir(), 'sluice-command-line-'));
beforeAll(async () => {
  cluster = await LocalCluster.start();
});
afterAll(async () => {
  await cluster.stop();
  rmSync(directory, { recursive: true, force: true });
});

const run = (words: string, options: CommandOptions = {}): Promise<Finished> =>
  sluice(words.split(' '), { bootstrap: cluster.bootstrap, ...options });

async function newTopic(name: string, flags = ''): Promise<void> {
  const created = await run(`topic create ${name} --json ${flags}`.trim());
  expect({ exit: created.exit, err: created.err }).toEqual({ exit: 0, err: '' });
}

const sha256 = async (file: string): Promise<string> => {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(file)) hash.update(chunk as Buffer);
  return hash.digest('hex');
};

describe('topics and status', () => {
  test('create, describe, list and delete', async () => {
    await newTopic('orders', '--partitions 3 --config minIsr=2');
    const [described] = (await run('topic describe orders --json')).lines<{ config: object; partitions: object[] }>();
    expect(described).toMatchObject({ name: 'orders', config: { minIsr: '2', durability: 'fsync' } });
    expect(described?.partitions).toHaveLength(3);
    expect(described?.partitions[0]).toMatchObject({ partition: 0, logStart: 0, highWatermark: 0, logEnd: 0, elr: [] });
    const again = await run('topic create orders --json');
    expect(again.exit).toBe(1);
    expect(again.lines<ErrorLine>()[0]?.error).toMatchObject({ code: 'TOPIC_EXISTS', definite: true });
    expect((await run('topic create orders --if-not-exists')).exit).toBe(0);
    const [{ topics }] = (await run('topic list --json')).lines<{ topics: object[] }>() as [{ topics: object[] }];
    expect(topics).toContainEqual(expect.objectContaining({ name: 'orders', partitions: 3, replication: 3 }));
    await newTopic('clicks', '--config durability=replicated');
    const [clicks] = (await run('topic describe clicks --json')).lines<{ config: object }>();
    expect(clicks?.config).toMatchObject({ durability: 'replicated' });
    expect((await run('topic delete orders')).exit).toBe(0);
    expect((await run('topic describe orders --json')).lines<ErrorLine>()[0]?.error.code).toBe('UNKNOWN_TOPIC');
  });

  test('trim: one partition before an offset inside a batch, then all of them before their end', async () => {
    await newTopic('trimmed', '--partitions 2');
    const input = 'a\nb\nc\nd\ne\n';
    for (const partition of [0, 1])
      expect((await run(`produce trimmed --partition ${partition}`, { input })).exit).toBe(0);
    const one = await run('topic trim trimmed --partition 0 --before 2 --json');
    expect([one.exit, one.lines()]).toEqual([0, [{ partition: 0, logStart: 2 }]]);
    const left = await run('consume trimmed --partition 0 --until end');
    expect(left.out).toBe('c\nd\ne\n');
    expect((await run('topic trim trimmed --partition 0 --before 1')).out).toBe('partition 0 starts at 2\n');
    const past = await run('topic trim trimmed --partition 0 --before 6 --json');
    expect([past.exit, past.lines<ErrorLine>()[0]?.error]).toMatchObject([
      1,
      { code: 'OFFSET_OUT_OF_RANGE', definite: true },
    ]);
    const all = await run('topic trim trimmed --before end --json');
    expect([all.exit, all.lines()]).toEqual([0, [0, 1].map((partition) => ({ partition, logStart: 5 }))]);
    expect((await run('consume trimmed --until end')).out).toBe('');
    for (const wrong of ['--before 3', '--partition 0', '--partition 0 --before -1']) {
      expect((await run(`topic trim trimmed ${wrong}`)).exit).toBe(2);
    }
    expect((await run('topic trim trimmed --partition 2 --before end --json')).lines<ErrorLine>()[0]?.error.code).toBe(
      'UNKNOWN_PARTITION',
    );
    expect((await run('topic trim nowhere --before end --json')).lines<ErrorLine>()[0]?.error.code).toBe(
      'UNKNOWN_TOPIC',
    );
  });

  test('configuration that is not allowed', async () => {
    for (const config of ['colour=red', 'minIsr=9', 'recordBytesMax=1']) {
      const refused = await run(`topic create refused --json --config ${config}`);
      expect([refused.exit, refused.lines<ErrorLine>()[0]?.error.code]).toEqual([1, 'INVALID_CONFIG']);
    }
  });

  test('cluster status, and waiting until it is healthy', async () => {
    const waited = await run('cluster status --wait-healthy --json');
    expect(waited.exit).toBe(0);
    const [status] = waited.lines<{ nodes: object[] }>();
    expect(status).toMatchObject({ underReplicated: 0, underMinIsr: 0, leaderless: 0 });
    expect(status?.nodes).toHaveLength(3);
    expect(status?.nodes[0]).toMatchObject({ id: 1, state: 'up', client: cluster.node(1).client });
  });

  test('nobody there: exit 3', async () => {
    const nobody = await run('topic list --json --timeout 2s --bootstrap 127.0.0.1:1');
    expect(nobody.exit).toBe(3);
    expect(nobody.lines<ErrorLine>()[0]?.error).toMatchObject({ code: 'UNREACHABLE', retryable: true });
  });
});

describe('produce and consume', () => {
  test('lines, keys, headers and bytes that are no text', async () => {
    await newTopic('mixed');
    const input = Buffer.concat([
      Buffer.from('a:1\n\nno key\r\n'),
      Uint8Array.of(0xff, 0x3a, 0x80, 0x0a),
      Buffer.from('grün:last'),
    ]);
    const produced = await run('produce mixed --key-separator : --header source=test --json', { input });
    expect(produced.lines()).toEqual([0, 1, 2, 3, 4].map((offset) => ({ partition: 0, offset })));
    const consumed = (await run('consume mixed --until end --json')).lines<RecordLine>();
    expect(consumed.map(({ key, value }) => [key, value])).toEqual([
      ['a', '1'],
      [null, ''],
      [null, 'no key\r'],
      [null, null],
      ['grün', 'last'],
    ]);
    expect(consumed[3]).toMatchObject({ keyBase64: '/w==', valueBase64: 'gA==' });
    expect(consumed[0]).toMatchObject({ topic: 'mixed', headers: [{ key: 'source', value: 'test' }] });
    expect((await run('consume mixed --until end --offset -2')).out.endsWith('\nlast\n')).toBe(true);
    expect((await run('consume mixed --offset +2 --count 1')).out).toBe('no key\r\n');
    expect((await run('consume mixed --until end --offset end')).out).toBe('');
    expect((await run(`consume mixed --until end --json --offset @${Date.now() + 60_000}`)).out).toBe('');
    expect((await run('consume mixed --until end --offset @2020-01-01')).out.startsWith('1\n')).toBe(true);
    await run('produce mixed --json', { input: 'newest' });
    const [newest] = (await run('consume mixed --until end --offset -1 --json')).lines<RecordLine>();
    const since = await run(`consume mixed --until end --json --offset @${newest?.timestamp}`);
    expect(since.lines<RecordLine>().map(({ value }) => value)).toEqual(['newest']);
  });

  test('an empty file is no record', async () => {
    await newTopic('empty');
    const produced = await run('produce empty --json', { input: '' });
    expect([produced.exit, produced.out]).toEqual([0, '']);
    expect((await run('consume empty --until end')).out).toBe('');
  });

  test('producing never creates a topic', async () => {
    const produced = await run('produce nowhere --json', { input: 'x\ny\n' });
    expect(produced.exit).toBe(1);
    expect(produced.lines<ErrorLine>().map(({ error }) => error.code)).toEqual(['UNKNOWN_TOPIC']);
  });

  test('a record over the limit is an error line in its place, and the others arrive', async () => {
    await newTopic('limited', '--config recordBytesMax=65536');
    const input = ['before', 'x'.repeat(100_000), 'between', 'y'.repeat(9 * 1024 * 1024), 'after'].join('\n');
    const produced = await run('produce limited --json', { input });
    expect(produced.exit).toBe(1);
    const shapes = produced.lines<ErrorLine & { offset: number }>().map((line) => line.error?.code ?? line.offset);
    expect(shapes).toEqual([0, 'RECORD_TOO_LARGE', 1, 'RECORD_TOO_LARGE', 2]);
    expect((await run('consume limited --until end')).out).toBe('before\nbetween\nafter\n');
  });

  test('consume ends with 0 on SIGTERM and when its reader has seen enough', async () => {
    await newTopic('endless');
    await run('produce endless', { input: 'one\ntwo\n' });
    const waiting = startSluice(['consume', 'endless'], { bootstrap: cluster.bootstrap });
    await once(waiting.child.stdout!, 'data');
    waiting.child.kill('SIGTERM');
    expect((await waiting.finished).exit).toBe(0);
    const left = startSluice(['consume', 'endless'], { bootstrap: cluster.bootstrap });
    await once(left.child.stdout!, 'data');
    left.child.stdout?.destroy();
    await run('produce endless', { input: 'three\n' });
    expect((await left.finished).exit).toBe(0);
  });
});

/** Lines of every kind: empty, UTF-8, `\r`, half a megabyte; keyed by their number modulo 1,000. */
async function writeLines(file: string, count: number, keyed: boolean): Promise<void> {
  const out = createWriteStream(file);
  const long = 'long line '.repeat(50_000);
  for (let at = 0; at < count; at += 1) {
    const line =
      at % 7 === 0 ? '' : at % 11 === 0 ? `grüße ${at} 漢字\r` : at % 100_000 === 99_999 ? long + at : `line ${at}`;
    if (!out.write(`${keyed ? `key-${at % 1000}:` : ''}${line}\n`)) await once(out, 'drain');
  }
  out.end();
  await once(out, 'close');
}

interface InspectionLine {
  readonly damaged: boolean;
  readonly lock: object;
  readonly logs: readonly {
    readonly topicId: string;
    readonly end: number;
    readonly runs?: readonly { readonly batches: readonly { readonly records: number }[] }[];
  }[];
}

describe('log inspect', () => {
  test('the directory of a node that runs: who holds it, its logs, and the batches of one', async () => {
    await newTopic('inspected', '--config minIsr=2');
    const lines = Array.from({ length: 20 }, (_, number) => `line ${number}\n`);
    expect((await run('produce inspected', { input: lines.join('') })).exit).toBe(0);
    const [described] = (await run('topic describe inspected --json')).lines<{ id: string }>();
    const { data, pid } = cluster.node(await cluster.leaderOf('inspected', 0));
    const id = described?.id ?? '';
    const all = await sluice(['log', 'inspect', data, '--json']);
    expect([all.exit, all.err]).toEqual([0, expect.stringContaining(`is in use by process ${pid}`)]);
    const [found] = all.lines<InspectionLine>();
    expect(found).toMatchObject({ damaged: false, lock: { held: true, pid } });
    expect(found?.logs.find(({ topicId }) => topicId === id)?.end).toBe(20);
    const one = await sluice(['log', 'inspect', data, '--log', `${id}/0`, '--batches', '--json']);
    const log = one.lines<InspectionLine>()[0]?.logs.find(({ topicId }) => topicId === id);
    const batches = log?.runs?.flatMap((each) => each.batches) ?? [];
    expect(batches.reduce((sum, { records }) => sum + records, 0)).toBe(20);
  });

  test('a directory that is not there', async () => {
    const { exit, lines } = await sluice(['log', 'inspect', path.join(directory, 'nowhere'), '--json']);
    expect(exit).not.toBe(0);
    expect(lines<ErrorLine>()[0]?.error).toMatchObject({ code: 'INVALID_CONFIG', retryable: false });
  });
});

describe('a file of a million lines', () => {
  const lines = 1_000_000;

  test('through one partition comes out byte for byte', async () => {
    const [input, output] = [path.join(directory, 'in'), path.join(directory, 'out')];
    await writeLines(input, lines, false);
    await newTopic('million');
    const produced = await run(`produce million --file ${input} --timeout 2m`);
    expect(produced.err).toContain(`${lines} records produced, 0 failed`);
    const to = openSync(output, 'w');
    expect((await run('consume million --until end', { outputTo: to })).exit).toBe(0);
    closeSync(to);
    expect(await sha256(output)).toBe(await sha256(input));
  });

  test('through six partitions: the same lines, in order within each, equal keys in one', async () => {
    const input = path.join(directory, 'keyed');
    const output = path.join(directory, 'keyed-out');
    await writeLines(input, lines, true);
    await newTopic('keyed', '--partitions 6');
    expect((await run(`produce keyed --key-separator : --timeout 2m`, { input: { file: input } })).exit).toBe(0);
    const to = openSync(output, 'w');
    expect((await run('consume keyed --until end --json', { outputTo: to })).exit).toBe(0);
    closeSync(to);
    const home = new Map<string, number>();
    const found = Array.from({ length: 6 }, () => [] as string[]);
    for (const text of readFileSync(output, 'utf8').trimEnd().split('\n')) {
      const { key, value, partition } = JSON.parse(text) as RecordLine;
      expect(home.get(key!) ?? partition).toBe(partition);
      home.set(key!, partition);
      found[partition]?.push(`${key}:${value}`);
    }
    const wanted = Array.from({ length: 6 }, () => [] as string[]);
    for (const line of readFileSync(input, 'utf8').trimEnd().split('\n')) {
      wanted[home.get(line.slice(0, line.indexOf(':')))!]?.push(line);
    }
    expect(found.map((each) => each.length)).toEqual(wanted.map((each) => each.length));
    expect(found.every((each) => each.length > 0)).toBe(true);
    for (const [partition, each] of wanted.entries()) {
      expect(each.findIndex((line, at) => line !== found[partition]?.[at])).toBe(-1);
    }
  });
});

describe('dev', () => {
  test('another number of nodes in the same directory is wrong usage', async () => {
    const { exit, out } = await run(`dev --nodes 5 --data ${cluster.directory} --json`);
    expect(exit).toBe(2);
    expect(out).toContain('holds a cluster of 3 nodes');
  });

  test('a port that is taken ends it with a sentence', async () => {
    const port = cluster.node(1).client.split(':')[1];
    const { exit, out } = await run(`dev --nodes 1 --port ${port} --json`);
    expect(exit).toBe(1);
    expect(out).toContain('is taken by another process');
  });
});
