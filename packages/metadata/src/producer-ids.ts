/** Blocks of producer ids. A block whose holder crashed is lost; ids are never handed out twice. */
import { producerId } from '@sluice/base';
import type { MetadataImage } from './image.ts';
import { failed } from './metadata-error.ts';
import { liveNode } from './nodes.ts';
import type { AllocateProducerIdsRequest, DecisionFor } from './requests.ts';

export const producerIdsPerBlock = 1_000;

export function decideAllocateProducerIds(
  image: MetadataImage,
  request: AllocateProducerIdsRequest,
): DecisionFor<AllocateProducerIdsRequest> {
  const caller = liveNode(image, request.nodeId, request.brokerEpoch);
  if (!caller.ok) return { records: [], response: caller };
  const first = image.nextProducerId;
  if (first > Number.MAX_SAFE_INTEGER - producerIdsPerBlock) {
    return { records: [], response: failed('LIMIT_EXCEEDED', 'all producer ids have been handed out') };
  }
  const nextProducerId = producerId(first + producerIdsPerBlock);
  return {
    records: [{ type: 'producerIdsAllocated', version: 1, nextProducerId }],
    response: { ok: true, value: { first, count: producerIdsPerBlock } },
  };
}
