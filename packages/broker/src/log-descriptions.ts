/**
 * What this node holds of partitions, for the controller leader: when every in-sync replica of a partition was lost, the
 * log that reaches furthest in the newest epoch is the one to go on with (D17b).
 */
import { isIdentity, isSmallPosition, LogKind, partitionIndex, SluiceError, topicId } from '@sluice/base';
import { encodeError, identityMessage, methods, peerRefusal } from '@sluice/wire';
import type { Dispatcher, LogDescription, LogName, Partially } from '@sluice/wire';
import type { NodeIdentity } from './node-identity.ts';
import type { PartitionHosts } from './partition-hosts.ts';

const partitionsMax = 1_000;

export function serveLogDescriptions(peers: Dispatcher, identity: NodeIdentity, hosts: PartitionHosts): void {
  peers.unary(methods.replication.describeLogs, async (request) => {
    const refusal = peerRefusal(identity, request.identity);
    if (refusal !== undefined) throw refusal;
    const { partitions } = request;
    const isWhole = partitions.every((name) => isIdentity(name.topicId) && isSmallPosition(name.partition));
    if (!isWhole || partitions.length > partitionsMax) {
      throw new SluiceError('INVALID_REQUEST', {
        message: `At most ${partitionsMax} partitions are asked about, by id.`,
      });
    }
    return { identity: identityMessage(identity), logs: partitions.map((name) => descriptionOf(name, hosts)) };
  });
}

/** What a crash could take away again, or is damaged and about to be cut, is not told of: it would be counted on. */
function descriptionOf(name: LogName, hosts: PartitionHosts): Partially<LogDescription> {
  const id = { topicId: topicId(name.topicId), partition: partitionIndex(name.partition), kind: LogKind.data };
  const host = hosts.find(id);
  if (host === undefined) return { error: encodeError(new SluiceError('UNKNOWN_PARTITION')) };
  const { replica } = host;
  if (replica === undefined || host.isDamaged || replica.durableEnd < replica.logEnd) {
    return { error: encodeError(host.error('LEADER_NOT_AVAILABLE')) };
  }
  return { lastEpoch: replica.lastEpoch ?? -1, logEnd: replica.logEnd };
}
