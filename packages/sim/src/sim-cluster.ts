/**
 * A whole cluster in one thread: the nodes that `server` assembles for real, over a simulated clock, network and disk.
 * A node's disk outlives its processes; everything else of a process ends with `kill`.
 */
import type { Halt, LogFields, Logger, Random } from '@sluice/base';
import { assembleNode, loadConfig } from '@sluice/server';
import type { Node, NodeConfig, NodeInspection } from '@sluice/server';
import { type CrashOptions, type DiskOperationKind, MemoryDisk } from '@sluice/storage';
import { inlineZlib, MemoryNetwork, MemoryTransport } from '@sluice/wire';
import { SimClock, Simulation } from './simulation.ts';
import { lyingAboutLogSyncs } from './unsynced-disk.ts';

/** Simulated machines are slower than loopback and faster than a wide network. */
const networkDelayUs = { min: 100, max: 600 };
const diskDelayMs = { sync: 1.5, other: 0.1 };
const flushes: ReadonlySet<DiskOperationKind> = new Set(['sync', 'syncDirectory', 'writeDurable']);

export interface LogLine {
  readonly atMs: number;
  readonly node: string;
  readonly level: string;
  readonly phrase: string;
  readonly fields: LogFields;
}

type Settings = Readonly<Record<string, unknown>>;

interface Process {
  readonly node: Node;
  readonly clock: SimClock;
}

interface Machine {
  readonly id: number;
  readonly name: string;
  disk: MemoryDisk;
  process: Process | undefined;
  lives: number;
}

const portBase = 7650;
const address = (id: number, port: number): string => `10.0.0.${id}:${portBase + port}`;

export class SimCluster {
  readonly simulation: Simulation;
  /** True: the disks say that they synced the node log, and did not. */
  disksLie = false;
  readonly network: MemoryNetwork;
  readonly log: LogLine[] = [];
  /** Nodes that stopped themselves, with why. */
  readonly halted: { readonly node: string; readonly reason: Error }[] = [];
  readonly #machines: readonly Machine[];
  readonly #delays: Random;

  readonly #settingsOf: (id: number) => Settings;
  readonly #voters: readonly number[];

  /** `settings`: beside what every node of it is given, as a configuration file has it. */
  constructor(
    seed: number,
    nodes = 3,
    settings: Settings | ((id: number) => Settings) = {},
    voters?: readonly number[],
  ) {
    this.#settingsOf = typeof settings === 'function' ? settings : () => settings;
    this.#voters = voters ?? Array.from({ length: nodes }, (_, at) => at + 1);
    this.simulation = new Simulation(seed);
    this.#delays = this.simulation.random.fork('network');
    const { min, max } = networkDelayUs;
    this.network = new MemoryNetwork({
      clock: new SimClock(this.simulation, 'network'),
      schedule: ({ from, to }, deliver) => {
        this.simulation.schedule(min + this.#delays.below(max - min), `${from}>${to}`, deliver);
      },
    });
    this.#machines = Array.from({ length: nodes }, (_, at) => this.#machine(at + 1));
  }

  get bootstrap(): readonly string[] {
    return this.#machines.map(({ id }) => address(id, 0));
  }

  get ids(): readonly number[] {
    return this.#machines.map(({ id }) => id);
  }

  async start(...ids: readonly number[]): Promise<void> {
    const chosen = ids.length === 0 ? this.#machines : ids.map((id) => this.#at(id));
    const starting = chosen.map((machine) => this.#startProcess(machine));
    await this.simulation.settle('nodes start', 30_000, Promise.all(starting));
  }

  /** SIGKILL and loss of power at once: the process ends, and with it whatever its disk had not synced. */
  kill(id: number, keep: CrashOptions['keep'] = 'nothing', tearLastWrite?: Random): void {
    const machine = this.#at(id);
    machine.process?.clock.die();
    machine.process = undefined;
    this.network.crash(machine.name);
    machine.disk.crash(tearLastWrite === undefined ? { keep } : { keep, tearLastWrite });
  }

  /** SIGTERM: the node stops in order, and its process is gone. */
  async stop(id: number): Promise<void> {
    const node = this.node(id);
    await this.simulation.settle(`node ${id} stops`, 30_000, node.stop());
    this.kill(id, 'everything');
  }

  /** An empty disk in place of the one there was; the node must be dead. */
  wipe(id: number): void {
    const machine = this.#at(id);
    machine.disk = this.#newDisk(machine.name);
  }

  node(id: number): Node {
    const { process } = this.#at(id);
    if (process === undefined) throw new Error(`node ${id} is not running`);
    return process.node;
  }

  inspect(id: number): NodeInspection | undefined {
    return this.#at(id).process?.node.inspect();
  }

  disk(id: number): MemoryDisk {
    return this.#at(id).disk;
  }

  /** The controller leader as node `id` sees it: what `cluster status` would say there. */
  leads(id: number): boolean {
    return this.node(id).figures().sluice_node_controller_leader === 1;
  }

  /** Every partition is led and all its replicas are in sync; topics here have a replica on every node. */
  isWhole(): boolean {
    const figures = this.#machines.map(({ process }) => process?.node.figures());
    const sum = (name: 'sluice_partitions_led' | 'sluice_partitions_held'): number =>
      figures.reduce((total, each) => total + (each?.[name] ?? 0), 0);
    const led = sum('sluice_partitions_led');
    return (
      figures.every((each) => each?.sluice_partitions_under_replicated === 0) &&
      led * this.#machines.length === sum('sluice_partitions_held')
    );
  }

  isReady(...ids: readonly number[]): boolean {
    const chosen = ids.length === 0 ? this.#machines : ids.map((id) => this.#at(id));
    return chosen.every(
      ({ process }) => process !== undefined && Object.values(process.node.readiness()).every(Boolean),
    );
  }

  #at(id: number): Machine {
    const machine = this.#machines[id - 1];
    if (machine === undefined) throw new Error(`there is no node ${id}`);
    return machine;
  }

  #machine(id: number): Machine {
    const name = `node${id}`;
    return { id, name, disk: this.#newDisk(name), process: undefined, lives: 0 };
  }

  /** A disk keeps its own time: it outlives the processes that use it. */
  #newDisk(name: string): MemoryDisk {
    const clock = new SimClock(this.simulation, `${name} disk`);
    return new MemoryDisk({
      clock,
      complete: (run) => clock.defer(run),
      delayMs: ({ kind }) => (flushes.has(kind) ? diskDelayMs.sync : diskDelayMs.other),
    });
  }

  #startProcess(machine: Machine): Promise<void> {
    machine.lives += 1;
    const clock = new SimClock(this.simulation, machine.name);
    const halt: Halt = {
      halt: (reason) => {
        this.halted.push({ node: machine.name, reason });
        this.kill(machine.id);
      },
    };
    const node = assembleNode(this.#config(machine.id), {
      disk: lyingAboutLogSyncs(machine.disk, () => this.disksLie),
      transport: new MemoryTransport(this.network, machine.name),
      clock,
      random: this.simulation.random.fork(`${machine.name} life ${machine.lives}`),
      logger: this.#logger(machine.name, {}),
      halt,
      codecs: inlineZlib,
      observeStage: () => undefined,
      version: 'sim',
    });
    machine.process = { node, clock };
    return node.start();
  }

  #config(id: number): NodeConfig {
    const voters = this.#voters.map((voter) => ({ nodeId: voter, peerAddress: address(voter, 1) }));
    return loadConfig({
      file: {
        name: `node${id}`,
        text: JSON.stringify({
          nodeId: id,
          dataDirectory: '/data',
          profile: 'tiny',
          security: { insecure: true },
          cluster: { voters },
          listeners: {
            client: [{ name: 'client', protocol: 'grpc', bind: address(id, 0) }],
            peer: { bind: address(id, 1) },
            admin: { bind: address(id, 2) },
          },
          ...this.#settingsOf(id),
        }),
      },
    });
  }

  #logger(node: string, bound: LogFields): Logger {
    const write =
      (level: string) =>
      (phrase: string, fields: LogFields = {}): void => {
        if (level === 'debug') return;
        this.log.push({ atMs: this.simulation.nowMs, node, level, phrase, fields: { ...bound, ...fields } });
      };
    return {
      debug: write('debug'),
      info: write('info'),
      warn: write('warn'),
      error: write('error'),
      with: (fields) => this.#logger(node, { ...bound, ...fields }),
    };
  }
}
