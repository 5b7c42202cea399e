/**
 * The metadata image of this node: committed entries replayed in order, or a snapshot in their place, and told to whoever
 * listens (`MetadataFeed`). Owned by `ControllerNode`.
 */
import { SluiceError } from '@sluice/base';
import type { Halt } from '@sluice/base';
import { decodeImage, decodeRecords, MetadataImage } from '@sluice/metadata';
import type { ControllerAddress, KnownVoter, MetadataFeed, MetadataListener, RecordFailure } from '@sluice/metadata';
import type { Entry, Snapshot } from '@sluice/raft';

export class CommittedMetadata implements MetadataFeed {
  readonly image: MetadataImage = new MetadataImage();
  readonly #halt: Halt;
  readonly #voters: () => readonly KnownVoter[];
  readonly #listeners = new Set<MetadataListener>();
  #controller: ControllerAddress | undefined;
  #broken = false;

  constructor(halt: Halt, voters: () => readonly KnownVoter[]) {
    this.#halt = halt;
    this.#voters = voters;
  }

  /** An entry or a snapshot could not be read: the image says nothing any more, and nothing may be decided on it. */
  get broken(): boolean {
    return this.#broken;
  }

  get controller(): ControllerAddress | undefined {
    return this.#controller;
  }

  get voters(): readonly KnownVoter[] {
    return this.#voters();
  }

  subscribe(listener: MetadataListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** An entry that cannot be replayed stops the node: going on would give it another truth than the others have (R2). */
  apply(entry: Entry): void {
    if (this.#broken) return;
    const decoded = entry.kind === 'command' ? decodeRecords(entry.payload) : ({ ok: true, records: [] } as const);
    if (!decoded.ok) return this.#break(`Metadata entry ${entry.index}`, decoded.failure);
    const change = this.image.replayEntry(entry.index, decoded.records);
    for (const listener of this.#listeners) listener.onApplied(entry.index, change);
  }

  /** The state as of a later index, whose entries this node will not see: one change to those who listen. */
  restore({ index, bytes }: Snapshot): void {
    if (this.#broken) return;
    const decoded = decodeImage(bytes);
    const what = `Metadata snapshot ${index}`;
    if (!decoded.ok) return this.#break(what, decoded.failure);
    if (decoded.image.appliedIndex !== index) {
      return this.#break(what, { code: 'INTERNAL', message: `it holds the state of ${decoded.image.appliedIndex}` });
    }
    const change = this.image.become(decoded.image);
    for (const listener of this.#listeners) listener.onApplied(index, change);
  }

  #break(what: string, { code, message }: RecordFailure): void {
    this.#broken = true;
    this.#halt.halt(new SluiceError(code, { message: `${what}: ${message}.` }));
  }

  setController(controller: ControllerAddress | undefined): void {
    const same = this.#controller?.nodeId === controller?.nodeId && this.#controller?.address === controller?.address;
    if (same) return;
    this.#controller = controller;
    for (const listener of this.#listeners) listener.onController(controller);
  }
}
