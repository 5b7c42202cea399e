import { brokerEpoch, leaderEpoch, nodeId, partitionEpoch } from '@sluice/base';
import type { Clock } from '@sluice/base';
import type { IsrProposal } from '@sluice/partition';
import { expect, test } from 'vitest';
import type { ControllerLink } from './controller-link.ts';
import { IsrProposals } from './isr-proposals.ts';
import type { NodeIdentity } from './node-identity.ts';
import type { PartitionHost } from './partition-host.ts';

interface Asked {
  readonly partitions: readonly { readonly partition: number; readonly partitionEpoch: number }[];
}

const proposal = (epoch: number): IsrProposal => ({
  leaderEpoch: leaderEpoch(1),
  partitionEpoch: partitionEpoch(epoch),
  isr: [{ nodeId: nodeId(2), brokerEpoch: brokerEpoch(9), statedEpoch: partitionEpoch(epoch) }],
});

test('of a partition that proposes anew before its last proposal was sent, only the new one is sent', async () => {
  const asked: Asked[] = [];
  const answers: (() => void)[] = [];
  const link: Pick<ControllerLink, 'epoch' | 'call'> = {
    epoch: brokerEpoch(9),
    call: (_method, request) => {
      const { partitions } = request as unknown as Asked;
      asked.push({ partitions });
      const applied = { partitions: partitions.map((each) => ({ ...each, error: null, isr: [2] })) };
      return new Promise((resolve) => void answers.push(() => resolve(applied as never)));
    },
  };
  const clock = { defer: queueMicrotask, monotonicMs: () => 5 } as unknown as Clock;
  const identity = { nodeId: nodeId(2) } as unknown as NodeIdentity;
  const proposals = new IsrProposals(identity, link as ControllerLink, clock);
  const results: unknown[] = [];
  const hostOf = (partition: number): PartitionHost =>
    ({
      id: { topicId: 'ab'.repeat(16), partition, kind: 0 },
      step: (event: { readonly partitionEpoch: number }) => void results.push([partition, event.partitionEpoch]),
    }) as unknown as PartitionHost;
  const [other, host] = [hostOf(0), hostOf(1)];
  const answered = async (): Promise<void> => {
    await Promise.resolve();
    answers.shift()?.();
    for (let turn = 0; turn < 10; turn += 1) await Promise.resolve();
  };

  proposals.propose(other, proposal(7));
  await Promise.resolve();
  proposals.propose(host, proposal(2));
  // Metadata came meanwhile: the controller refuses a request with both, and says so of the later one.
  proposals.propose(host, proposal(3));
  await answered();
  await answered();
  expect(asked.map(({ partitions }) => partitions.map((each) => [each.partition, each.partitionEpoch]))).toEqual([
    [[0, 7]],
    [[1, 3]],
  ]);
  expect(results).toEqual([
    [0, 7],
    [1, 3],
  ]);
});
