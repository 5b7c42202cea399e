/**
 * The error table: the one list of everything that can go wrong for a caller (design §6).
 * `wire` maps it to gRPC statuses and back; `docs/reference/errors.md` repeats it and a test compares the two.
 *
 * - `retry`: `never` (the same request will fail again), `same` (send it again now), `refresh-metadata` (ask who leads,
 *   then send again), `backoff` (wait, then send again).
 * - `definite`: true when the request had no effect; false when it may or may not have happened.
 */
export type RetryClass = 'never' | 'same' | 'refresh-metadata' | 'backoff';

export type StatusName =
  | 'CANCELLED'
  | 'INVALID_ARGUMENT'
  | 'DEADLINE_EXCEEDED'
  | 'NOT_FOUND'
  | 'ALREADY_EXISTS'
  | 'PERMISSION_DENIED'
  | 'RESOURCE_EXHAUSTED'
  | 'FAILED_PRECONDITION'
  | 'ABORTED'
  | 'OUT_OF_RANGE'
  | 'UNIMPLEMENTED'
  | 'INTERNAL'
  | 'UNAVAILABLE'
  | 'DATA_LOSS';

export interface ErrorRow {
  readonly retry: RetryClass;
  readonly definite: boolean;
  readonly status: StatusName;
  readonly sentence: string;
}

const row = (status: StatusName, retry: RetryClass, definite: boolean, sentence: string): ErrorRow => ({
  retry,
  definite,
  status,
  sentence,
});

export const errorTable = {
  UNKNOWN_TOPIC: row('NOT_FOUND', 'never', true, 'No such topic; create it first: producing never creates topics.'),
  TOPIC_EXISTS: row('ALREADY_EXISTS', 'never', true, 'A topic of this name exists; use another name or delete it.'),
  UNKNOWN_PARTITION: row('NOT_FOUND', 'never', true, 'The topic has no such partition; describe it to see how many.'),
  INVALID_TOPIC: row(
    'INVALID_ARGUMENT',
    'never',
    true,
    'The topic name, partition count or replication factor is not allowed; the message says which and what is.',
  ),
  INVALID_CONFIG: row(
    'INVALID_ARGUMENT',
    'never',
    true,
    'A configuration key or value is not allowed; the message says which.',
  ),
  INVALID_REQUEST: row('INVALID_ARGUMENT', 'never', true, 'The request is malformed; the message says what is wrong.'),
  NOT_ENOUGH_NODES: row(
    'FAILED_PRECONDITION',
    'backoff',
    true,
    'Fewer nodes are up than the replication factor asks for; start more nodes or ask for fewer replicas.',
  ),
  RECORD_TOO_LARGE: row(
    'INVALID_ARGUMENT',
    'never',
    true,
    'The record or batch is over the limit; send smaller records or raise recordBytesMax on the topic.',
  ),
  CORRUPT_BATCH: row('INVALID_ARGUMENT', 'never', true, 'The batch does not match its CRC; it was damaged on the way.'),
  INVALID_BATCH: row(
    'INVALID_ARGUMENT',
    'never',
    true,
    'The batch breaks a rule of the format; the message says which.',
  ),
  INVALID_RECORD: row(
    'INVALID_ARGUMENT',
    'never',
    true,
    'The topic does not take such a record; the message says why. A compacted topic takes no record without a key.',
  ),
  OFFSET_OUT_OF_RANGE: row(
    'OUT_OF_RANGE',
    'never',
    true,
    'The offset is before the first or after the last record of the partition; seek to start or end.',
  ),
  NOT_ENOUGH_REPLICAS: row(
    'UNAVAILABLE',
    'backoff',
    true,
    'Fewer than minIsr replicas are live and in sync, so nothing was done; it goes on when they are back.',
  ),
  NOT_ENOUGH_REPLICAS_AFTER_APPEND: row(
    'UNAVAILABLE',
    'backoff',
    false,
    'The in-sync replicas fell below minIsr after the append; an idempotent producer finds out by sending again.',
  ),
  NOT_LEADER: row(
    'UNAVAILABLE',
    'refresh-metadata',
    true,
    'This node does not lead the partition; ask for metadata again.',
  ),
  LEADERSHIP_LOST: row(
    'UNAVAILABLE',
    'refresh-metadata',
    false,
    'The node lost leadership after the append; an idempotent producer finds out by sending again to the new leader.',
  ),
  LEADER_NOT_AVAILABLE: row(
    'UNAVAILABLE',
    'refresh-metadata',
    true,
    'The partition has no leader now; one is elected when an in-sync replica is back.',
  ),
  OFFSET_NOT_AVAILABLE: row(
    'UNAVAILABLE',
    'backoff',
    true,
    'The new leader does not know the committed end yet; ask again shortly.',
  ),
  FENCED_LEADER_EPOCH: row(
    'ABORTED',
    'refresh-metadata',
    true,
    'The leader epoch in the request is over; ask for metadata again.',
  ),
  UNKNOWN_LEADER_EPOCH: row(
    'UNAVAILABLE',
    'backoff',
    true,
    'The leader epoch in the request is newer than this node knows; try again shortly.',
  ),
  OUT_OF_ORDER_SEQUENCE: row(
    'FAILED_PRECONDITION',
    'never',
    true,
    'The batch does not follow the last one of this producer; send the batches before it first.',
  ),
  INVALID_PRODUCER_EPOCH: row(
    'FAILED_PRECONDITION',
    'never',
    true,
    'A newer epoch of this producer exists; this one is fenced.',
  ),
  UNKNOWN_PRODUCER_ID: row(
    'FAILED_PRECONDITION',
    'backoff',
    true,
    'This producer id was never issued as far as this node knows; ask for one with InitProducer.',
  ),
  TOO_MANY_PRODUCERS: row(
    'RESOURCE_EXHAUSTED',
    'backoff',
    true,
    'The partition remembers as many producers as it may, and any of them may still repeat a batch; use fewer producers or raise producerCountMax.',
  ),
  TIMEOUT: row('DEADLINE_EXCEEDED', 'never', false, 'No answer in time; the request may or may not have taken effect.'),
  EXPIRED: row(
    'DEADLINE_EXCEEDED',
    'never',
    true,
    'The deadline passed before the request was ever sent; it had no effect.',
  ),
  UNREACHABLE: row(
    'UNAVAILABLE',
    'backoff',
    true,
    'No node of the cluster could be reached; check the bootstrap addresses and that the nodes run.',
  ),
  CONNECTION_LOST: row(
    'UNAVAILABLE',
    'refresh-metadata',
    false,
    'The connection broke before the answer came; the request may or may not have taken effect.',
  ),
  NOT_CONTROLLER: row(
    'UNAVAILABLE',
    'refresh-metadata',
    true,
    'This node is not the controller leader; the request goes to the one that is.',
  ),
  CONTROLLER_CHANGED: row(
    'UNAVAILABLE',
    'refresh-metadata',
    false,
    'The controller lost leadership before the change was committed; look whether it took effect.',
  ),
  UNKNOWN_NODE: row(
    'NOT_FOUND',
    'never',
    true,
    'No such node follows the controller leader; start it with the voters of this cluster in its configuration.',
  ),
  WRONG_ROLE: row(
    'FAILED_PRECONDITION',
    'never',
    true,
    'The node has not the role controller, so it cannot vote; add it to roles and restart the node.',
  ),
  ALREADY_A_VOTER: row('ALREADY_EXISTS', 'never', true, 'The present directory of the node is a voter already.'),
  OTHER_DIRECTORY_VOTES: row(
    'FAILED_PRECONDITION',
    'never',
    true,
    'Another directory of the node votes: its old one, if the disk was replaced; remove that voter first, then add the node.',
  ),
  NOT_A_VOTER: row(
    'NOT_FOUND',
    'never',
    true,
    'No voter has this node id and directory; list the nodes to see who votes.',
  ),
  LAST_VOTER: row(
    'FAILED_PRECONDITION',
    'never',
    true,
    'The last voter stays: without one nobody keeps the metadata; add another first.',
  ),
  NOT_ENOUGH_VOTERS: row(
    'FAILED_PRECONDITION',
    'backoff',
    true,
    'Of the voters that there would be then, fewer than a majority answer: nothing could be decided any more. Start them, or remove those that are gone.',
  ),
  VOTER_NOT_CAUGHT_UP: row(
    'UNAVAILABLE',
    'backoff',
    true,
    'The node has not caught up with the metadata yet, so it was not made a voter; it goes on, try again.',
  ),
  VOTER_CHANGE_UNDER_WAY: row(
    'UNAVAILABLE',
    'backoff',
    true,
    'Another change of the voters is under way, or the controller leader is new; try again shortly.',
  ),
  STALE_BROKER_EPOCH: row(
    'FAILED_PRECONDITION',
    'never',
    true,
    'A newer incarnation of this broker is registered; this one must register again.',
  ),
  INVALID_UPDATE_VERSION: row(
    'ABORTED',
    'refresh-metadata',
    true,
    'The partition changed meanwhile; read its metadata and decide again.',
  ),
  INELIGIBLE_REPLICA: row(
    'FAILED_PRECONDITION',
    'backoff',
    true,
    'A proposed in-sync replica is fenced, shutting down or of another epoch.',
  ),
  DUPLICATE_NODE: row(
    'FAILED_PRECONDITION',
    'backoff',
    true,
    'Another live process has this node id; give each node its own.',
  ),
  WRONG_CLUSTER: row(
    'FAILED_PRECONDITION',
    'never',
    true,
    'The peer belongs to another cluster; check the addresses in the configuration.',
  ),
  WRONG_IDENTITY: row(
    'FAILED_PRECONDITION',
    'never',
    true,
    'The directory belongs to another node or cluster; point the node to its own directory.',
  ),
  ROLLED_BACK: row(
    'FAILED_PRECONDITION',
    'never',
    true,
    'The data directory is an older copy of itself; the node keeps its files but votes and leads no more until admitted again.',
  ),
  DIRECTORY_LOCKED: row(
    'FAILED_PRECONDITION',
    'never',
    true,
    'Another process uses this data directory; stop it or choose another directory.',
  ),
  DIRECTORY_DAMAGED: row(
    'DATA_LOSS',
    'never',
    true,
    'A file of the data directory is damaged; the message says which one and what to do.',
  ),
  PORT_IN_USE: row(
    'FAILED_PRECONDITION',
    'never',
    true,
    'The address is taken by another process; choose another port.',
  ),
  UNSUPPORTED_VERSION: row(
    'FAILED_PRECONDITION',
    'never',
    true,
    'The other side speaks a protocol or format version that this one does not know.',
  ),
  UNKNOWN_METHOD: row(
    'UNIMPLEMENTED',
    'never',
    true,
    'This listener does not serve that method; client and peer calls have their own ports.',
  ),
  PERMISSION_DENIED: row('PERMISSION_DENIED', 'never', true, 'The principal may not do this.'),
  CREDIT_EXCEEDED: row(
    'RESOURCE_EXHAUSTED',
    'never',
    true,
    'The sender sent more bytes than it was granted; the stream is closed.',
  ),
  LIMIT_EXCEEDED: row(
    'RESOURCE_EXHAUSTED',
    'backoff',
    true,
    'A limit of this node is reached; the message says which.',
  ),
  BUFFER_FULL: row(
    'RESOURCE_EXHAUSTED',
    'backoff',
    true,
    "The producer's buffer is full; await earlier sends or raise bufferBytesMax.",
  ),
  STORAGE_FULL: row(
    'RESOURCE_EXHAUSTED',
    'backoff',
    true,
    "The disk of the partition's leader is full up to its reserve, so nothing was appended; delete topics, keep less or enlarge the disk: it goes on by itself.",
  ),
  SHUTTING_DOWN: row('UNAVAILABLE', 'refresh-metadata', true, 'The node is stopping; another node takes over.'),
  STORAGE_FAILED: row(
    'UNAVAILABLE',
    'refresh-metadata',
    false,
    'The disk of the node failed; the node stops, another takes over.',
  ),
  CANCELLED: row('CANCELLED', 'never', false, 'The caller gave up.'),
  CLOSED: row('CANCELLED', 'never', true, 'The client is closed.'),
  INTERNAL: row('INTERNAL', 'never', false, 'An unexpected error in the other side; its log says more.'),
} as const satisfies Readonly<Record<string, ErrorRow>>;

export type ErrorCode = keyof typeof errorTable;

export const isErrorCode = (value: unknown): value is ErrorCode =>
  typeof value === 'string' && Object.hasOwn(errorTable, value);

export interface SluiceErrorOptions {
  /** What happened in this case, and what to do; the table's sentence when absent. */
  readonly message?: string;
  /** Facts for programs: `{topic, partition, leader, …}`, JSON values only. */
  readonly details?: Readonly<Record<string, unknown>>;
  readonly cause?: unknown;
  /** Overrides of the table's row, as the server sent them: a client need not know a newer server's codes. */
  readonly retry?: RetryClass;
  readonly definite?: boolean;
}

const errorBrand: unique symbol = Symbol.for('sluice.error') as never;

/** The only error class that callers meet. Recognise it with `isSluiceError`, branch on `code`. */
export class SluiceError extends Error {
  override readonly name = 'SluiceError';
  readonly code: ErrorCode;
  readonly retry: RetryClass;
  readonly definite: boolean;
  readonly details: Readonly<Record<string, unknown>>;
  readonly [errorBrand] = true;

  constructor(code: ErrorCode, options: SluiceErrorOptions = {}) {
    const known: ErrorRow = errorTable[code];
    super(options.message ?? known.sentence, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.retry = options.retry ?? known.retry;
    this.definite = options.definite ?? known.definite;
    this.details = options.details ?? {};
  }

  /** True when sending the same request again can succeed. */
  get retryable(): boolean {
    return this.retry !== 'never';
  }

  /** The shape that `--json` prints (shared command contract). */
  toJSON(): { code: ErrorCode; message: string; retryable: boolean; definite: boolean; details: object } {
    return {
      code: this.code,
      message: this.message,
      retryable: this.retryable,
      definite: this.definite,
      details: this.details,
    };
  }
}

/** Works across duplicate installs of this package, where `instanceof` does not. */
export const isSluiceError = (value: unknown): value is SluiceError =>
  typeof value === 'object' && value !== null && (value as { [errorBrand]?: unknown })[errorBrand] === true;

/** Anything thrown, as a `SluiceError`; what is not one becomes `INTERNAL`, which nobody retries. */
export const toSluiceError = (thrown: unknown): SluiceError =>
  isSluiceError(thrown)
    ? thrown
    : new SluiceError('INTERNAL', {
        message: thrown instanceof Error ? thrown.message : String(thrown),
        cause: thrown,
      });
