/**
 * The cluster of `deploy/compose.yaml`, as an operator has it: by the command line of compose, under a project name of
 * its own. Started by the container tests.
 *
 * J1 Networks and volumes are the project's, by their names, and removed with it: nobody else's are ever touched. The
 *    ports of the host are those of the file, so only one such cluster runs on a machine at a time.
 * J2 Whatever it makes is labelled: what a killed test leaves behind is found and removed.
 */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Sluice } from '@sluice/client';
import { freeBasePort } from '@sluice/cli/free-ports';
import { ClusterInquiry } from './cluster-inquiry.ts';
import type { NodeAddresses, TestCluster } from './cluster-inquiry.ts';
import { testImage, testLabel } from './test-image.ts';
import { until } from './until.ts';

const run = promisify(execFile);
const file = fileURLToPath(new URL('../deploy/compose.yaml', import.meta.url));

const nodes: readonly NodeAddresses[] = [
  { id: 1, client: '127.0.0.1:7650', admin: '127.0.0.1:7652' },
  { id: 2, client: '127.0.0.1:7660', admin: '127.0.0.1:7662' },
  { id: 3, client: '127.0.0.1:7670', admin: '127.0.0.1:7672' },
];
const firstPort = 7650;
const networks = ['client', 'peer'];
const volumes = ['node-1', 'node-2', 'node-3'];

const commandTimeoutMs = 120_000;
const healthyTimeoutMs = 90_000;
const outputBytesMax = 64 * 1024 * 1024;

const serviceOf = (id: number): string => `sluice-${id}`;

export class ComposeProject implements TestCluster, AsyncDisposable {
  readonly name: string;
  readonly nodes = nodes;
  readonly #command: readonly string[];
  readonly #directory: string;
  readonly #inquiry = new ClusterInquiry(nodes);

  private constructor(name: string, command: readonly string[], directory: string) {
    this.name = name;
    this.#command = command;
    this.#directory = directory;
    const labels = { [testLabel]: name };
    const labelled = (names: readonly string[]): Readonly<Record<string, unknown>> =>
      Object.fromEntries(names.map((each) => [each, { labels }]));
    // JSON is YAML.
    const overrides = {
      services: labelled(nodes.map(({ id }) => serviceOf(id))),
      networks: labelled(networks),
      volumes: labelled(volumes),
    };
    writeFileSync(this.#overrides, JSON.stringify(overrides));
  }

  /** Resolves when every container is healthy by the health check of its image. */
  static async up(name: string): Promise<ComposeProject> {
    await checkPorts();
    const command = await composeCommand();
    const project = new ComposeProject(name, command, mkdtempSync(path.join(tmpdir(), 'sluice-compose-')));
    try {
      await project.compose('up', '--detach', '--no-build');
      await project.waitHealthy();
      return project;
    } catch (error) {
      const logs = await project.compose('logs', '--tail', '20').catch(String);
      await project.down();
      throw new Error(`the compose cluster did not come up:\n${logs}`, { cause: error });
    }
  }

  get bootstrap(): readonly string[] {
    return this.#inquiry.bootstrap;
  }

  get client(): Sluice {
    return this.#inquiry.client;
  }

  get logsAt(): string {
    return `the containers of ${this.name}`;
  }

  /** The network that a container joins to be a client. */
  get clientNetwork(): string {
    return `${this.name}_client`;
  }

  compose(...words: readonly string[]): Promise<string> {
    const [program = '', ...rest] = this.#command;
    return output(program, [...rest, '-p', this.name, '-f', file, '-f', this.#overrides, ...words]);
  }

  /** All containers of the project, running or not. */
  async containers(): Promise<ContainerState[]> {
    const ids = await this.#mine('ps', '--all', '--quiet');
    if (ids.length === 0) return [];
    const inspected = JSON.parse(await output('docker', ['inspect', ...ids])) as Inspected[];
    return inspected.map(({ State, Config }) => ({
      id: nodes.find(({ id }) => serviceOf(id) === Config.Labels['com.docker.compose.service'])?.id ?? 0,
      status: State.Status,
      health: State.Health?.Status ?? 'none',
      exitCode: State.ExitCode,
    }));
  }

  leaderOf(topic: string, partition: number): Promise<number> {
    return this.#inquiry.leaderOf(topic, partition);
  }

  controllerLeader(): Promise<number> {
    return this.#inquiry.controllerLeader();
  }

  /** By the health checks of the containers, and then by what the cluster says of itself. */
  async waitHealthy(timeoutMs: number = healthyTimeoutMs): Promise<void> {
    let states: readonly ContainerState[] = [];
    const look = async (): Promise<true | undefined> => {
      states = await this.containers();
      return states.length === nodes.length && states.every(({ health }) => health === 'healthy') ? true : undefined;
    };
    const standing = (): string => JSON.stringify(states);
    await until(look, { what: 'three healthy containers', timeoutMs, everyMs: 200, standing });
    await this.#inquiry.waitHealthy();
  }

  async kill(...ids: readonly number[]): Promise<void> {
    await this.compose('kill', ...ids.map(serviceOf));
  }

  /** In order, within the grace period of the file. */
  async stop(...ids: readonly number[]): Promise<void> {
    await this.compose('stop', ...ids.map(serviceOf));
  }

  async start(...ids: readonly number[]): Promise<void> {
    await this.compose('start', ...ids.map(serviceOf));
  }

  /** With its volumes. Resolves with the names of what is left of it: none. */
  async down(): Promise<readonly string[]> {
    await this.#inquiry[Symbol.asyncDispose]();
    try {
      await this.compose('down', '--volumes', '--timeout', '10');
      const left = await Promise.all([
        this.#mine('ps', '--all', '--quiet'),
        this.#mine('network', 'ls', '--quiet'),
        this.#mine('volume', 'ls', '--quiet'),
      ]);
      return left.flat();
    } finally {
      rmSync(this.#directory, { recursive: true, force: true });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.down();
  }

  get #overrides(): string {
    return path.join(this.#directory, 'labels.json');
  }

  async #mine(...words: readonly string[]): Promise<string[]> {
    const listed = await output('docker', [...words, '--filter', `label=com.docker.compose.project=${this.name}`]);
    return listed.split('\n').filter((line) => line !== '');
  }
}

export interface ContainerState {
  /** Of the node. */
  readonly id: number;
  readonly status: string;
  readonly health: string;
  readonly exitCode: number;
}

interface Inspected {
  readonly State: { readonly Status: string; readonly ExitCode: number; readonly Health?: { readonly Status: string } };
  readonly Config: { readonly Labels: Readonly<Record<string, string>> };
}

/** Standard output. A failure carries what was said on standard error. */
async function output(program: string, words: readonly string[]): Promise<string> {
  const env = { ...process.env, SLUICE_IMAGE: testImage };
  const { stdout } = await run(program, words, { env, timeout: commandTimeoutMs, maxBuffer: outputBytesMax });
  return stdout;
}

/** Compose v2 is a command of docker, 1.29 a program. */
async function composeCommand(): Promise<readonly string[]> {
  for (const command of [['docker', 'compose'], ['docker-compose']]) {
    const [program = '', ...rest] = command;
    const there = await run(program, [...rest, 'version']).then(
      () => true,
      () => false,
    );
    if (there) return command;
  }
  throw new Error(
    'neither `docker compose` nor `docker-compose` is there; scripts/docker-engine.sh start installs one',
  );
}

async function checkPorts(): Promise<void> {
  await freeBasePort(nodes.length, [firstPort]).catch((error: unknown) => {
    const message =
      'the ports 7650 to 7672 of 127.0.0.1, which deploy/compose.yaml gives to its nodes, are taken: stop the cluster that has them, then run this test again';
    throw new Error(message, { cause: error });
  });
}
