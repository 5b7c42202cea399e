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
    name: 'doubt-ignored',
    source: 'S5, P9: a directory that may have lost votes goes on voting',
    edits: [
      {
        file: 'packages/controller/src/controller-node.ts',
        find: '!identity.votesRevoked && !store.doubtful && !lostLog',
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
        find: "replicas.find((id) => electable(id) && phaseOf(id) === 'up')",
        replace: 'replicas.find((id) => electable(id))',
      },
    ],
  },
];
