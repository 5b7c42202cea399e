/**
 * A cluster is born once (design §3): whatever happens while it is, and to whichever disks later, all directories of a run
 * belong to one. Told of every line of every node; owned by the run of a seed.
 */
import type { LogLine } from './sim-cluster.ts';
import { Violation } from './violation.ts';

const phrases: ReadonlySet<string> = new Set(['cluster born', 'joined cluster as an observer']);

export class OneCluster {
  /** What is wrong, once it is. For the run to throw between two events: who says a line would catch it. */
  violation: Violation | undefined;
  #first: { readonly clusterId: unknown; readonly node: string } | undefined;

  onLine({ phrase, fields, node }: LogLine): void {
    if (!phrases.has(phrase)) return;
    const { clusterId } = fields;
    const first = (this.#first ??= { clusterId, node });
    if (first.clusterId === clusterId) return;
    this.violation ??= new Violation('born-once', 'two clusters were born', { first, second: { clusterId, node } });
  }
}
