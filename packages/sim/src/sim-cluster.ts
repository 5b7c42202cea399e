/**
 * A whole cluster in one thread: the nodes that `server` assembles for real, over a simulated clock, network and disk.
 * A node's disk outlives its processes; everything else of a process ends with `kill`.
 */
import { crc32 } from 'node:zlib';
import type { Halt, LogFields, Logger, Random } from '@sluice/base';
import { assembleNode, loadConfig } from '@sluice/server';
import type { Node, NodeConfig, NodeInspection } from '@sluice/server';
import { type CrashOptions, MemoryDisk } from '@sluice/storage';
import { inlineZlib, MemoryNetwork, MemoryTransport, messageBytes, readContract } from '@sluice/wire';
import { type Directory, plantDirectory } from './directory-files.ts';
import { DiskConditions } from './faults/disk-conditions.ts';
import { NetworkConditions } from './faults/network-conditions.ts';
import { withRaftFaults } from './faults/raft-messages.ts';
import { ofProcess } from './process-disk.ts';
import { MachineTime, ProcessGate, SimClock } from './sim-clock.ts';
import { Simulation } from './simulation.ts';
import { lyingAboutLogSyncs } from './unsynced-disk.ts';
import { type GivenVote, observingVotes } from './vote-observer.ts';

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
  readonly gate: ProcessGate;
}

interface Machine {
  readonly id: number;
  readonly name: string;
  /** Last part of its addresses. */
  readonly host: number;
  /** Of the peer address that it says it has. */
  advertised: number;
  readonly time: MachineTime;
  readonly diskConditions: DiskConditions;
  disk: MemoryDisk;
  process: Process | undefined;
  lives: number;
}

export interface Loss {
  /** Default: a power cut of the disk that keeps nothing unsynced. `kept`: the machine goes on, the process alone ends. */
  readonly disk?: CrashOptions | 'kept';
  /** The other ends are not told, as of a machine that lost power. */
  readonly silent?: boolean;
}

/** Room that no test fills by chance. */
export const diskBytes = 1024 ** 4;
const portBase = 7650;
const address = (host: number, port: number): string => `10.0.0.${host}:${portBase + port}`;
/** Added to a node's id for the host of its twin. */
const twinHosts = 100;

export const nodeAddress = (id: number, listener: 'client' | 'peer'): string =>
  address(id, listener === 'client' ? 0 : 1);

export class SimCluster {
  readonly simulation: Simulation;
  /** True: the disks say that they synced the node log, and did not. */
  disksLie = false;
  readonly network: MemoryNetwork;
  readonly log: LogLine[] = [];
  /** Nodes that stopped themselves, with why. */
  readonly halted: { readonly node: string; readonly reason: Error }[] = [];
  /** Power cuts that found something unsynced on the disk. */
  unsyncedLosses = 0;
  readonly conditions: NetworkConditions;
  /** What nodes say; of level `debug` what their Raft members decide, which `log` has not. */
  onLine: ((line: LogLine) => void) | undefined;
  /** A vote leaves node `id`. */
  onVote: (id: number, vote: GivenVote) => void = () => undefined;
  readonly #machines: readonly Machine[];
  /** By the node whose directory they have a copy of. */
  readonly #twins = new Map<number, Machine>();
  readonly #byName = new Map<string, Machine>();
  /** Of events, by who sends and who receives. */
  readonly #labels = new Map<string, Map<string, string>>();
  /** Nodes that may have changed since they were last asked for. */
  #touched = new Set<number>();
  #taken = new Set<number>();
  readonly #settingsOf: (id: number) => Settings;
  readonly #voters: readonly number[];

  /** `settings`: beside what every node of it is given, as a configuration file has it. */
  constructor(
    seed: number,
    nodes = 3,
    settings: Settings | ((id: number) => Settings) = {},
    voters?: readonly number[],
  ) {
    readContract();
    this.#settingsOf = typeof settings === 'function' ? settings : () => settings;
    this.#voters = voters ?? Array.from({ length: nodes }, (_, at) => at + 1);
    this.simulation = new Simulation(seed);
    const { simulation } = this;
    this.conditions = new NetworkConditions(simulation.random.fork('network'));
    this.network = new MemoryNetwork({
      clock: new SimClock(simulation, 'network'),
      schedule: (link, deliver, bytes) => {
        const { from, to } = link;
        for (const chunk of bytes) simulation.note(crc32(chunk));
        const delayUs = this.conditions.delayUs(link, simulation.nowMs, messageBytes(bytes));
        simulation.schedule(delayUs, this.#labelOf(from, to), () => {
          const gate = link.kernel === true ? undefined : this.#machineNamed(to)?.process?.gate;
          if (gate === undefined) deliver();
          else gate.passOrAtDeath(deliver, from);
        });
      },
    });
    this.#machines = Array.from({ length: nodes }, (_, at) => this.#machine(at + 1));
    for (const machine of this.#machines) this.#byName.set(machine.name, machine);
  }

  get bootstrap(): readonly string[] {
    return this.#machines.map(({ id }) => address(id, 0));
  }

  get ids(): readonly number[] {
    return this.#machines.map(({ id }) => id);
  }

  get voterIds(): readonly number[] {
    return this.#voters;
  }

  async start(...ids: readonly number[]): Promise<void> {
    const chosen = ids.length === 0 ? this.#machines : ids.map((id) => this.#at(id));
    const starting = chosen.map((machine) => this.#startProcess(machine));
    await this.simulation.settle('nodes start', 30_000, Promise.all(starting));
  }

  /** Resolves when it runs, false when it could not: its process is gone again then. */
  boot(id: number): Promise<boolean> {
    return this.#boot(this.#at(id));
  }

  async #boot(machine: Machine): Promise<boolean> {
    if (machine.process !== undefined) return true;
    const life = machine.lives + 1;
    try {
      await this.#startProcess(machine);
      return true;
    } catch (error) {
      if (machine.lives === life && machine.process !== undefined) {
        this.halted.push({ node: machine.name, reason: error as Error });
        this.#lose(machine, { disk: 'kept' });
      }
      return false;
    }
  }

  /** SIGKILL and loss of power at once: the process ends, and with it whatever its disk had not synced. */
  kill(id: number, keep: CrashOptions['keep'] = 'nothing', tearLastWrite?: Random): void {
    this.lose(id, { disk: tearLastWrite === undefined ? { keep } : { keep, tearLastWrite } });
  }

  lose(id: number, loss: Loss): void {
    this.#lose(this.#at(id), loss);
  }

  #lose(machine: Machine, { disk = { keep: 'nothing' }, silent = false }: Loss): void {
    const { process } = machine;
    machine.process = undefined;
    process?.gate.die();
    if (silent) this.network.losePower(machine.name);
    else this.network.crash(machine.name);
    if (disk === 'kept') machine.disk.killProcess();
    else {
      if (disk.keep !== 'everything' && machine.disk.unsyncedChanges > 0) this.unsyncedLosses += 1;
      machine.disk.crash(disk);
    }
    machine.diskConditions.clear();
  }

  /**
   * Starts a node on a copy of another one's directory, on a machine of its own, which answers at its own addresses alone,
   * and says so, or says what the original's configuration does. Resolves as `boot`. It is none of `ids`.
   */
  bootTwin(id: number, files: Directory, says: 'its-address' | 'the-original'): Promise<boolean> {
    const name = `${this.name(id)}-twin`;
    const host = twinHosts + id;
    const twin = this.#twins.get(id) ?? this.#machine(id, { name, host });
    this.#twins.set(id, twin);
    twin.advertised = says === 'its-address' ? host : id;
    this.#byName.set(name, twin);
    this.#lose(twin, { disk: 'kept' });
    twin.disk = this.#newDisk(name, twin.diskConditions);
    plantDirectory(twin.disk, files);
    return this.#boot(twin);
  }

  /** For good: its machine is gone. */
  loseTwin(id: number): void {
    const twin = this.#twins.get(id);
    if (twin !== undefined) this.#lose(twin, {});
  }

  /** Nodes that were copied. */
  get twins(): Iterable<number> {
    return this.#twins.keys();
  }

  /** Undefined while it does not run. */
  inspectTwin(id: number): NodeInspection | undefined {
    return this.#twins.get(id)?.process?.node.inspect();
  }

  /** SIGSTOP: timers and deliveries wait. */
  pause(id: number): void {
    this.#at(id).process?.gate.pause();
  }

  resume(id: number): void {
    this.#at(id).process?.gate.resume();
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
    machine.disk = this.#newDisk(machine.name, machine.diskConditions);
  }

  isRunning(id: number): boolean {
    return this.#at(id).process !== undefined;
  }

  isPaused(id: number): boolean {
    return this.#at(id).process?.gate.paused === true;
  }

  lives(id: number): number {
    return this.#at(id).lives;
  }

  name(id: number): string {
    return this.#at(id).name;
  }

  /** Nodes of whose processes anything ran since this was last asked: what the others know is as it was. Valid until then. */
  takeTouched(): ReadonlySet<number> {
    const touched = this.#touched;
    this.#touched = this.#taken;
    this.#taken = touched;
    this.#touched.clear();
    return touched;
  }

  /** Undefined while it does not run. */
  inspect(id: number): NodeInspection | undefined {
    return this.#at(id).process?.node.inspect();
  }

  time(id: number): MachineTime {
    return this.#at(id).time;
  }

  diskConditions(id: number): DiskConditions {
    return this.#at(id).diskConditions;
  }

  node(id: number): Node {
    const { process } = this.#at(id);
    if (process === undefined) throw new Error(`node ${id} is not running`);
    this.#touched.add(id);
    return process.node;
  }

  disk(id: number): MemoryDisk {
    return this.#at(id).disk;
  }

  /** The controller leader as node `id` sees it: what `cluster status` would say there. */
  leads(id: number): boolean {
    return this.node(id).figures().sluice_node_controller_leader === 1;
  }

  /** Who leads the controller, by its own account; of two the newer one: the other is about to learn that it was replaced. */
  get leader(): number | undefined {
    const term = (id: number): number => this.inspect(id)?.raft?.term ?? 0;
    const leading = this.ids.filter((id) => this.inspect(id)?.raft?.isLeader === true);
    return leading.toSorted((one, other) => term(other) - term(one))[0];
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

  /** As the controller leader has it. */
  get leaderImage(): NodeInspection['image'] | undefined {
    const { leader } = this;
    return leader === undefined ? undefined : this.inspect(leader)?.image;
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

  #labelOf(from: string, to: string): string {
    let labels = this.#labels.get(from);
    if (labels === undefined) this.#labels.set(from, (labels = new Map<string, string>()));
    let label = labels.get(to);
    if (label === undefined) labels.set(to, (label = `${from}>${to}`));
    return label;
  }

  #machineNamed(name: string): Machine | undefined {
    return this.#byName.get(name);
  }

  #machine(id: number, { name, host } = { name: `node${id}`, host: id }): Machine {
    const diskConditions = new DiskConditions(this.simulation.random.fork(`${name} disk`));
    const time = new MachineTime(this.simulation);
    const disk = this.#newDisk(name, diskConditions);
    return { id, name, host, advertised: host, time, diskConditions, disk, process: undefined, lives: 0 };
  }

  /** A disk keeps its own time: it outlives the processes that use it. */
  #newDisk(name: string, conditions: DiskConditions): MemoryDisk {
    const clock = new SimClock(this.simulation, `${name} disk`);
    return new MemoryDisk({
      clock,
      // Every operation takes some time: this is an event of its own already.
      complete: (run) => {
        const gate = this.#machineNamed(name)?.process?.gate;
        if (gate === undefined) run();
        else gate.passOrAtDeath(run);
      },
      staleReads: false,
      delayMs: (operation) => conditions.delayMs(operation),
      faults: (operation) => conditions.faultOf(operation),
      capacityBytes: diskBytes,
    });
  }

  #startProcess(machine: Machine): Promise<void> {
    machine.lives += 1;
    this.#touched.add(machine.id);
    const gate = new ProcessGate(this.simulation, machine.name, () => this.#touched.add(machine.id));
    const clock = new SimClock(this.simulation, machine.name, { time: machine.time, gate });
    this.network.powerOn(machine.name);
    const halt: Halt = {
      halt: (reason) => {
        // One that is dead already has nothing to end.
        if (machine.process?.gate !== gate) return;
        this.halted.push({ node: machine.name, reason });
        this.#lose(machine, {});
      },
    };
    const unreliable = withRaftFaults(new MemoryTransport(this.network, machine.name, clock), this.conditions, clock);
    const node = assembleNode(this.#config(machine), {
      disk: ofProcess(
        lyingAboutLogSyncs(machine.disk, () => this.disksLie),
        () => gate.isAlive,
      ),
      transport: observingVotes(unreliable, (vote) => {
        // What a twin says is to be heard by nobody (N6).
        if (machine.host === machine.id) this.onVote(machine.id, vote);
      }),
      clock,
      random: this.simulation.random.fork(`${machine.name} life ${machine.lives}`),
      logger: this.#logger(machine.name, {}),
      halt,
      codecs: inlineZlib,
      observeStage: () => undefined,
      version: 'sim',
    });
    machine.process = { node, gate };
    return node.start();
  }

  #config({ id, name, host, advertised }: Machine): NodeConfig {
    const voters = this.#voters.map((voter) => ({ nodeId: voter, peerAddress: address(voter, 1) }));
    return loadConfig({
      file: {
        name,
        text: JSON.stringify({
          nodeId: id,
          dataDirectory: '/data',
          profile: 'tiny',
          security: { insecure: true },
          cluster: { voters },
          listeners: {
            client: [{ name: 'client', protocol: 'grpc', bind: address(host, 0) }],
            peer: { bind: address(host, 1), advertise: address(advertised, 1) },
            admin: { bind: address(host, 2) },
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
        if (level === 'debug' && (this.onLine === undefined || phrase !== 'raft event')) return;
        const line = { atMs: this.simulation.nowMs, node, level, phrase, fields: { ...bound, ...fields } };
        this.onLine?.(line);
        if (level !== 'debug') this.log.push(line);
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
