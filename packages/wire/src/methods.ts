/** Every method of `proto/`, with the face that serves it: the one table of authorization (X4). */
import type * as admin from './messages-admin.ts';
import type * as broker from './messages-broker.ts';
import type * as peer from './messages-peer.ts';
import type { Codec } from './codec.ts';
import { fetchRequestCodec, fetchResponseCodec } from './fetch-codec.ts';
import type { Face, Method, Operation } from './method.ts';
import { produceRequestCodec, produceResponseCodec } from './produce-codec.ts';
import { methodCodec } from './proto-codec.ts';
import { replicateRequestCodec, replicateResponseCodec } from './replicate-codec.ts';

/** By hand for the streams that carry batches, from the contract for everything else. */
interface Codecs<Request, Response> {
  readonly request: Codec<Request>;
  readonly response: Codec<Response>;
}

const define =
  (face: Face, kind: 'unary' | 'stream') =>
  <Request, Response>(
    path: string,
    operation: Operation,
    codecs?: Codecs<Request, Response>,
  ): Method<Request, Response> => ({
    path,
    kind,
    face,
    operation,
    request: codecs?.request ?? methodCodec<Request>(path, 'request'),
    response: codecs?.response ?? methodCodec<Response>(path, 'response'),
  });

const clientUnary = define('client', 'unary');
const clientStream = define('client', 'stream');
const peerUnary = define('peer', 'unary');
const peerStream = define('peer', 'stream');

export const methods = {
  broker: {
    produce: clientStream<broker.ProduceRequest, broker.ProduceResponse>('/sluice.v1.Broker/Produce', 'topic:write', {
      request: produceRequestCodec,
      response: produceResponseCodec,
    }),
    fetch: clientStream<broker.FetchRequest, broker.FetchResponse>('/sluice.v1.Broker/Fetch', 'topic:read', {
      request: fetchRequestCodec,
      response: fetchResponseCodec,
    }),
    initProducer: clientUnary<broker.InitProducerRequest, broker.InitProducerResponse>(
      '/sluice.v1.Broker/InitProducer',
      'topic:write',
    ),
    listOffsets: clientUnary<broker.ListOffsetsRequest, broker.ListOffsetsResponse>(
      '/sluice.v1.Broker/ListOffsets',
      'topic:describe',
    ),
    trimPartitions: clientUnary<broker.TrimPartitionsRequest, broker.TrimPartitionsResponse>(
      '/sluice.v1.Broker/TrimPartitions',
      'topic:delete',
    ),
  },
  admin: {
    watchMetadata: clientStream<admin.WatchMetadataRequest, admin.MetadataUpdate>(
      '/sluice.v1.Admin/WatchMetadata',
      'topic:describe',
    ),
    createTopic: clientUnary<admin.CreateTopicRequest, admin.CreateTopicResponse>(
      '/sluice.v1.Admin/CreateTopic',
      'topic:create',
    ),
    deleteTopic: clientUnary<admin.DeleteTopicRequest, admin.DeleteTopicResponse>(
      '/sluice.v1.Admin/DeleteTopic',
      'topic:delete',
    ),
    describeCluster: clientUnary<admin.DescribeClusterRequest, admin.DescribeClusterResponse>(
      '/sluice.v1.Admin/DescribeCluster',
      'cluster:describe',
    ),
    addVoter: clientUnary<admin.AddVoterRequest, admin.VoterChangeResponse>(
      '/sluice.v1.Admin/AddVoter',
      'cluster:alter',
    ),
    removeVoter: clientUnary<admin.RemoveVoterRequest, admin.VoterChangeResponse>(
      '/sluice.v1.Admin/RemoveVoter',
      'cluster:alter',
    ),
    electPreferred: clientUnary<admin.ElectPreferredRequest, admin.ElectPreferredResponse>(
      '/sluice.v1.Admin/ElectPreferred',
      'cluster:alter',
    ),
  },
  birth: {
    probe: peerUnary<peer.ProbeRequest, peer.ProbeResponse>('/sluice.peer.v1.Birth/Probe', 'cluster:act'),
    promise: peerUnary<peer.PromiseRequest, peer.PromiseResponse>('/sluice.peer.v1.Birth/Promise', 'cluster:act'),
  },
  raft: {
    exchange: peerStream<peer.RaftRequest, peer.RaftResponse>('/sluice.peer.v1.Raft/Exchange', 'cluster:act'),
  },
  controller: {
    register: peerUnary<peer.RegisterRequest, peer.RegisterResponse>(
      '/sluice.peer.v1.Controller/Register',
      'cluster:act',
    ),
    heartbeat: peerStream<peer.HeartbeatRequest, peer.HeartbeatResponse>(
      '/sluice.peer.v1.Controller/Heartbeat',
      'cluster:act',
    ),
    alterPartitions: peerUnary<peer.AlterPartitionsRequest, peer.AlterPartitionsResponse>(
      '/sluice.peer.v1.Controller/AlterPartitions',
      'cluster:act',
    ),
    reportDamage: peerUnary<peer.ReportDamageRequest, peer.ReportDamageResponse>(
      '/sluice.peer.v1.Controller/ReportDamage',
      'cluster:act',
    ),
    allocateProducerIds: peerUnary<peer.AllocateProducerIdsRequest, peer.AllocateProducerIdsResponse>(
      '/sluice.peer.v1.Controller/AllocateProducerIds',
      'cluster:act',
    ),
    createTopic: peerUnary<peer.ForwardedCreateTopicRequest, admin.CreateTopicResponse>(
      '/sluice.peer.v1.Controller/CreateTopic',
      'cluster:act',
    ),
    deleteTopic: peerUnary<peer.ForwardedDeleteTopicRequest, admin.DeleteTopicResponse>(
      '/sluice.peer.v1.Controller/DeleteTopic',
      'cluster:act',
    ),
    addVoter: peerUnary<peer.ForwardedAddVoterRequest, admin.VoterChangeResponse>(
      '/sluice.peer.v1.Controller/AddVoter',
      'cluster:act',
    ),
    removeVoter: peerUnary<peer.ForwardedRemoveVoterRequest, admin.VoterChangeResponse>(
      '/sluice.peer.v1.Controller/RemoveVoter',
      'cluster:act',
    ),
    electPreferred: peerUnary<peer.ForwardedElectPreferredRequest, admin.ElectPreferredResponse>(
      '/sluice.peer.v1.Controller/ElectPreferred',
      'cluster:act',
    ),
    describeQuorum: peerUnary<peer.DescribeQuorumRequest, peer.DescribeQuorumResponse>(
      '/sluice.peer.v1.Controller/DescribeQuorum',
      'cluster:act',
    ),
  },
  replication: {
    replicate: peerStream<peer.ReplicateRequest, peer.ReplicateResponse>(
      '/sluice.peer.v1.Replication/Replicate',
      'cluster:act',
      { request: replicateRequestCodec, response: replicateResponseCodec },
    ),
    describeLogs: peerUnary<peer.DescribeLogsRequest, peer.DescribeLogsResponse>(
      '/sluice.peer.v1.Replication/DescribeLogs',
      'cluster:act',
    ),
  },
  node: {
    status: peerUnary<peer.NodeStatusRequest, peer.NodeStatusResponse>('/sluice.peer.v1.Node/Status', 'cluster:act'),
  },
} as const;

const listed: readonly Method<unknown, unknown>[] = Object.values(methods).flatMap(
  (service) => Object.values(service) as Method<unknown, unknown>[],
);

const byPath: ReadonlyMap<string, Method<unknown, unknown>> = new Map(listed.map((method) => [method.path, method]));

export const allMethods = (): readonly Method<unknown, unknown>[] => listed;

export const methodAt = (path: string): Method<unknown, unknown> | undefined => byPath.get(path);
