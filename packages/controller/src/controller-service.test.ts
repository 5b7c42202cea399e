/** Who may ask the controller: every call between nodes says which cluster it is meant for, and no other is obeyed. */
import { brokerEpoch, clusterId, directoryId, nodeId, SeededRandom, silentLogger } from '@sluice/base';
import { MetadataImage } from '@sluice/metadata';
import {
  defaultLimits,
  Dispatcher,
  ManualClock,
  MemoryNetwork,
  MemoryTransport,
  methods,
  RpcClient,
} from '@sluice/wire';
import type { Method } from '@sluice/wire';
import type { SluiceError } from '@sluice/base';
import { expect, test } from 'vitest';
import { ControllerService } from './controller-service.ts';
import { Decisions } from './decisions.ts';
import { VoterChanges } from './voter-changes.ts';

const address = '10.0.0.9:7651';
const ours = clusterId('c'.repeat(32));
const caller = {
  clusterId: ours as string,
  nodeId: 1,
  directoryId: '1'.repeat(32),
  incarnation: '1'.repeat(32),
  protocolVersion: 1,
  brokerEpoch: 0,
};

/** One that leads nothing: what gets past the check is refused with NOT_CONTROLLER, so nothing here is obeyed. */
async function served(): Promise<{ readonly clock: ManualClock; readonly rpc: RpcClient }> {
  const clock = new ManualClock();
  const network = new MemoryNetwork({ clock });
  const image = new MetadataImage();
  const decisions = new Decisions({ image, propose: () => undefined, read: () => undefined });
  const voterChanges = new VoterChanges({
    raft: () => undefined,
    change: () => undefined,
    announced: () => undefined,
    addressesOf: () => [],
    nowMs: () => 0,
    contactMsMax: 2000,
  });
  const service = new ControllerService({
    self: {
      nodeId: nodeId(9),
      directoryId: directoryId('9'.repeat(32)),
      incarnation: '9'.repeat(32),
      clusterId: ours,
      brokerEpoch: brokerEpoch(0),
    },
    image,
    decisions,
    random: new SeededRandom(1),
    logger: silentLogger,
    sessions: () => undefined,
    voterChanges,
  });
  const logger = silentLogger;
  const peers = new Dispatcher({
    face: 'peer',
    listener: 'peer',
    limits: defaultLimits.peer,
    logger,
    clock,
    authorize: () => true,
  });
  service.serve(peers);
  await new MemoryTransport(network, 'controller').listen(address, peers.accept);
  return { clock, rpc: new RpcClient(new MemoryTransport(network, 'node')) };
}

const request = {
  nodeId: 2,
  directoryId: '',
  name: 'orders',
  partitions: 1,
  replication: 1,
  config: {},
  partitionsMax: 1,
};

async function refusal(method: Method<object, unknown>, identity: object | null): Promise<Partial<SluiceError>> {
  const { clock, rpc } = await served();
  let refused: Partial<SluiceError> | undefined;
  const said = { identity, request };
  if (method.kind === 'unary') {
    rpc.unary(method, address, said, { timeoutMs: 1000 }).then(
      () => {
        refused = { code: 'INTERNAL', definite: false };
      },
      (error: SluiceError) => {
        refused = error;
      },
    );
  } else {
    const stream = rpc.stream(method, address, {
      onMessage: () => undefined,
      onClose: (error) => {
        refused = error;
      },
    });
    stream.send(said);
  }
  await clock.until('it is refused', () => refused !== undefined);
  const { code, definite } = refused!;
  return { code, definite } as Partial<SluiceError>;
}

const calls = Object.entries(methods.controller) as [string, Method<object, unknown>][];

test.each(calls)('%s for another cluster is refused, with no effect', async (_name, method) => {
  const other = { ...caller, clusterId: 'd'.repeat(32) };
  expect(await refusal(method, other)).toEqual({ code: 'WRONG_CLUSTER', definite: true });
  expect(await refusal(method, null)).toEqual({ code: 'INVALID_REQUEST', definite: true });
});

test.each(['createTopic', 'deleteTopic', 'addVoter', 'removeVoter', 'electPreferred'] as const)(
  '%s for this cluster is for the leader to decide',
  async (name) => {
    expect(await refusal(methods.controller[name] as Method<object, unknown>, caller)).toMatchObject({
      code: 'NOT_CONTROLLER',
    });
  },
);
