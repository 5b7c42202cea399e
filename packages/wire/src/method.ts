import type { Codec } from './codec.ts';

/** Which listeners serve a method: clients' or the one for other nodes. Never both (design §3). */
export type Face = 'client' | 'peer';

/** What a principal must be allowed to do before a method runs; rules about single topics are the service's. */
export type Operation =
  | 'topic:write'
  | 'topic:read'
  | 'topic:describe'
  | 'topic:create'
  | 'topic:delete'
  | 'cluster:describe'
  | 'cluster:alter'
  | 'cluster:act';

export interface Method<Request, Response> {
  /** `/package.Service/Method`. */
  readonly path: string;
  readonly kind: 'unary' | 'stream';
  readonly face: Face;
  readonly operation: Operation;
  readonly request: Codec<Request>;
  readonly response: Codec<Response>;
}
