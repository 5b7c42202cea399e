/** The compose file, by the command line that an operator has: nothing else here knows how to start a container. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ComposeProject } from '../compose-project.ts';
import { HonestLoad, unharmed } from '../honest-load.ts';
import { sluice } from '../sluice-command.ts';
import { testImage, testLabel } from '../test-image.ts';
import { until } from '../until.ts';

let project: ComposeProject | undefined;
const cluster = (): ComposeProject => project!;

beforeAll(async () => {
  project = await ComposeProject.up(`sluice-e2e-${process.pid}`);
});
afterAll(() => project?.down());

const count = 2000;
const lines = (prefix: string): string[] => Array.from({ length: count }, (_, at) => `key-${at % 7}:${prefix} ${at}`);

interface Line {
  readonly partition: number;
  readonly offset: number;
  readonly key: string;
  readonly value: string;
}

const byPlace = (one: Line, other: Line): number => one.partition - other.partition || one.offset - other.offset;

/** What the producer was told of each line is what a consumer reads there: all of them, once, in the order of input. */
async function expectReadBack(topic: string, sent: readonly string[], acks: readonly Line[]): Promise<void> {
  expect(acks).toHaveLength(count);
  const expected = acks
    .map(({ partition, offset }, at) => {
      const [key = '', value = ''] = (sent[at] ?? '').split(':');
      return { partition, offset, key, value };
    })
    .toSorted(byPlace);
  const read = await sluice(['consume', topic, '--until', 'end', '--json'], { bootstrap: ['127.0.0.1:7650'] });
  expect(read).toMatchObject({ exit: 0, err: '' });
  const found = read.lines<Line>().map(({ partition, offset, key, value }) => ({ partition, offset, key, value }));
  expect(found.toSorted(byPlace)).toEqual(expected);
}

/** Printed by the node of the image, which may have no shell. */
const confinement = `
  const { readFileSync, writeFileSync } = require('node:fs');
  const refusal = (file) => { try { writeFileSync(file, ''); } catch (error) { return error.code; } };
  const status = readFileSync('/proc/1/status', 'utf8');
  const of = (field) => new RegExp('^' + field + ':\\\\s+(\\\\S+)', 'm').exec(status)[1];
  console.log(JSON.stringify({
    uid: process.getuid(), code: refusal('/opt/sluice/x'), temporary: refusal('/tmp/x'), data: refusal('/var/lib/sluice/x'),
    capabilities: Number.parseInt(of('CapBnd'), 16), noNewPrivileges: of('NoNewPrivs'),
  }));`;

test('a node may write to its data and to /tmp, and may do nothing else', async () => {
  const [id = ''] = (await cluster().compose('ps', '-q', 'sluice-1')).trim().split('\n');
  const { out, err } = await docker(['exec', id, 'node', '-e', confinement]);
  expect(err).toBe('');
  expect(JSON.parse(out)).toEqual({ uid: 1000, code: 'EROFS', capabilities: 0, noNewPrivileges: '1' });
});

test('a program on the host reaches every node by the address of one', async () => {
  const bootstrap = ['127.0.0.1:7650'];
  expect(await sluice(['topic', 'create', 'from-host', '--partitions', '6'], { bootstrap })).toMatchObject({ exit: 0 });
  const sent = lines('from the host');
  const input = `${sent.join('\n')}\n`;
  const words = ['produce', 'from-host', '--key-separator', ':', '--json'];
  const produced = await sluice(words, { bootstrap, input });
  expect(produced).toMatchObject({ exit: 0 });
  await expectReadBack('from-host', sent, produced.lines<Line>());
});

test('a container on the client network reaches every node by its name', async () => {
  const bootstrap = ['127.0.0.1:7650'];
  const created = await sluice(['topic', 'create', 'from-container', '--partitions', '6'], { bootstrap });
  expect(created).toMatchObject({ exit: 0 });
  const sent = lines('from a container');
  const container = ['run', '--rm', '--interactive', '--label', testLabel, '--network', cluster().clientNetwork];
  const words = ['produce', 'from-container', '--key-separator', ':', '--json', '--bootstrap', 'sluice-1:7650'];
  const produced = await docker([...container, testImage, ...words], `${sent.join('\n')}\n`);
  expect(produced).toMatchObject({ exit: 0 });
  const acks = produced.out.trimEnd().split('\n');
  await expectReadBack(
    'from-container',
    sent,
    acks.map((line) => JSON.parse(line) as Line),
  );
});

test('a stop of each node in turn under load: no send fails, and each ends in order', async () => {
  await using honest = await HonestLoad.start(cluster(), { topic: 'stopped' });
  for (const { id } of cluster().nodes) {
    const pauseMs = await honest.ackPause(() => cluster().stop(id));
    console.log(`stop of node ${id}: acks paused for at most ${Math.round(pauseMs)} ms`);
    const stopped = (await cluster().containers()).find((each) => each.id === id);
    expect(stopped).toMatchObject({ status: 'exited', exitCode: 0 });
    await cluster().start(id);
    await cluster().waitHealthy();
  }
  await honest.acks(300);
  expect(await honest.finish()).toMatchObject(unharmed);
});

test('all nodes killed under load and started again: nothing acked is missing', async () => {
  const ids = cluster().nodes.map(({ id }) => id);
  await using honest = await HonestLoad.start(cluster(), { topic: 'killed' });
  await honest.acks(300);
  await cluster().kill(...ids);
  expect((await cluster().containers()).map(({ exitCode }) => exitCode)).toEqual([137, 137, 137]);
  await cluster().start(...ids);
  await cluster().waitHealthy();
  await honest.acks(300);
  expect(await honest.finish()).toMatchObject(unharmed);
});

test('a node that ends by itself comes back by itself', async () => {
  const [id = ''] = (await cluster().compose('ps', '-q', 'sluice-1')).trim().split('\n');
  const restarts = async (): Promise<string> =>
    (await docker(['inspect', '--format', '{{.RestartCount}}', id])).out.trim();
  const before = Number(await restarts());
  // Not by the engine: what was killed by it is not started again.
  await docker(['exec', id, 'node', '-e', "process.kill(1, 'SIGQUIT')"]);
  const look = async (): Promise<true | undefined> => (Number(await restarts()) > before ? true : undefined);
  await until(look, { what: 'a restart', timeoutMs: 10_000 });
  await cluster().waitHealthy();
  const again = (await cluster().containers()).find((each) => each.id === 1);
  expect(again).toMatchObject({ status: 'running', health: 'healthy' });
});

test('down --volumes leaves nothing', async () => {
  const { name } = cluster();
  const left = await cluster().down();
  project = undefined;
  expect(left).toEqual([]);
  const volumes = await docker(['volume', 'ls', '--quiet', '--filter', `name=${name}_`]);
  expect(volumes).toMatchObject({ exit: 0, out: '' });
});

async function docker(words: readonly string[], input = ''): Promise<{ exit: number; out: string; err: string }> {
  const child = spawn('docker', words, { stdio: 'pipe' });
  child.stdin.end(input);
  const [out, err, [exit]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'close') as Promise<[number]>,
  ]);
  return { exit, out, err };
}
