/**
 * The metadata image of this node: committed entries replayed in order, and told to whoever listens (`MetadataFeed`).
 * Owned by `ControllerNode`.
 */
import { SluiceError } from '@sluice/base';
import type { Halt } from '@sluice/base';
import { decodeRecords, MetadataImage } from '@sluice/metadata';
import type { ControllerAddress, MetadataFeed, MetadataListener } from '@sluice/metadata';
import type { Entry } from '@sluice/raft';

export class CommittedMetadata implements MetadataFeed {
  readonly image: MetadataImage = new MetadataImage();
  readonly #halt: Halt;
  readonly #listeners = new Set<MetadataListener>();
  #controller: ControllerAddress | undefined;
  #broken = false;

  constructor(halt: Halt) {
    this.#halt = halt;
  }

  /** An entry could not be replayed: the image says nothing any more, and nothing may be decided on it. */
  get broken(): boolean {
    return this.#broken;
  }

  get controller(): ControllerAddress | undefined {
    return this.#controller;
  }

  subscribe(listener: MetadataListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** An entry that cannot be replayed stops the node: going on would give it another truth than the others have (R2). */
  apply(entry: Entry): void {
    if (this.#broken) return;
    const decoded = entry.kind === 'command' ? decodeRecords(entry.payload) : ({ ok: true, records: [] } as const);
    if (!decoded.ok) {
      this.#broken = true;
      const { code, message } = decoded.failure;
      this.#halt.halt(new SluiceError(code, { message: `Metadata entry ${entry.index}: ${message}.` }));
      return;
    }
    const change = this.image.replayEntry(entry.index, decoded.records);
    for (const listener of this.#listeners) listener.onApplied(entry.index, change);
  }

  setController(controller: ControllerAddress | undefined): void {
    const same = this.#controller?.nodeId === controller?.nodeId && this.#controller?.address === controller?.address;
    if (same) return;
    this.#controller = controller;
    for (const listener of this.#listeners) listener.onController(controller);
  }
}
