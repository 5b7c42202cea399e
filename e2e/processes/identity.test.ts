/** A node whose disk is not what it was: it must not vote under its old identity, and nothing acked is lost. */
import { cpSync, rmSync } from 'node:fs';
import { basename } from 'node:path';
import { afterAll, afterEach, expect, test } from 'vitest';
import { LocalCluster } from '../cluster.ts';
import { holds } from '../holds.ts';
import { HonestLoad, unharmed } from '../honest-load.ts';
import { logLines, membership, metric } from '../node-figures.ts';
import type { LogLine } from '../node-figures.ts';
import { RawClient } from '../raw-client.ts';
import { until } from '../until.ts';

const raw = new RawClient();
afterAll(() => raw[Symbol.dispose]());

/** Of the test that runs. */
let open = new AsyncDisposableStack();
let cluster: LocalCluster;
let honest: HonestLoad;
/** Who loses its disk, who leads the controller, and the third. */
let victim: number;
let controller: number;
let third: number;

async function start(): Promise<void> {
  open = new AsyncDisposableStack();
  cluster = open.use(await LocalCluster.start());
  honest = open.use(await HonestLoad.start(cluster, { topic: 'kept' }));
  controller = await cluster.controllerLeader();
  [victim = 0, third = 0] = cluster.nodes.map(({ id }) => id).filter((id) => id !== controller);
}

afterEach(() => open.disposeAsync());

const copyDirectory = (from: string, to: string): void =>
  // The lock is a socket of the process that holds it.
  cpSync(from, to, { recursive: true, filter: (source) => !basename(source).startsWith('lock') });

/** The victim's directory becomes what it was when `copy` was made. */
function rollBack(copy: string): void {
  const { data } = cluster.node(victim);
  rmSync(data, { recursive: true });
  copyDirectory(copy, data);
}

const saysThatItIsOlder = ({ msg }: LogLine): boolean => /older copy of itself/.test(msg);

async function saidByVictim(what: string, told: (line: LogLine) => boolean, since: number): Promise<void> {
  const look = (): true | undefined => (logLines(cluster.directory, victim).slice(since).some(told) ? true : undefined);
  await until(look, { what, timeoutMs: 20_000 });
}

/** With one of the two complete voters away, no leader can be elected unless the victim votes. */
async function cannotElect(alive: readonly number[]): Promise<void> {
  const leads = async (): Promise<string | undefined> => {
    for (const id of alive) {
      if ((await metric(cluster.node(id), 'sluice_node_controller_leader')) === 1) return `node ${id} was elected`;
    }
    return undefined;
  };
  const deposed = async (): Promise<true | undefined> => ((await leads()) === undefined ? true : undefined);
  await until(deposed, { what: 'the end of the controller leadership', timeoutMs: 10_000 });
  await holds(leads, { forMs: 4000 });
}

/** Kills a voter and shows that the other two have no majority, then brings it back and everything with it. */
async function votesNoMore(): Promise<void> {
  await cluster.kill(controller);
  await cannotElect([victim, third]);
  await cluster.start(controller);
  await cluster.waitHealthy();
  await honest.acks(200);
}

async function isWholeAgain(): Promise<void> {
  await cluster.waitHealthy();
  const { partitions } = await cluster.client.admin.describeTopic('kept');
  expect(partitions.map(({ isr }) => isr.toSorted((a, b) => a - b))).toEqual(partitions.map(() => [1, 2, 3]));
  await honest.acks(200);
}

test('its directory deleted: it joins as an observer and refetches', async () => {
  await start();
  const before = await membership(raw, cluster.node(victim));
  expect(before.votes).toBe(true);
  await cluster.kill(victim);
  rmSync(cluster.node(victim).data, { recursive: true });
  const since = logLines(cluster.directory, victim).length;
  await cluster.start(victim);
  await saidByVictim('joining as an observer', ({ msg }) => msg === 'joined cluster as an observer', since);
  await isWholeAgain();

  const after = await membership(raw, cluster.node(victim));
  expect(after.identity.clusterId).toBe(before.identity.clusterId);
  expect(after.identity.directoryId).not.toBe(before.identity.directoryId);
  for (const node of cluster.nodes) {
    const { certificate } = await membership(raw, node);
    expect(certificate).toEqual(before.certificate);
    expect(certificate.voters.map((voter) => voter.directoryId)).not.toContain(after.identity.directoryId);
  }
  await votesNoMore();
  expect(await honest.finish()).toMatchObject(unharmed);
});

test('replaced by an older copy that was made while it was stopped, while the controller leader dies', async () => {
  await start();
  const copy = `${cluster.directory}/older-${victim}`;
  await cluster.kill(victim);
  copyDirectory(cluster.node(victim).data, copy);
  await cluster.start(victim);
  await isWholeAgain();
  await honest.acks(300);

  await cluster.kill(victim);
  await honest.acks(100);
  rollBack(copy);
  const since = logLines(cluster.directory, victim).length;
  // The third node stands for election while the old copy wakes up: without it there is no majority.
  await cluster.kill(controller);
  await cluster.start(victim);
  await saidByVictim('saying that it is older', saysThatItIsOlder, since);
  await cannotElect([victim, third]);
  await cluster.start(controller);
  await isWholeAgain();
  expect(await honest.finish()).toMatchObject(unharmed);
});

test('replaced by an older copy that was made while it was running', async () => {
  await start();
  const copy = `${cluster.directory}/older-${victim}`;
  copyDirectory(cluster.node(victim).data, copy);
  // Only records are older: every vote and every entry of the metadata that it promised is in the copy.
  await honest.acks(500);
  await cluster.kill(victim);
  rollBack(copy);
  await cluster.start(victim);
  await isWholeAgain();

  const { data } = cluster.node(victim);
  rmSync(copy, { recursive: true });
  copyDirectory(data, copy);
  // Now the metadata moves on as well, by the victim's ack among others.
  await cluster.client.admin.createTopic({ name: 'later', partitions: 3, replication: 3 });
  await honest.acks(500);
  await cluster.kill(victim);
  rollBack(copy);
  const since = logLines(cluster.directory, victim).length;
  await cluster.start(victim);
  await saidByVictim('saying that it is older', saysThatItIsOlder, since);
  await isWholeAgain();
  await votesNoMore();
  expect(await honest.finish()).toMatchObject(unharmed);
});
