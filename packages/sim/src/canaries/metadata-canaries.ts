/** Bugs that others had in their controllers, planted in ours. See `canary`. */
import type { Canary } from './canary.ts';

export const metadataCanaries: readonly Canary[] = [
  {
    name: 'answer-before-commit',
    source: 'reliability §2.0: the controller answers when a change is proposed',
    edits: [
      {
        file: 'packages/controller/src/decisions.ts',
        find: 'this.#proposed = { waiting, index: proposal.firstIndex, term: proposal.term, value };',
        replace:
          'waiting.resolve(value);\n    this.#proposed = { waiting, index: proposal.firstIndex, term: proposal.term, value };',
      },
    ],
  },
  {
    name: 'answer-without-confirmation',
    source: 'etcd 3.4.3 (Jepsen): a leader that was replaced answers from its own memory',
    edits: [
      {
        file: 'packages/controller/src/decisions.ts',
        find: "this.#reads.wait({ confirmed, failed: () => reject(new SluiceError('NOT_CONTROLLER')) });",
        replace: 'confirmed();',
      },
    ],
  },
  {
    name: 'broker-epoch-unchecked',
    source: 'reliability D12: a request of a life of the broker that is over is obeyed',
    edits: [
      {
        file: 'packages/metadata/src/nodes.ts',
        find: '  if (node.brokerEpoch !== brokerEpoch) {\n',
        replace: '  if (node.nodeId !== nodeId) {\n',
      },
    ],
  },
  {
    name: 'doubt-ignored',
    source: 'S5, P9: a directory that may have lost votes goes on voting',
    edits: [
      {
        file: 'packages/controller/src/controller-node.ts',
        find: '!identity.votesRevoked && !store.doubtful',
        replace: 'true',
      },
    ],
  },
  {
    name: 'fenced-leader',
    source: 'KAFKA-19522: a fenced replica is elected',
    edits: [
      {
        file: 'packages/metadata/src/election.ts',
        find: 'replicas.find((id) => elr.includes(id) && isElectable(id))',
        replace: 'replicas.find((id) => elr.includes(id))',
      },
    ],
  },
  {
    name: 'decided-before-applied',
    source: 'ADR 0006: a decision is made on an image that lacks the one before it',
    edits: [
      {
        file: 'packages/controller/src/decisions.ts',
        find: 'while (this.#leads && this.#proposed === undefined) {',
        replace: 'while (this.#leads) {',
      },
    ],
  },
  {
    name: 'leads-before-own-entry',
    source: 'Q1: a new leader decides before it has applied what its predecessors had proposed',
    edits: [
      {
        file: 'packages/controller/src/controller-node.ts',
        find: "    if (role !== 'leader') {\n      if (this.#sessions",
        replace:
          "    const raft = this.#runner?.raft;\n    if (role === 'leader' && raft !== undefined && !this.#decisions.leads) this.#lead(raft);\n" +
          "    if (role !== 'leader') {\n      if (this.#sessions",
      },
    ],
  },
  {
    name: 'image-encoded-late',
    source: 'pitfall 22 (P8): a snapshot says one index and holds the state of a later one',
    edits: [
      {
        file: 'packages/controller/src/raft-snapshots.ts',
        find: '    await store.saveSnapshot(storedSnapshot(snapshot));\n',
        replace:
          '    await new Promise((resolve) => clock.setTimer(20, () => resolve(undefined)));\n' +
          '    const late = encodeImage(this.#options.image);\n' +
          '    new DataView(late.buffer, late.byteOffset).setBigUint64(1, BigInt(snapshot.index));\n' +
          '    const isOwn = snapshot.index <= this.#options.image.appliedIndex;\n' +
          '    await store.saveSnapshot(storedSnapshot(isOwn ? { ...snapshot, bytes: late } : snapshot));\n',
      },
    ],
  },
  {
    name: 'snapshot-forgets-fenced-nodes',
    source: 'P8: what a snapshot leaves out is not there after a restart',
    edits: [
      {
        file: 'packages/metadata/src/image-codec.ts',
        find: '    writer.u32(image.nodes.size);\n    const nodes = [...image.nodes.values()].toSorted((a, b) => a.nodeId - b.nodeId);\n',
        replace:
          "    const up = [...image.nodes.values()].filter(({ state }) => state !== 'fenced');\n" +
          '    const nodes = up.toSorted((a, b) => a.nodeId - b.nodeId);\n    writer.u32(nodes.length);\n',
      },
    ],
  },
];
