import type { SluiceError } from '@sluice/base';

/** Health of a client, for logs and metrics: the client itself never logs, and none of this needs an answer. */
export type ClientStatus =
  | { readonly kind: 'connected'; readonly address: string; readonly clusterId: string }
  /** The metadata watch is lost; another node is tried. */
  | { readonly kind: 'disconnected'; readonly address: string; readonly error: SluiceError | undefined }
  /** Batches of this partition are sent again for this reason, at the latest until they expire. */
  | { readonly kind: 'retrying'; readonly topic: string; readonly partition: number; readonly error: SluiceError }
  /** A consumer starts again at its next offset for this reason. */
  | { readonly kind: 'resuming'; readonly topic: string; readonly partition: number; readonly error: SluiceError }
  /** Leader 0: there is none now. */
  | { readonly kind: 'leader-changed'; readonly topic: string; readonly partition: number; readonly leader: number };

export type OnStatus = (status: ClientStatus) => void;
