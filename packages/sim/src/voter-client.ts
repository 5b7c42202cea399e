/**
 * An operator who changes the voters of the controller while everything goes wrong: adds nodes that are none, takes
 * voters out, and replaces those whose directory is gone. Never leaves fewer than three that have theirs, nor more than there were at first
 * and one: one disk of the cluster may be lost, and a quorum must stay without it.
 */
import type { Random } from '@sluice/base';
import { SluiceError } from '@sluice/base';
import type { Sluice } from '@sluice/client';
import type { SimCluster } from './sim-cluster.ts';
import { simClient } from './sim-load.ts';

const votersMin = 3;
const timeoutMs = 4000;

export interface VoterClientOptions {
  /** That may be voters. */
  readonly controllers: readonly number[];
  /** The mean time between two changes. */
  readonly everyMs: number;
}

export class VoterClient {
  changes = 0;
  readonly #cluster: SimCluster;
  readonly #options: VoterClientOptions;
  readonly #random: Random;
  readonly #sluice: Sluice;
  #stopped = false;
  #underWay = false;

  constructor(cluster: SimCluster, options: VoterClientOptions) {
    this.#cluster = cluster;
    this.#options = options;
    this.#random = cluster.simulation.random.fork('voter client');
    this.#sluice = simClient(cluster, 'operator');
    this.#later();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    const { simulation } = this.#cluster;
    await simulation.until('changes of voters end', 10 * timeoutMs, () => !this.#underWay);
    await simulation.settle('operator closes', 20_000, this.#sluice.close());
  }

  #later(): void {
    const delayUs = this.#random.below(2000 * this.#options.everyMs);
    this.#cluster.simulation.schedule(delayUs, 'operator', () => {
      if (this.#stopped) return;
      this.#underWay = true;
      void this.#change().finally(() => {
        this.#underWay = false;
        this.#later();
      });
    });
  }

  async #change(): Promise<void> {
    const { admin } = this.#sluice;
    try {
      const { voters, observers, membersCurrent } = await admin.describeCluster({ timeoutMs });
      // Nobody leads: who votes is not known, and not that nobody does.
      if (!membersCurrent || observers === null) return;
      const isThere = (node: number): boolean => observers.some((each) => each.id === node);
      // Its directory is gone when another one of the node follows.
      const replaced = voters.find(({ id }) => isThere(id));
      const most = this.#cluster.voterIds.length + 1;
      const outside = this.#options.controllers.filter((id) => !voters.some((voter) => voter.id === id));
      const added = this.#one(outside);
      if (replaced !== undefined) {
        // Before the new one is added: two dead directories of one node may be half of four.
        await admin.removeVoter(replaced.id, { timeoutMs, directory: replaced.directory });
      } else if (
        added !== undefined &&
        voters.length < most &&
        (voters.length <= votersMin || this.#random.below(2) === 0)
      ) {
        // Now and then another change at once: one of the two has to wait.
        const removed = this.#one(voters.length > votersMin && this.#random.below(2) === 0 ? voters : []);
        const both = [admin.addVoter(added, { timeoutMs })];
        if (removed !== undefined) {
          both.push(admin.removeVoter(removed.id, { timeoutMs, directory: removed.directory }));
        }
        await Promise.allSettled(both);
        await Promise.all(both);
      } else {
        const removed = this.#one(voters);
        if (removed === undefined || voters.length <= votersMin) return;
        await admin.removeVoter(removed.id, { timeoutMs, directory: removed.directory });
      }
      this.changes += 1;
    } catch (thrown) {
      // Refused, or in doubt: the next change begins with what is.
      if (!(thrown instanceof SluiceError)) throw thrown;
    }
  }

  #one<T>(of: readonly T[]): T | undefined {
    return of.length === 0 ? undefined : of[this.#random.below(of.length)];
  }
}
