/** The live demonstration behind `npm start`, told as it happens to somebody who sees Sluice for the first time. */
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Sluice } from '@sluice/client';
import type { TopicDescription } from '@sluice/client';
import { LocalCluster } from './cluster.ts';
import { freeBasePort } from '@sluice/cli/free-ports';
import { Load } from './load.ts';
import { Reader } from './reader.ts';
import { until } from './until.ts';
import { demonstrationResult } from './demonstration-result.ts';
import type { DemonstrationResult } from './demonstration-result.ts';
import { verdict } from '@sluice/sim/ledger';

export interface DemonstrationOptions {
  /** Kept at the end; temporary when undefined. */
  readonly directory: string | undefined;
  readonly say: (line: string) => void;
}

const nodes = 3;
const partitions = 6;
const rate = 1000;
const preferredPort = 7650;
const calmMs = 3000;
const waitMs = 30_000;

export class Demonstration implements AsyncDisposable {
  readonly #cluster: LocalCluster;
  readonly #say: (line: string) => void;
  readonly #open = new AsyncDisposableStack();
  #topic = 'demo';

  private constructor(cluster: LocalCluster, say: (line: string) => void) {
    this.#cluster = cluster;
    this.#say = say;
    this.#open.use(cluster);
  }

  static async start({ directory, say }: DemonstrationOptions): Promise<Demonstration> {
    say(`Starting a cluster of ${nodes} nodes; each is a process on this machine with its own data on disk.`);
    const port = await choosePort(say);
    const place = directory === undefined ? undefined : path.resolve(directory);
    const cluster = await LocalCluster.start({ nodes, directory: place, port });
    for (const { id, pid, client } of cluster.nodes) say(`  node ${id}: process ${pid}, clients connect to ${client}`);
    say(`  data and logs: ${cluster.directory}${place === undefined ? ' (removed at the end)' : ''}`);
    return new Demonstration(cluster, say);
  }

  /** Topic, load, kill, failover, restart, count. */
  async run(): Promise<DemonstrationResult> {
    const sluice = this.#open.use(new Sluice({ bootstrap: this.#cluster.bootstrap, clientId: 'demonstration' }));
    const topic = await this.#createTopic(sluice);
    const reader = this.#open.use(new Reader(sluice, topic.name, partitions));
    const load = this.#open.use(new Load({ sluice, topic: topic.name, rate }));
    this.#say(`\nWriting ${rate} records a second, and reading them back at the same time.`);
    this.#say('  A record counts as acked once every in-sync copy of it is synced to disk.');
    await this.#watch(load, reader, calmMs);
    const failoverMs = await this.#killLeader(load, topic.name);
    await this.#watch(load, reader, calmMs);
    await load.stop();
    await reader.readToEnd(waitMs);
    return this.#count(load, reader, failoverMs);
  }

  /** What a newcomer can do while the cluster goes on serving. */
  invite(): void {
    const [first] = this.#cluster.nodes;
    const sluice =
      first?.client === `127.0.0.1:${preferredPort}` ? 'npx sluice' : `npx sluice --bootstrap ${first?.client}`;
    this.#say('\nThe cluster goes on serving until Ctrl-C. Try, in another terminal:');
    this.#say(`  ${sluice} cluster status`);
    this.#say(`  ${sluice} topic describe ${this.#topic}`);
    this.#say(`  echo hello | ${sluice} produce ${this.#topic}`);
    this.#say(`  ${sluice} consume ${this.#topic} --offset -3 --json`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#open.disposeAsync();
  }

  /** A kept directory may hold the topics of earlier runs: each run counts its own. */
  async #createTopic(sluice: Sluice): Promise<TopicDescription> {
    const taken = new Set((await sluice.admin.listTopics()).map((topic) => topic.name));
    for (let run = 2; taken.has(this.#topic); run += 1) this.#topic = `demo-${run}`;
    const topic = await sluice.admin.createTopic({ name: this.#topic, partitions, replication: nodes });
    this.#say(
      `\nCreated topic "${topic.name}": ${partitions} partitions, each kept on ${nodes} nodes, one of them leading.`,
    );
    for (const { id } of this.#cluster.nodes) {
      const led = topic.partitions.filter((each) => each.leader === id).map((each) => each.partition);
      this.#say(`  node ${id} leads partitions ${led.join(', ') || 'none'}`);
    }
    return topic;
  }

  async #watch(load: Load, reader: Reader, ms: number): Promise<void> {
    const before = load.acked.length;
    await sleep(ms);
    const perSecond = Math.round(((load.acked.length - before) * 1000) / ms);
    this.#say(`  acked ${load.acked.length} (${perSecond} a second), consumed ${reader.consumed.length}`);
  }

  /** Kills the leader of partition 0 and brings it back; resolves to the longest pause of acks. */
  async #killLeader(load: Load, topic: string): Promise<number> {
    const cluster = this.#cluster;
    const victim = await cluster.leaderOf(topic, 0);
    const { partitions: before } = await cluster.client.admin.describeTopic(topic);
    const led = before.filter((each) => each.leader === victim).map((each) => each.partition);
    this.#say(
      `\nKilling node ${victim}, which leads partitions ${led.join(', ')}, with SIGKILL: no goodbye, no last write.`,
    );
    const killedAtMs = performance.now();
    await cluster.kill(victim);
    const look = (): number | undefined => load.gaps.longestMs(led, killedAtMs + 20);
    const failoverMs = Math.round(await until(look, { what: 'failover', timeoutMs: waitMs }));
    this.#say(
      `  new leader of partition 0: node ${await cluster.leaderOf(topic, 0)}, elected by the others without help`,
    );
    this.#say(`  failover: writes to the dead node's partitions paused for ${failoverMs} ms`);
    await sleep(calmMs / 2);

    this.#say(`\nStarting node ${victim} again; it fetches what it missed.`);
    const startedAtMs = performance.now();
    await cluster.start(victim);
    await cluster.waitHealthy(waitMs);
    this.#say(`  in sync again on every partition after ${((performance.now() - startedAtMs) / 1000).toFixed(1)} s`);
    return failoverMs;
  }

  #count(load: Load, reader: Reader, failoverMs: number): DemonstrationResult {
    const found = verdict(load.acked, reader.consumed, load.sent);
    const { acked, consumed, lost, duplicated, reordered } = found;
    this.#say("\nCounting the producer's own book of acks against what was read:");
    this.#say(`  acked ${acked} ${acked === consumed ? '=' : 'and'} consumed ${consumed}`);
    this.#say(`  lost ${lost}, duplicated ${duplicated}, out of order ${reordered}`);
    const result = demonstrationResult(found, failoverMs, nodes);
    this.#say(
      result.ok ? '  Every acked record is there, once, in order.' : '  This must not happen: please report it.',
    );
    return result;
  }
}

async function choosePort(say: (line: string) => void): Promise<number> {
  const preferred = await freeBasePort(nodes, [preferredPort]).catch(() => undefined);
  if (preferred !== undefined) return preferred;
  const port = await freeBasePort(nodes);
  say(`  ports from ${preferredPort} are taken, so this cluster uses ports from ${port}`);
  return port;
}
