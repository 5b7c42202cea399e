/** Births of three real directories over a network and disks whose order a seed decides. */
import { nodeId, SeededRandom, silentLogger } from '@sluice/base';
import type { Random } from '@sluice/base';
import { DataDirectory, IdentityKeeper, IdentityStore, MemoryDisk } from '@sluice/storage';
import { defaultLimits, Dispatcher, MemoryNetwork, MemoryTransport, methods, RpcClient } from '@sluice/wire';
import type { BirthCertificate, Identity, PeerSelf } from '@sluice/wire';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { BirthProcess } from './birth-process.ts';
import type { ConfiguredVoter } from './birth-process.ts';
import { ManualClock } from '@sluice/wire';

const address = (id: number): string => `10.0.0.${id}:7651`;
const configured = [1, 2, 3].map((id) => ({ nodeId: nodeId(id), peerAddress: address(id) }));

interface Machine {
  readonly id: number;
  disk: MemoryDisk;
  process: { readonly birth: BirthProcess; readonly keeper: IdentityKeeper } | undefined;
  lives: number;
  /** Directories that this machine ever had; the last is the one that lives. */
  readonly directories: string[];
  readonly said: string[];
  configured: readonly ConfiguredVoter[];
}

class Nursery {
  readonly clock = new ManualClock();
  readonly halts: Error[] = [];
  readonly machines: readonly Machine[];
  readonly network: MemoryNetwork;
  readonly #random: Random;
  /** By directory: the cluster that it was born into as a voter. */
  readonly born = new Map<string, string>();
  readonly violations: string[] = [];

  constructor(seed: number, network: 'quick' | 'uneven' = 'quick') {
    const random = new SeededRandom(seed);
    this.#random = random.fork('processes');
    const delays = random.fork('delays');
    this.network = new MemoryNetwork({
      clock: this.clock,
      // Of an uneven one some messages are so late that their sender has given up long ago.
      schedule: (_link, deliver) => {
        this.#step();
        const isLate = network === 'uneven' && delays.below(8) === 0;
        this.clock.setTimer(delays.below(isLate ? 2_500 : 20), deliver);
      },
    });
    const disk = (): MemoryDisk =>
      new MemoryDisk({
        complete: (run) => {
          this.#step();
          this.clock.setTimer(delays.below(60), run);
        },
      });
    this.machines = [1, 2, 3].map((id) => ({
      id,
      disk: disk(),
      process: undefined,
      lives: 0,
      directories: [],
      said: [],
      configured,
    }));
    this.#newDisk = disk;
  }

  readonly #newDisk: () => MemoryDisk;
  /** Messages sent and disk operations made so far. */
  steps = 0;
  onStep: (step: number) => void = () => undefined;

  #step(): void {
    this.steps += 1;
    this.onStep(this.steps);
  }

  async start(machine: Machine, at = address(machine.id)): Promise<void> {
    machine.lives += 1;
    const life = `${machine.id} ${machine.lives}`;
    const store = new IdentityStore(await this.settled(DataDirectory.open(machine.disk, '/data')));
    const node = nodeId(machine.id);
    const found = await this.settled(store.load(node));
    const identity = found ?? (await this.settled(store.create(node, this.#random.fork(life))));
    const keeper = new IdentityKeeper(store, identity);
    if (!machine.directories.includes(identity.directoryId)) machine.directories.push(identity.directoryId);
    const incarnation = this.#random.fork(`incarnation ${life}`).identity();
    const self: PeerSelf = {
      nodeId: node,
      incarnation,
      get directoryId() {
        return keeper.current.directoryId;
      },
      get clusterId() {
        return keeper.current.clusterId;
      },
      get brokerEpoch() {
        return keeper.current.brokerEpoch;
      },
    };
    const transport = new MemoryTransport(this.network, `node${machine.id}`);
    const birth = new BirthProcess({
      self,
      keeper,
      configured: machine.configured,
      rpc: new RpcClient(transport),
      clock: this.clock,
      random: this.#random.fork(`birth ${life}`),
      logger: {
        ...silentLogger,
        info: (phrase) => void machine.said.push(phrase),
        error: (phrase) => void machine.said.push(phrase),
      },
      halt: { halt: (reason) => void this.halts.push(reason) },
      voters: () => [],
    });
    const dispatcher = this.dispatcher();
    birth.serve(dispatcher);
    await transport.listen(at, dispatcher.accept);
    machine.process = { birth, keeper };
    void birth.run().then(() => this.check());
  }

  dispatcher(): Dispatcher {
    return new Dispatcher({
      face: 'peer',
      listener: 'peer',
      limits: defaultLimits.peer,
      logger: silentLogger,
      clock: this.clock,
      authorize: () => true,
    });
  }

  /** With `wipe` the disk is a new one; without, only what was synced is left. */
  stop(machine: Machine, wipe: boolean): void {
    machine.process?.birth.stop();
    machine.process = undefined;
    this.network.crash(`node${machine.id}`);
    if (wipe) machine.disk = this.#newDisk();
    else machine.disk.crash({ keep: 'nothing' });
  }

  /** Of the directories that live, those that were born are voters of one cluster, and only as what they are. */
  check(): void {
    const living = this.machines.flatMap(({ process }) => process?.keeper.current ?? []);
    const clusters = new Set(living.flatMap((identity) => identity.clusterId ?? []));
    if (clusters.size > 1) this.violations.push(`two clusters live: ${[...clusters].join(' ')}`);
    for (const { directoryId, clusterId, voters } of living) {
      if (clusterId === null || voters?.some((voter) => voter.directoryId === directoryId) !== true) continue;
      const before = this.born.get(directoryId);
      if (before !== undefined && before !== clusterId) this.violations.push(`${directoryId} was born twice`);
      this.born.set(directoryId, clusterId);
    }
  }

  async settled<T>(promise: Promise<T>): Promise<T> {
    let over = false;
    const watched = promise.finally(() => {
      over = true;
    });
    await this.clock.until('a disk operation', () => over);
    return watched;
  }
}

test('three empty directories give birth to one cluster, all of them voters', async () => {
  const nursery = new Nursery(7);
  for (const machine of nursery.machines) await nursery.start(machine);
  const ids = (): (string | null | undefined)[] =>
    nursery.machines.map(({ process }) => process?.keeper.current.clusterId);
  await nursery.clock.until('all are born', () => ids().every((id) => typeof id === 'string'));
  expect(new Set(ids()).size).toBe(1);
  expect(nursery.born.size).toBe(3);
  expect(nursery.violations).toEqual([]);
});

test('a wiped directory joins the cluster that it finds, and is no voter', async () => {
  const nursery = new Nursery(8);
  for (const machine of nursery.machines) await nursery.start(machine);
  await nursery.clock.until('all are born', () => nursery.born.size === 3);
  const third = nursery.machines[2]!;
  nursery.stop(third, true);
  await nursery.start(third);
  await nursery.clock.until('it has joined', () => typeof third.process?.keeper.current.clusterId === 'string');
  const { directoryId, voters } = third.process!.keeper.current;
  expect(voters?.map((voter) => voter.directoryId)).not.toContain(directoryId);
  expect(voters).toHaveLength(3);
  expect(nursery.violations).toEqual([]);
});

const action = fc.record({
  at: fc.subarray([0, 1, 2] as const, { minLength: 1 }),
  what: fc.constantFrom<'restart' | 'wipe'>('restart', 'restart', 'wipe'),
  afterMs: fc.integer({ min: 1, max: 900 }),
});

test('whatever is wiped and restarted when: never two clusters among those that live, and in the end all are in one', async () => {
  const property = fc.asyncProperty(fc.nat(), fc.array(action, { maxLength: 8 }), async (seed, actions) => {
    const nursery = new Nursery(seed, 'uneven');
    for (const machine of nursery.machines) await nursery.start(machine);
    for (const { at, what, afterMs } of actions) {
      await nursery.clock.pass(afterMs);
      nursery.check();
      const machines = at.map((index) => nursery.machines[index]!);
      for (const machine of machines) nursery.stop(machine, what === 'wipe');
      for (const machine of machines) await nursery.start(machine);
      nursery.check();
    }
    const left = (): boolean =>
      nursery.machines.every(({ process }) => typeof process?.keeper.current.clusterId === 'string');
    await nursery.clock.until('everybody belongs to a cluster', left, 60_000);
    nursery.check();
    expect(nursery.violations).toEqual([]);
    expect(nursery.halts).toEqual([]);
  });
  await fc.assert(property, { numRuns: 60 });
}, 60_000);

/** Every subset of the machines that is not empty. */
const subsets = [[0], [1], [2], [0, 1], [0, 2], [1, 2], [0, 1, 2]] as const;

test('a birth interrupted at every step, by a crash of any of them, with or without their disks: one cluster', async () => {
  // Ends when the birth is over before the step comes.
  for (let step = 1, wasOver = false; !wasOver; step += 1) {
    const what = step % 2 === 0 ? 'restart' : 'wipe';
    const at = subsets[step % subsets.length] ?? subsets[0];
    const nursery = new Nursery(20);
    let due = false;
    nursery.onStep = (now) => {
      due ||= now === step;
    };
    for (const machine of nursery.machines) await nursery.start(machine);
    const isBorn = (): boolean =>
      nursery.machines.every(({ process }) => typeof process?.keeper.current.clusterId === 'string');
    await nursery.clock.until('the step, or the birth', () => due || isBorn(), 60_000);
    wasOver = !due;
    nursery.check();
    const victims = at.map((index) => nursery.machines[index]!);
    for (const machine of victims) nursery.stop(machine, what === 'wipe');
    for (const machine of victims) await nursery.start(machine);
    await nursery.clock.until('everybody belongs to a cluster', isBorn, 60_000);
    nursery.check();
    expect([step, what, at, nursery.violations, nursery.halts]).toEqual([step, what, at, [], []]);
  }
}, 60_000);

test('a majority is wiped while the one that is left is down: nobody is born anew, however long it takes', async () => {
  const nursery = new Nursery(11);
  for (const machine of nursery.machines) await nursery.start(machine);
  await nursery.clock.until('all are born', () => nursery.born.size === 3);
  const [first, second, third] = nursery.machines;
  const { clusterId: before } = third!.process!.keeper.current;
  nursery.stop(third!, false);
  for (const machine of [first!, second!]) {
    nursery.stop(machine, true);
    await nursery.start(machine);
  }
  await nursery.clock.pass(30_000);
  expect([first, second].map((machine) => machine!.process!.keeper.current.clusterId)).toEqual([null, null]);
  await nursery.start(third!);
  const ids = (): unknown[] => nursery.machines.map(({ process }) => process?.keeper.current.clusterId);
  await nursery.clock.until('they have joined', () => ids().every((id) => id === before));
  nursery.check();
  expect([nursery.born.size, nursery.violations]).toEqual([3, []]);
});

test('configurations that name different voters bear nothing, and each says with whom it differs', async () => {
  const nursery = new Nursery(12);
  const [, , third] = nursery.machines;
  third!.configured = configured.slice(1);
  for (const machine of nursery.machines) await nursery.start(machine);
  await nursery.clock.pass(5_000);
  expect(nursery.machines.map(({ process }) => process!.keeper.current.clusterId)).toEqual([null, null, null]);
  const differ = 'configurations name different voters; write the same cluster.voters on all nodes';
  expect(nursery.machines.map(({ said }) => said.at(-1))).toEqual([differ, differ, differ]);
  nursery.stop(third!, false);
  third!.configured = configured;
  await nursery.start(third!);
  await nursery.clock.until('all are born', () => nursery.born.size === 3, 10_000);
  expect(nursery.violations).toEqual([]);
});

test('a directory whose configuration lost voters that it has promised itself to waits for them to be named', async () => {
  const nursery = new Nursery(13);
  const [first, second, third] = nursery.machines;
  await nursery.start(second!);
  const { directoryId } = second!.process!.keeper.current;
  const voters = ['a', directoryId, 'c'].map((id, at) => ({ nodeId: at + 1, directoryId: id.padEnd(32, id) }));
  const identity: Identity = {
    clusterId: '',
    nodeId: 1,
    directoryId: voters[0]!.directoryId,
    incarnation: 'b'.repeat(32),
    protocolVersion: 1,
    brokerEpoch: 0,
  };
  const rpc = new RpcClient(new MemoryTransport(nursery.network, 'stranger'));
  const certificate = { clusterId: '1'.repeat(32), voters };
  await nursery.settled(rpc.unary(methods.birth.promise, address(2), { identity, certificate }, { timeoutMs: 5_000 }));
  expect(second!.process!.keeper.current.birth?.clusterId).toBe('1'.repeat(32));
  nursery.stop(second!, false);
  // Without node 1, which may be born by that promise.
  second!.configured = configured.slice(1);
  third!.configured = configured.slice(1);
  await nursery.start(second!);
  await nursery.start(third!);
  await nursery.clock.pass(5_000);
  expect([second, third].map((machine) => machine!.process!.keeper.current.clusterId)).toEqual([null, null]);
  expect(second!.said.at(-1)).toMatch(/^cluster.voters lacks voters/);
  for (const machine of [second!, third!]) {
    nursery.stop(machine, false);
    machine.configured = configured;
  }
  for (const machine of [first!, second!, third!]) await nursery.start(machine);
  await nursery.clock.until('all are born', () => nursery.born.size === 3, 10_000);
  expect(nursery.violations).toEqual([]);
});

test('two empty nodes with one node id: the one that answers at the address is born, the other says why it is not', async () => {
  const nursery = new Nursery(14);
  const [first, second, third] = nursery.machines;
  const twin: Machine = {
    ...first!,
    lives: 10,
    disk: new MemoryDisk({ complete: (run) => nursery.clock.defer(run) }),
    directories: [],
    said: [],
  };
  await nursery.start(first!);
  await nursery.start(twin, '10.0.0.9:7651');
  await nursery.clock.pass(500);
  await nursery.start(second!);
  await nursery.start(third!);
  await nursery.clock.until('all are born', () => nursery.born.size === 3, 10_000);
  await nursery.clock.pass(2_000);
  expect(twin.process!.keeper.current.clusterId).toBe(null);
  expect(twin.said).toContain('another process answers at the address of this node');
  expect(nursery.violations).toEqual([]);
});

test('a look at the others is void when a promise came between (V2)', async () => {
  const nursery = new Nursery(10);
  const [, second] = nursery.machines;
  await nursery.start(second!);
  const { directoryId } = second!.process!.keeper.current;
  const directories = ['a'.repeat(32), directoryId, 'c'.repeat(32), 'd'.repeat(32)];
  const certificateOf = (id: string, third: number): BirthCertificate => ({
    clusterId: id.repeat(32),
    voters: [0, 1, third].map((at, number) => ({ nodeId: number + 1, directoryId: directories[at]! })),
  });
  const identityOf = (id: number): Identity => ({
    clusterId: '',
    nodeId: id,
    directoryId: directories[id - 1]!,
    incarnation: 'b'.repeat(32),
    protocolVersion: 1,
    brokerEpoch: 0,
  });
  // Voters 1 and 3 say that they have promised the first certificate; the answer of 3 comes when the test wants it.
  const first = certificateOf('1', 2);
  const { promise: released, resolve: release } = Promise.withResolvers<void>();
  let asked = 0;
  for (const id of [1, 3]) {
    const dispatcher = nursery.dispatcher();
    dispatcher.unary(methods.birth.probe, async () => {
      if (id === 3) {
        asked += 1;
        await released;
      }
      return { identity: identityOf(id), certificate: first, configured: [1, 2, 3] };
    });
    await new MemoryTransport(nursery.network, `node${id}`).listen(address(id), dispatcher.accept);
  }
  const rpc = new RpcClient(new MemoryTransport(nursery.network, 'node1'));
  const propose = (certificate: BirthCertificate): Promise<unknown> =>
    rpc.unary(methods.birth.promise, address(2), { identity: identityOf(1), certificate }, { timeoutMs: 60_000 });
  await nursery.settled(propose(first));
  const before = asked;
  await nursery.clock.until('a round has begun', () => asked > before);
  // The promise is being written when the round ends.
  const next = certificateOf('2', 3);
  second!.disk.holdSyncs();
  const proposed = propose(next);
  await nursery.clock.pass(100);
  release();
  await nursery.clock.pass(100);
  second!.disk.releaseSyncs();
  await nursery.settled(proposed);
  await nursery.clock.pass(1_000);
  const { clusterId, birth } = second!.process!.keeper.current;
  expect([clusterId, birth?.clusterId]).toEqual([null, next.clusterId]);
});

test('a promise that is malformed is refused with a sentence, and changes nothing', async () => {
  const nursery = new Nursery(9);
  const [, second] = nursery.machines;
  await nursery.start(second!);
  const rpc = new RpcClient(new MemoryTransport(nursery.network, 'stranger'));
  const identity = {
    clusterId: '',
    nodeId: 1,
    directoryId: 'a'.repeat(32),
    incarnation: 'b'.repeat(32),
    protocolVersion: 1,
    brokerEpoch: 0,
  };
  const voter = { nodeId: 1, directoryId: 'a'.repeat(32) };
  const bad = [
    { identity, certificate: null },
    { identity, certificate: { clusterId: 'x', voters: [voter] } },
    { identity, certificate: { clusterId: 'c'.repeat(32), voters: [] } },
    { identity, certificate: { clusterId: 'c'.repeat(32), voters: [voter, voter] } },
    { identity, certificate: { clusterId: 'c'.repeat(32), voters: [{ ...voter, nodeId: 2 ** 31 }] } },
    { identity: { ...identity, nodeId: 2 ** 32 - 1 }, certificate: { clusterId: 'c'.repeat(32), voters: [voter] } },
  ];
  const codes: string[] = [];
  for (const request of bad) {
    rpc.unary(methods.birth.promise, address(2), request, { timeoutMs: 5_000 }).then(
      () => codes.push('taken'),
      (error: { code: string }) => codes.push(error.code),
    );
  }
  await nursery.clock.until('all are answered', () => codes.length === bad.length);
  expect(new Set(codes)).toEqual(new Set(['INVALID_REQUEST']));
  expect(second!.process!.keeper.current.birth).toBe(null);
});
