/**
 * The table of topic configuration: key, kind, bounds, default, sentence; the one list that checks, help and reference
 * read. Values arrive as text and are kept resolved, so that a changed default never changes a topic.
 */
import type { Durability } from '@sluice/base';
import { failed } from './metadata-error.ts';
import type { Failed } from './metadata-error.ts';

/** What becomes of old records: `delete` by age and size, `compact` when their key has a newer one. */
export type CleanupPolicy = 'delete' | 'compact' | 'compact,delete';

export interface TopicConfig {
  /** In-sync replicas, the leader included, below which `acks=all` is refused. */
  readonly minIsr: number;
  readonly durability: Durability;
  /** The largest record that a producer may send, in bytes of key, value and headers. */
  readonly recordBytesMax: number;
  /** Age, by the append time of the leader, past which records may go; `unlimited` for ever. */
  readonly retentionMs: number;
  /** What a partition may hold before its oldest records go; `unlimited` for everything. */
  readonly retentionBytes: number;
  readonly cleanupPolicy: CleanupPolicy;
  /** From when compaction first keeps a tombstone to when it may remove it. */
  readonly tombstoneRetentionMs: number;
  /** Age below which compaction leaves records alone. */
  readonly compactionLagMsMin: number;
}

export const isCompacted = ({ cleanupPolicy }: Pick<TopicConfig, 'cleanupPolicy'>): boolean =>
  cleanupPolicy !== 'delete';
/** Whether records go by age and size. */
export const expires = ({ cleanupPolicy }: Pick<TopicConfig, 'cleanupPolicy'>): boolean => cleanupPolicy !== 'compact';

/** The value of a limit that there is not. */
export const unlimited = -1;

interface IntegerRow {
  readonly kind: 'integer';
  readonly min: number;
  readonly max: number;
  /** Whether `unlimited` is a value, too. */
  readonly mayBeUnlimited?: boolean;
  readonly defaultValue: (replication: number) => number;
  readonly sentence: string;
}

interface ChoiceRow<Choice extends string> {
  readonly kind: 'choice';
  readonly choices: readonly Choice[];
  readonly defaultValue: () => Choice;
  readonly sentence: string;
}

export const topicConfigTable = {
  minIsr: {
    kind: 'integer',
    min: 1,
    max: 100,
    // Two copies survive the loss of one node; a single replica cannot have two.
    defaultValue: (replication: number) => Math.min(2, replication),
    sentence: 'In-sync replicas that must hold a record before it is acked; at most the replication factor.',
  },
  durability: {
    kind: 'choice',
    choices: ['fsync', 'replicated'],
    defaultValue: () => 'fsync',
    sentence:
      'fsync: a record is acked after every in-sync replica has synced it to disk. replicated: after it is in the memory of all of them; when minIsr of them crash before one is in sync again, the last 256 KiB of a partition may be lost.',
  },
  recordBytesMax: {
    kind: 'integer',
    min: 1024,
    max: 8 * 1024 * 1024,
    defaultValue: () => 1024 * 1024,
    sentence: 'The largest record, in bytes of key, value and headers, that a producer may send.',
  },
  retentionMs: {
    kind: 'integer',
    min: 1000,
    max: 100 * 365 * 24 * 3_600_000,
    mayBeUnlimited: true,
    defaultValue: () => 7 * 24 * 3_600_000,
    sentence: 'Records are kept at least this long, in ms since the broker appended them, then go with their file.',
  },
  retentionBytes: {
    kind: 'integer',
    min: 1024,
    max: 2 ** 50 - 1,
    mayBeUnlimited: true,
    defaultValue: () => unlimited,
    sentence: 'At least this many of the newest bytes of each partition are kept; older records go with their file.',
  },
  cleanupPolicy: {
    kind: 'choice',
    choices: ['delete', 'compact', 'compact,delete'],
    defaultValue: () => 'delete',
    sentence:
      'delete: records go by retentionMs and retentionBytes; compact: when their key has a newer one, and not otherwise; a record needs a key then, and durability fsync.',
  },
  tombstoneRetentionMs: {
    kind: 'integer',
    min: 0,
    max: 100 * 365 * 24 * 3_600_000,
    defaultValue: () => 24 * 3_600_000,
    sentence: 'Compaction keeps a null value at least this long, in ms, so that readers hear of the end of its key.',
  },
  compactionLagMsMin: {
    kind: 'integer',
    min: 0,
    max: 100 * 365 * 24 * 3_600_000,
    defaultValue: () => 0,
    sentence: 'Compaction leaves records alone for at least this long, in ms since the broker appended them.',
  },
} as const satisfies { readonly [Key in keyof TopicConfig]: IntegerRow | ChoiceRow<Durability | CleanupPolicy> };

type IntegerKey = Exclude<keyof TopicConfig, 'durability' | 'cleanupPolicy'>;

export type ResolvedConfig = { readonly ok: true; readonly config: TopicConfig } | Failed;

/** Checks keys, values, bounds and pairs against the table and fills in the defaults. */
export function resolveTopicConfig(given: Readonly<Record<string, string>>, replication: number): ResolvedConfig {
  for (const key of Object.keys(given)) {
    if (!Object.hasOwn(topicConfigTable, key)) {
      const legal = Object.keys(topicConfigTable);
      return invalid(`there is no topic configuration key ${quoted(key)}; the keys are ${legal.join(', ')}`, {
        key,
        legal,
      });
    }
  }
  const integers: Partial<Record<IntegerKey, number>> = {};
  for (const key of integerKeys) {
    const value = integer(key, given, replication);
    if (typeof value !== 'number') return value;
    integers[key] = value;
  }
  const durability = choice('durability', given, topicConfigTable.durability);
  if (typeof durability !== 'string') return durability;
  const cleanupPolicy = choice('cleanupPolicy', given, topicConfigTable.cleanupPolicy);
  if (typeof cleanupPolicy !== 'string') return cleanupPolicy;
  // In the order of the table.
  const { minIsr, recordBytesMax, retentionMs, retentionBytes, ...rest } = integers as Record<IntegerKey, number>;
  const config = { minIsr, durability, recordBytesMax, retentionMs, retentionBytes, cleanupPolicy, ...rest };
  if (minIsr > replication) {
    return invalid(
      `minIsr ${minIsr} is more than the replication factor ${replication}: no record could ever be acked`,
      { key: 'minIsr', minIsr, replication },
    );
  }
  if (durability !== 'fsync' && isCompacted(config)) {
    return invalid(
      `cleanupPolicy ${cleanupPolicy} needs durability fsync: a record may go for a newer one only when no power cut takes that back`,
      { key: 'cleanupPolicy', durability },
    );
  }
  return { ok: true, config };
}

const integerKeys = [
  'minIsr',
  'recordBytesMax',
  'retentionMs',
  'retentionBytes',
  'tombstoneRetentionMs',
  'compactionLagMsMin',
] as const satisfies readonly IntegerKey[];

function choice<Choice extends string>(
  key: 'durability' | 'cleanupPolicy',
  given: Readonly<Record<string, string>>,
  { choices, defaultValue }: ChoiceRow<Choice>,
): Choice | Failed {
  const text = given[key];
  if (text === undefined) return defaultValue();
  const chosen = choices.find((legal) => legal === text);
  if (chosen !== undefined) return chosen;
  return invalid(`${key} is ${quoted(text)}; it may be ${choices.join(' or ')}`, { key, legal: choices });
}

function integer(key: IntegerKey, given: Readonly<Record<string, string>>, replication: number): number | Failed {
  const { min, max, defaultValue, mayBeUnlimited = false }: IntegerRow = topicConfigTable[key];
  const text = given[key];
  if (text === undefined) return defaultValue(replication);
  if (mayBeUnlimited && text === String(unlimited)) return unlimited;
  const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= min && value <= max) return value;
  const orNone = mayBeUnlimited ? `, or ${unlimited} for no limit` : '';
  return invalid(`${key} is ${quoted(text)}; it must be an integer from ${min} to ${max}${orNone}`, { key, min, max });
}

/** Caller's text in a message: cut, so that a long key does not become a long message. */
const quoted = (text: string): string => JSON.stringify(text.length > 100 ? `${text.slice(0, 100)}…` : text);

const invalid = (message: string, details: Readonly<Record<string, unknown>>): Failed =>
  failed('INVALID_CONFIG', message, details);
