/**
 * The controller's one entry: `decide` reads the image and a request and returns the records to commit and the answer
 * to give then. It changes nothing and never throws on a request.
 *
 * A decision is valid only on the image it was made on: its records must be replayed, on that image or on a copy that
 * runs ahead of the commit, before the next request is decided.
 */
import { unreachable } from '@sluice/base';
import { decideAlterPartitions } from './alter-partitions.ts';
import type { MetadataImage } from './image.ts';
import { failed } from './metadata-error.ts';
import { decideReportDamage } from './damage.ts';
import { decideDrainNode } from './draining.ts';
import { decideFenceEarlierLife, decideFenceNodes } from './fencing.ts';
import { decideRegisterNode, decideUnfenceNode } from './nodes.ts';
import { decideElectPreferred } from './preferred.ts';
import { decideRecoverPartition } from './recovery.ts';
import { decideAllocateProducerIds } from './producer-ids.ts';
import { featureLevelMax } from './records.ts';
import type { Decision, DecisionFor, InitializeRequest, MetadataRequest, ResponseValues } from './requests.ts';
import { decideStallNode } from './stalls.ts';
import { decideCreateTopic, decideDeleteTopic } from './topics.ts';

/** Errors of every request but `initialize`: `NOT_CONTROLLER` while the cluster is not born. */
export function decide<Request extends MetadataRequest>(image: MetadataImage, request: Request): DecisionFor<Request>;
export function decide(image: MetadataImage, request: MetadataRequest): Decision<ResponseValues[keyof ResponseValues]> {
  if (image.clusterId === null && request.type !== 'initialize') {
    return { records: [], response: failed('NOT_CONTROLLER', 'the cluster is not born yet; ask again shortly') };
  }
  switch (request.type) {
    case 'initialize':
      return decideInitialize(image, request);
    case 'registerNode':
      return decideRegisterNode(image, request);
    case 'unfenceNode':
      return decideUnfenceNode(image, request);
    case 'fenceEarlierLife':
      return decideFenceEarlierLife(image, request);
    case 'fenceNodes':
      return decideFenceNodes(image, request);
    case 'drainNode':
      return decideDrainNode(image, request);
    case 'stallNode':
      return decideStallNode(image, request);
    case 'createTopic':
      return decideCreateTopic(image, request);
    case 'deleteTopic':
      return decideDeleteTopic(image, request);
    case 'alterPartitions':
      return decideAlterPartitions(image, request);
    case 'reportDamage':
      return decideReportDamage(image, request);
    case 'allocateProducerIds':
      return decideAllocateProducerIds(image, request);
    case 'electPreferred':
      return decideElectPreferred(image, request);
    case 'recoverPartition':
      return decideRecoverPartition(image, request);
    default:
      return unreachable(request);
  }
}

function decideInitialize(image: MetadataImage, request: InitializeRequest): DecisionFor<InitializeRequest> {
  const { clusterId, level } = request;
  if (image.clusterId !== null && image.clusterId !== clusterId) {
    const message = `this log belongs to cluster ${image.clusterId}, not to ${clusterId}`;
    return { records: [], response: failed('WRONG_CLUSTER', message, { clusterId: image.clusterId }) };
  }
  if (!Number.isInteger(level) || level < 1 || level > featureLevelMax) {
    const message = `this build knows the feature levels 1 to ${featureLevelMax}, not ${level}`;
    return { records: [], response: failed('UNSUPPORTED_VERSION', message, { level }) };
  }
  const response = { ok: true, value: { clusterId } } as const;
  if (image.clusterId !== null) return { records: [], response };
  return { records: [{ type: 'featureLevel', version: 1, level, clusterId }], response };
}
