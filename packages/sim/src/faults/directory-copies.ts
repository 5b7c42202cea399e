/**
 * Directories that are copied: one that is put back older than it was, as a machine restored from a snapshot, and one that
 * runs twice. Owned by the fault driver.
 *
 * They happen only where the product promises to bear them (ADR 0005), and wait a while for that:
 * C1. What a directory that is put back older had promised to the controller, all other voters have: nobody needs its word.
 * C2. Neither such a directory nor a copy beside its original counts for a record: its node was fenced and has left every
 *     in-sync set, or the controller has confirmed a newer broker epoch than the one it presents.
 * C3. A copy that takes the original's place is as new as the original was.
 */
import { logIndex, nodeId } from '@sluice/base';
import type { MemberId, Raft } from '@sluice/raft';
import type { CrashOptions, MemoryDisk } from '@sluice/storage';
import { directoryOf, putDirectory } from '../copied-directory.ts';
import type { Directory } from '../directory-files.ts';
import type { SimCluster } from '../sim-cluster.ts';
import type { CopiedDirectory, Fault, RolledBackDirectory } from './fault.ts';

export interface DirectoryCopiesOptions {
  readonly cluster: SimCluster;
  /** Of which records are acked. */
  readonly topics: readonly string[];
  /** Ends a process, which comes back after `forMs`. */
  readonly lose: (id: number, forMs: number, disk: CrashOptions) => void;
  readonly boot: (id: number) => void;
  /** Unless everything was healed before. */
  readonly after: (delayMs: number, label: string, run: () => void) => void;
  readonly onHappened: (fault: Fault) => void;
  /** This member's disk is older than it was. */
  readonly onRolledBack: (member: MemberId) => void;
}

interface Copy {
  readonly files: Directory;
  /** A node that was given another one since has another directory. */
  readonly disk: MemoryDisk;
}

interface Promised {
  readonly self: MemberId;
  readonly term: number;
  readonly index: number;
  /** Of the entry there; undefined: it is committed, and no longer in the log. */
  readonly ofTerm: number | undefined;
}

const pollMs = 50;
const restartMs = 50;

export class DirectoryCopies {
  readonly #options: DirectoryCopiesOptions;
  readonly #taken = new Map<RolledBackDirectory, Copy>();
  readonly #twins = new Set<number>();

  constructor(options: DirectoryCopiesOptions) {
    this.#options = options;
  }

  /** Of a machine as it is now: `rollBack` puts it back. */
  take(fault: RolledBackDirectory): void {
    const { cluster } = this.#options;
    const files = directoryOf(cluster, fault.node);
    if (files.has('identity')) this.#taken.set(fault, { files, disk: cluster.disk(fault.node) });
  }

  rollBack(fault: RolledBackDirectory): void {
    const { cluster, lose } = this.#options;
    const { node, forMs } = fault;
    const copy = this.#taken.get(fault);
    this.#taken.delete(fault);
    const promised = promisedBy(cluster.inspect(node)?.raft);
    if (copy?.disk !== cluster.disk(node) || promised === undefined) return;
    lose(node, forMs, { keep: 'nothing' });
    this.#putBack(fault, copy, promised);
  }

  /** When that is no loss, or never: then the node comes back as it was. */
  #putBack(fault: RolledBackDirectory, copy: Copy, promised: Promised): void {
    const { cluster, after, boot, onHappened, onRolledBack } = this.#options;
    const { node } = fault;
    after(pollMs, 'copy of a directory put back', () => {
      if (cluster.isRunning(node) || cluster.disk(node) !== copy.disk) return;
      if (!this.#othersHave(promised) || !this.#countsForNothing(node, copy.files)) {
        this.#putBack(fault, copy, promised);
        return;
      }
      putDirectory(cluster, node, copy.files);
      onRolledBack(promised.self);
      onHappened(fault);
      boot(node);
    });
  }

  runTwice(fault: CopiedDirectory): void {
    const { cluster, lose } = this.#options;
    const { node, original, forMs } = fault;
    if (!cluster.isRunning(node) || this.#twins.has(node)) return;
    const staysAway = original === 'stays-away';
    lose(node, staysAway ? Math.ceil(forMs / 2) : restartMs, { keep: 'nothing' });
    const copy = { files: directoryOf(cluster, node), disk: cluster.disk(node) };
    if (!copy.files.has('identity')) return;
    // C3
    if (staysAway) this.#startTwin(fault, copy);
    else this.#startTwinLater(fault, copy, Math.ceil(forMs / pollMs));
  }

  /** Once the original is back under a newer epoch (C2). */
  #startTwinLater(fault: CopiedDirectory, copy: Copy, polls: number): void {
    const { cluster, after } = this.#options;
    const { node } = fault;
    after(pollMs, 'copy of a directory started', () => {
      if (polls === 0 || cluster.disk(node) !== copy.disk || this.#twins.has(node)) return;
      const isBack = cluster.inspect(node)?.raft !== undefined;
      if (isBack && this.#isOlder(node, copy.files)) this.#startTwin(fault, copy);
      else this.#startTwinLater(fault, copy, polls - 1);
    });
  }

  #startTwin(fault: CopiedDirectory, { files }: Copy): void {
    const { cluster, after, onHappened } = this.#options;
    const { node, forMs, original } = fault;
    this.#twins.add(node);
    onHappened(fault);
    // One that cannot start is gone, which is as good.
    void cluster.bootTwin(node, files, original === 'restarts' ? 'the-original' : 'its-address');
    after(forMs, 'copy of a directory gone', () => this.#loseTwin(node));
  }

  heal(): void {
    for (const node of this.#twins) this.#loseTwin(node);
  }

  #loseTwin(node: number): void {
    if (this.#twins.delete(node)) this.#options.cluster.loseTwin(node);
  }

  /** C1 */
  #othersHave({ self, term, index, ofTerm }: Promised): boolean {
    const { cluster } = this.#options;
    const { leader } = cluster;
    const leading = leader === undefined ? undefined : cluster.inspect(leader)?.raft;
    if (leading === undefined || leading.term < term) return false;
    const running = cluster.ids.flatMap((id) => (cluster.isPaused(id) ? [] : (cluster.inspect(id)?.raft ?? [])));
    return leading.voters.every((voter) => {
      if (voter === self) return true;
      const raft = running.find((each) => each.self === voter);
      if (raft?.term !== leading.term || raft.leader !== leading.self || raft.durableIndex < index) return false;
      if (ofTerm === undefined || index < raft.firstIndex) return raft.commitIndex >= index;
      return raft.entryAt(logIndex(index))?.term === ofTerm;
    });
  }

  /** C2 */
  #countsForNothing(node: number, files: Directory): boolean {
    const { cluster, topics } = this.#options;
    const image = cluster.leaderImage;
    if (image === undefined) return false;
    const known = image.node(nodeId(node));
    if (known === undefined || this.#isOlder(node, files)) return true;
    const partitions = topics.flatMap((name) => image.topicNamed('default', name)?.partitions ?? []);
    const counts = partitions.some(({ isr, elr }) => [...isr, ...elr].includes(nodeId(node)));
    return known.state === 'fenced' && !counts;
  }

  /** The controller knows it by its epoch, or it keeps no partitions. */
  #isOlder(node: number, files: Directory): boolean {
    const { cluster } = this.#options;
    const image = cluster.leaderImage;
    if (image === undefined) return false;
    const known = image.node(nodeId(node));
    return known === undefined || (known.confirmedEpoch ?? 0) > epochIn(files);
  }
}

function promisedBy(raft: Raft | undefined): Promised | undefined {
  if (raft === undefined) return undefined;
  const { self, term, durableIndex: index } = raft;
  return { self, term, index, ofTerm: raft.entryAt(index)?.term };
}

/** The identity file is JSON behind its header. */
function epochIn(files: Directory): number {
  const text = Buffer.from(files.get('identity') ?? []).toString('latin1');
  const [, epoch] = /"brokerEpoch":\s*(\d+)/.exec(text) ?? [];
  if (epoch === undefined) throw new Error('the identity file of a copy names no broker epoch');
  return Number(epoch);
}
