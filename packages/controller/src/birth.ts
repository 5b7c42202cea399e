/**
 * How a cluster is born, once (design §3): what an unborn directory does next, given what it knows of the others. Pure.
 *
 * V1. A directory promises itself to one certificate (cluster id and voter directories) durably, and may promise itself
 *     to a later one only while it is unborn.
 * V2. A directory counts itself born as a voter only after every voter of its certificate was seen promised to, or born
 *     under, the same certificate. Nobody votes before that.
 *     The look at the others is void when the directory promised anything meanwhile: it may have told another of a promise
 *     that it has left by now.
 *     A promise to voters that the configuration does not name is neither left nor kept: nobody could look at them.
 * V3. So while any of the voters' directories lives on, it knows the cluster id, and an empty directory that meets it
 *     joins as an observer: configuration alone never makes a voter.
 */
import type { ClusterId, DirectoryId, NodeId } from '@sluice/base';
import type { Birth, Voter } from '@sluice/storage';

/** What one configured voter answered. */
export interface BirthView {
  readonly nodeId: NodeId;
  readonly directoryId: DirectoryId;
  /** Its promise, or the certificate of its birth. */
  readonly certificate: Birth | undefined;
  readonly born: boolean;
  /** Node ids of the voters that its configuration names. */
  readonly configured: readonly NodeId[];
}

export interface BirthSituation {
  readonly self: { readonly nodeId: NodeId; readonly directoryId: DirectoryId };
  readonly promise: Birth | undefined;
  /** Node ids of the configured voters. */
  readonly configured: readonly NodeId[];
  /** Answers of the configured voters other than this node; who did not answer is missing. */
  readonly views: readonly BirthView[];
  /** A fresh id, used only by the one who proposes. */
  readonly freshClusterId: ClusterId;
}

export type BirthAction =
  /** The directory is a voter of this cluster from now on. */
  | { readonly kind: 'born'; readonly certificate: Birth }
  /** The cluster was born without this directory. */
  | { readonly kind: 'join'; readonly certificate: Birth }
  /** Promise this durably, then ask these voters to do the same. */
  | { readonly kind: 'propose'; readonly certificate: Birth; readonly ask: readonly NodeId[] }
  | { readonly kind: 'wait'; readonly missing: readonly NodeId[] }
  | { readonly kind: 'conflict'; readonly clusterIds: readonly ClusterId[] }
  /** Configurations name different voters: this node's and those of `others`, or this node's of now and of its promise. */
  | { readonly kind: 'disagree'; readonly others: readonly NodeId[] }
  | { readonly kind: 'promised-elsewhere'; readonly voters: readonly NodeId[] };

export function nextBirthAction(situation: BirthSituation): BirthAction {
  const { self, configured, views, promise } = situation;
  if (!isWithin(promise, configured)) return { kind: 'promised-elsewhere', voters: nodesOf(promise) };
  const bornViews = views.filter((view) => view.born && view.certificate !== undefined);
  const clusterIds = [...new Set(bornViews.flatMap((view) => view.certificate?.clusterId ?? []))];
  if (clusterIds.length > 1) return { kind: 'conflict', clusterIds };
  const born = bornViews[0]?.certificate;
  if (born !== undefined) return { kind: isVoter(born, self) ? 'born' : 'join', certificate: born };

  const answered = new Set<NodeId>([...views.map((view) => view.nodeId), self.nodeId]);
  const missing = configured.filter((id) => !answered.has(id));
  if (missing.length > 0 || !configured.includes(self.nodeId)) return { kind: 'wait', missing };
  const others = views.filter((view) => !sameNodes(view.configured, configured)).map((view) => view.nodeId);
  if (others.length > 0) return { kind: 'disagree', others };

  const present: readonly Voter[] = [...views, self]
    .filter((view) => configured.includes(view.nodeId))
    .map(({ nodeId, directoryId }) => ({ nodeId, directoryId }))
    .toSorted((a, b) => a.nodeId - b.nodeId);
  const lacking = views.filter((view) => !sameBirth(view.certificate, promise)).map((view) => view.nodeId);
  if (promise !== undefined && sameVoters(promise.voters, present) && lacking.length === 0) {
    return { kind: 'born', certificate: promise };
  }
  if (self.nodeId !== Math.min(...configured)) return { kind: 'wait', missing: [] };
  const certificate =
    promise !== undefined && sameVoters(promise.voters, present)
      ? promise
      : { clusterId: situation.freshClusterId, voters: present };
  const ask = views.filter((view) => !sameBirth(view.certificate, certificate)).map((view) => view.nodeId);
  return { kind: 'propose', certificate, ask };
}

/** Whether an unborn directory may promise itself to what `asker` proposes (V1), given what it has promised before. */
export const mayPromise = (
  { self, promise, configured }: Pick<BirthSituation, 'self' | 'promise' | 'configured'>,
  asker: NodeId,
  certificate: Birth,
): boolean =>
  isVoter(certificate, self) &&
  asker === Math.min(...configured) &&
  sameNodes(nodesOf(certificate), configured) &&
  isWithin(promise, configured);

export const isVoter = (certificate: Birth, self: BirthSituation['self']): boolean =>
  certificate.voters.some((voter) => voter.nodeId === self.nodeId && voter.directoryId === self.directoryId);

export const sameBirth = (one: Birth | undefined, other: Birth | undefined): boolean =>
  one !== undefined && other !== undefined && one.clusterId === other.clusterId && sameVoters(one.voters, other.voters);

const nodesOf = (birth: Birth | undefined): readonly NodeId[] => birth?.voters.map(({ nodeId }) => nodeId) ?? [];

const isWithin = (promise: Birth | undefined, configured: readonly NodeId[]): boolean =>
  nodesOf(promise).every((id) => configured.includes(id));

/** In any order, and none twice. */
const sameNodes = (one: readonly NodeId[], other: readonly NodeId[]): boolean =>
  one.length === other.length && new Set(one).size === one.length && other.every((id) => one.includes(id));

const sameVoters = (one: readonly Voter[], other: readonly Voter[]): boolean =>
  one.length === other.length &&
  one.every((voter) => other.some((o) => o.nodeId === voter.nodeId && o.directoryId === voter.directoryId));
