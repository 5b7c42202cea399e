/**
 * One container with one node in it, run as `deploy/compose.yaml` runs it. Owns the container, from its creation to its
 * removal; networks and the volume belong to who asked for it.
 *
 * The engine is found as testcontainers finds it. Its own container class publishes ports on all addresses, cannot have a
 * read-only root or two networks, and has no kill, pause or cut, so containers are made by the client below it.
 */
import { getContainerRuntimeClient } from 'testcontainers';
import { nodeSettings } from './compose-settings.ts';
import { testImage, testLabel } from './test-image.ts';
import { until } from './until.ts';

type Runtime = Awaited<ReturnType<typeof getContainerRuntimeClient>>;
export type Engine = Runtime['container']['dockerode'];
export type Network = ReturnType<Engine['getNetwork']>;
type Container = ReturnType<Engine['getContainer']>;
export type ContainerState = Awaited<ReturnType<Container['inspect']>>['State'];

export const testLabels = { [testLabel]: '' };

export async function dockerEngine(): Promise<Engine> {
  const { container } = await getContainerRuntimeClient();
  return container.dockerode;
}

export interface NodeContainerOptions {
  readonly engine: Engine;
  readonly id: number;
  readonly name: string;
  /** Added to what compose.yaml has. */
  readonly environment?: Readonly<Record<string, string>>;
  /** Absent: it has loopback alone, and its data goes with it. */
  readonly place?: Place;
}

export interface Place {
  /** `127.0.0.1:PORT`, both. */
  readonly client: string;
  readonly admin: string;
  readonly volume: string;
  readonly clientNetwork: Network;
  readonly peerNetwork: Network;
}

export interface Ended {
  readonly exitCode: number;
  readonly afterMs: number;
}

/** Where clients of the host and the admin listener are in the container. */
const hostListenerPort = '7653/tcp';
const adminPort = '7652/tcp';
const logTimeoutMs = 10_000;
const terminateTimeoutMs = 5000;

export class NodeContainer implements AsyncDisposable {
  readonly #options: NodeContainerOptions;
  #container: Container | undefined;

  private constructor(options: NodeContainerOptions) {
    this.#options = options;
  }

  /** Created, and not started yet. */
  static async create(options: NodeContainerOptions): Promise<NodeContainer> {
    await using open = new AsyncDisposableStack();
    const made = open.use(new NodeContainer(options));
    await made.#create();
    open.move();
    return made;
  }

  get name(): string {
    return this.#options.name;
  }

  /** A new one when it was removed. */
  async start(): Promise<void> {
    if (this.#container === undefined) await this.#create();
    await this.#existing.start();
  }

  /** Resolves when the process is gone. */
  async kill(): Promise<void> {
    const container = this.#existing;
    await Promise.all([container.wait(), container.kill({ signal: 'SIGKILL' })]);
  }

  /** As `docker stop`: SIGTERM, and SIGKILL after the grace period of compose.yaml. */
  async stop(): Promise<Ended> {
    const startedMs = performance.now();
    await this.#existing.stop();
    const afterMs = performance.now() - startedMs;
    const { Running, ExitCode } = await this.state();
    if (Running) throw new Error(`${this.name} runs after it was stopped`);
    return { exitCode: ExitCode, afterMs };
  }

  /** Sends SIGTERM until it has an effect: the first process of a container gets none before it handles it. */
  async terminate(): Promise<Ended> {
    const startedMs = performance.now();
    const ended = this.ended();
    const look = async (): Promise<true | undefined> => {
      if (!(await this.state()).Running) return true;
      await this.#existing.kill({ signal: 'SIGTERM' });
      return undefined;
    };
    await until(look, { what: 'an end by SIGTERM', timeoutMs: terminateTimeoutMs });
    return { exitCode: await ended, afterMs: performance.now() - startedMs };
  }

  /** Waits until it ends by itself. */
  async ended(): Promise<number> {
    const { StatusCode } = (await this.#existing.wait()) as { StatusCode: number };
    return StatusCode;
  }

  async pause(): Promise<void> {
    await this.#existing.pause();
  }

  async unpause(): Promise<void> {
    await this.#existing.unpause();
  }

  /** Running or not; its volume stays. */
  async remove(): Promise<void> {
    const container = this.#existing;
    this.#container = undefined;
    await container.remove({ force: true, v: true });
  }

  /** No packet to or from other nodes any more; clients on the published port are served as before. */
  async cut(): Promise<void> {
    await this.#place.peerNetwork.disconnect({ Container: this.name });
  }

  async heal(): Promise<void> {
    await this.#place.peerNetwork.connect({
      Container: this.name,
      EndpointConfig: { Aliases: [`sluice-${this.#options.id}.peer`] },
    });
  }

  async state(): Promise<ContainerState> {
    return (await this.#existing.inspect()).State;
  }

  async networks(): Promise<string[]> {
    return Object.keys((await this.#existing.inspect()).NetworkSettings.Networks);
  }

  /** What the present container wrote so far, both streams. */
  async log(): Promise<string> {
    return plainText(await this.#existing.logs({ follow: false, stdout: true, stderr: true }));
  }

  /** Resolves with the log as soon as it says so. */
  async logged(pattern: RegExp): Promise<string> {
    let text = '';
    const look = async (): Promise<string | undefined> => {
      text = await this.log();
      return pattern.test(text) ? text : undefined;
    };
    return until(look, { what: `${pattern} in a log`, timeoutMs: logTimeoutMs, standing: () => text });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#container !== undefined) await this.remove();
  }

  get #existing(): Container {
    if (this.#container === undefined) throw new Error(`${this.name} was removed`);
    return this.#container;
  }

  get #place(): Place {
    const { place } = this.#options;
    if (place === undefined) throw new Error(`${this.name} is alone: it has no networks of the tests`);
    return place;
  }

  async #create(): Promise<void> {
    const { engine, id, name, environment, place } = this.#options;
    const settings = nodeSettings(id, place?.client ?? '127.0.0.1:7650');
    this.#container = await engine.createContainer({
      name,
      Image: testImage,
      Labels: testLabels,
      Env: Object.entries({ ...settings.environment, ...environment }).map(([key, value]) => `${key}=${value}`),
      StopTimeout: settings.stopGraceSeconds,
      Healthcheck: settings.healthcheck,
      ...(place === undefined ? alone(settings.host) : placed(id, place, settings.host)),
    });
    if (place !== undefined) await this.heal();
  }
}

type Options = Parameters<Runtime['container']['create']>[0];
type Placing = Pick<Options, 'ExposedPorts' | 'HostConfig' | 'NetworkingConfig'>;

/** Where the image keeps the data. */
const dataDirectory = '/var/lib/sluice';

const alone = (host: object): Placing => ({
  HostConfig: {
    ...host,
    NetworkMode: 'none',
    Mounts: [{ Type: 'volume', Source: '', Target: dataDirectory, VolumeOptions: anonymousVolume }],
  },
});

const anonymousVolume = { Labels: testLabels, NoCopy: false, DriverConfig: { Name: 'local', Options: {} } };

/** The networks are two, so that a cut between nodes leaves the published ports alone. */
function placed(id: number, place: Place, host: object): Placing {
  const { id: network } = place.clientNetwork;
  const publish = (address: string): { HostIp: string; HostPort: string }[] => {
    const [HostIp = '', HostPort = ''] = address.split(':');
    return [{ HostIp, HostPort }];
  };
  return {
    // Of the image or not: no other port is published.
    ExposedPorts: { [hostListenerPort]: {}, [adminPort]: {} },
    HostConfig: {
      ...host,
      Binds: [`${place.volume}:${dataDirectory}`],
      NetworkMode: network,
      PortBindings: { [hostListenerPort]: publish(place.client), [adminPort]: publish(place.admin) },
    },
    NetworkingConfig: { EndpointsConfig: { [network]: { Aliases: [`sluice-${id}`] } } },
  };
}

/** Without a terminal the engine sends frames: a stream number, three zeros, the length, the text. */
function plainText(frames: Buffer): string {
  const texts: Buffer[] = [];
  for (let at = 0; at < frames.length; ) {
    const end = at + 8 + frames.readUInt32BE(at + 4);
    texts.push(frames.subarray(at + 8, end));
    at = end;
  }
  return Buffer.concat(texts).toString('utf8');
}
