/**
 * Port: the committed metadata as one node has applied it. The controller shell implements it, the broker reads it;
 * they meet here because neither may import the other.
 *
 * F1. `image` moves only between calls of the listeners: when `onApplied` is called it stands at `index`.
 * F2. A listener sees every change after its subscription, in order, once. Usually a change is one entry; a node that
 *     was given a snapshot instead of entries sees all that lies between as one, `imageDifference`.
 */
import type { DirectoryId, LogIndex, NodeId } from '@sluice/base';
import type { MetadataImage } from './image.ts';
import type { ImageChange } from './state.ts';

export interface ControllerAddress {
  readonly nodeId: NodeId;
  /** Peer address, `host:port`. */
  readonly address: string;
}

/** A member of the controller with a vote: a directory on a node. */
export interface KnownVoter {
  readonly nodeId: NodeId;
  readonly directoryId: DirectoryId;
  /** Peer address, empty when unknown. */
  readonly address: string;
}

export interface MetadataListener {
  onApplied(index: LogIndex, change: ImageChange): void;
  /** Another member leads the controller quorum as far as this node knows, or none. */
  onController(controller: ControllerAddress | undefined): void;
}

export interface MetadataFeed {
  readonly image: MetadataImage;
  readonly controller: ControllerAddress | undefined;
  /** Who votes as far as this node knows, whether anybody leads or not. */
  readonly voters: readonly KnownVoter[];
  /** Returns the function that ends the subscription. */
  subscribe(listener: MetadataListener): () => void;
}
