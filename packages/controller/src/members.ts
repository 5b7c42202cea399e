/** Raft members are directories, not nodes: a wiped disk under an old node id is another member (P9). */
import { directoryId, invariant, nodeId } from '@sluice/base';
import type { DirectoryId, NodeId } from '@sluice/base';
import { memberId } from '@sluice/raft';
import type { MemberId } from '@sluice/raft';

export interface Member {
  readonly nodeId: NodeId;
  readonly directoryId: DirectoryId;
}

export const memberOf = ({ nodeId: node, directoryId: directory }: Member): MemberId =>
  memberId(`${node}-${directory}`);

export function parseMember(member: MemberId): Member {
  const [node, directory] = member.split('-');
  invariant(directory !== undefined, 'a member id is node id and directory id', { member });
  return { nodeId: nodeId(Number(node)), directoryId: directoryId(directory) };
}
