/**
 * Snapshots of the metadata on their way to the disk: those that this node takes of its own image, when the Raft log has
 * grown past a bound since the last one, and those that the leader sent. Owned by `ControllerNode`.
 *
 * T1. One is made durable at a time; while one is, none is taken. Nothing waits for it.
 * T2. A snapshot that cannot be saved stops the node (P10).
 * T3. State and index are of one moment (P8): the image is encoded between two entries, and says itself where it stands.
 */
import type { Clock, Halt, Logger } from '@sluice/base';
import { encodeImage } from '@sluice/metadata';
import type { MetadataImage } from '@sluice/metadata';
import type { Entry, Membership, Snapshot } from '@sluice/raft';
import type { RaftStore } from '@sluice/storage';
import { storedSnapshot } from './stored-snapshot.ts';
import { toError } from './thrown.ts';

export interface RaftSnapshotsOptions {
  readonly store: Pick<RaftStore, 'saveSnapshot' | 'logBytes'>;
  readonly image: MetadataImage;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly halt: Halt;
  /** An own snapshot is due when the log since the last one is longer. */
  readonly logBytesMax: number;
  /** The snapshot is durable. */
  readonly onSaved: (snapshot: Snapshot) => void;
}

export interface SnapshotFigures {
  /** Saved by this process, its own and those of the leader. */
  readonly saved: number;
  /** Of the last that was saved: its size, and how long the disk took. */
  readonly bytes: number;
  readonly saveMs: number;
}

export class RaftSnapshots {
  readonly #options: RaftSnapshotsOptions;
  readonly #waiting: Snapshot[] = [];
  #saving = false;
  #stopped = false;
  #figures: SnapshotFigures = { saved: 0, bytes: 0, saveMs: 0 };

  constructor(options: RaftSnapshotsOptions) {
    this.#options = options;
  }

  get figures(): SnapshotFigures {
    return this.#figures;
  }

  stop(): void {
    this.#stopped = true;
    this.#waiting.length = 0;
  }

  /** `last` is the entry that the image stands at, `membership` that of its index. */
  takeWhenDue({ index, term }: Entry, membership: () => Membership): void {
    const { store, image, logBytesMax } = this.#options;
    if (this.#saving || store.logBytes <= logBytesMax || image.appliedIndex !== index) return;
    this.save({ index, term, membership: membership(), bytes: encodeImage(image) });
  }

  save(snapshot: Snapshot): void {
    if (this.#stopped) return;
    this.#waiting.push(snapshot);
    if (!this.#saving) void this.#saveAll();
  }

  async #saveAll(): Promise<void> {
    this.#saving = true;
    try {
      for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) await this.#save(next);
    } catch (thrown) {
      // A log that is closed saves nothing more, and nobody asks it to.
      if (!this.#stopped) this.#options.halt.halt(toError(thrown));
      this.stop();
    } finally {
      this.#saving = false;
    }
  }

  async #save(snapshot: Snapshot): Promise<void> {
    const { store, clock, logger, onSaved } = this.#options;
    const startedMs = clock.monotonicMs();
    await store.saveSnapshot(storedSnapshot(snapshot));
    const saveMs = clock.monotonicMs() - startedMs;
    const { index, bytes } = snapshot;
    this.#figures = { saved: this.#figures.saved + 1, bytes: bytes.length, saveMs };
    logger.debug('metadata snapshot saved', { index, bytes: bytes.length, saveMs });
    if (!this.#stopped) onSaved(snapshot);
  }
}
