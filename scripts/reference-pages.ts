/** The reference pages as text, made from the tables that the code itself uses. */
import { type ErrorRow, errorTable, type RetryClass } from '@sluice/base';
import { topicConfigTable, unlimited } from '../packages/metadata/src/topic-config.ts';
import { type ConfigRow, configTable, environmentName, profiles } from '../packages/server/src/config/table.ts';
import { metricsTable, type MetricRow } from '../packages/server/src/metrics-table.ts';

const retryWords: Readonly<Record<RetryClass, string>> = {
  never: 'no: the same request fails again',
  same: 'yes, at once',
  'refresh-metadata': 'yes, after asking who leads',
  backoff: 'yes, after a pause',
};

const escapeCell = (text: string): string => text.replaceAll('|', '\\|');

const tableRow = (cells: readonly string[]): string => `| ${cells.map(escapeCell).join(' | ')} |`;

export function errorsPage(table: Readonly<Record<string, ErrorRow>> = errorTable): string {
  const rows = Object.entries(table).map(([code, row]) =>
    tableRow([`\`${code}\``, row.sentence, retryWords[row.retry], row.definite ? 'yes' : 'no', `\`${row.status}\``]),
  );
  return [
    '# Errors',
    '',
    'Every error that a caller meets is a `SluiceError` with one of these codes; branch on `code`, never on the message,',
    'which says what happened in the case at hand. *Definite* means that the request had no effect; after an error that is',
    'not definite it may or may not have happened, and only an idempotent producer may simply send it again.',
    '',
    'Made from the table in `packages/base/src/errors.ts` by `npm run -s reference`.',
    '',
    '| code | meaning and what to do | retry | definite | gRPC status |',
    '|---|---|---|---|---|',
    ...rows,
    '',
  ].join('\n');
}

type Configs = Readonly<Record<string, ConfigRow<unknown>>>;
type Profiles = Readonly<Record<string, Readonly<Record<string, unknown>>>>;
type Topics = Readonly<Record<string, (typeof topicConfigTable)[keyof typeof topicConfigTable]>>;

export function configPage(table: Configs = configTable, sets: Profiles = profiles, topics: Topics = topicConfigTable) {
  const rows = Object.entries(table).map(([key, row]) =>
    tableRow([
      `\`${key}\``,
      allowedOf(row),
      row.defaultValue === undefined ? 'must be given' : valueOf(row.defaultValue, row.parser.unit),
      row.scope,
      row.change,
      row.sentence,
    ]),
  );
  const changed = Object.entries(sets).flatMap(([profile, values]) =>
    Object.entries(values).map(([key, value]) => tableRow([`\`${profile}\``, `\`${key}\``, valueOf(value)])),
  );
  return [
    '# Configuration',
    '',
    'Values come from the YAML file, then the environment, then `--set key=value`; the later one wins. In the file dotted',
    'keys may be nested. The name in the environment is the key in capitals, words parted by `_`, after `SLUICE_`:',
    `\`raft.electionTimeoutMs\` is \`${environmentName('raft.electionTimeoutMs')}\`. Lists are written as YAML there.`,
    'Durations are `1500ms`, `2s` or a plain number of ms; sizes are `64KiB`, `4MiB` or a plain number of bytes. A key that',
    'does not exist, a value out of bounds and an impossible pair stop the start with `INVALID_CONFIG` and a sentence.',
    '',
    '*Scope* `cluster` means the same on all nodes, `node` each its own. *Change* says whether a new value needs a restart.',
    '',
    'Made from the tables in `packages/server/src/config/table.ts` and `packages/metadata/src/topic-config.ts` by',
    '`npm run -s reference`.',
    '',
    '## Nodes',
    '',
    '| key | allowed | default | scope | change | meaning |',
    '|---|---|---|---|---|---|',
    ...rows,
    '',
    '## Profiles',
    '',
    'What a profile has instead of the default; `production` is the table above.',
    '',
    '| profile | key | value |',
    '|---|---|---|',
    ...changed,
    '',
    '## Topics',
    '',
    'Given at creation: `sluice topic create NAME --config key=value`.',
    '',
    '| key | allowed | default | meaning |',
    '|---|---|---|---|',
    ...Object.entries(topics).map(topicRow),
    '',
  ].join('\n');
}

function allowedOf({ parser: { type, unit, min, max } }: ConfigRow<unknown>): string {
  if (min === undefined || max === undefined) return type;
  return `${type}, ${valueOf(min, unit)} to ${valueOf(max, unit)}${type.startsWith('list') ? ' items' : ''}`;
}

const quantities = {
  ms: [
    ['h', 3_600_000],
    ['s', 1000],
  ],
  bytes: [
    ['GiB', 1024 ** 3],
    ['MiB', 1024 ** 2],
    ['KiB', 1024],
  ],
} as const;

/** As an operator would write it: in the largest unit that divides it. */
function valueOf(value: unknown, unit?: 'ms' | 'bytes'): string {
  if (value === '') return 'empty';
  if (typeof value !== 'number') return `\`${typeof value === 'string' ? value : JSON.stringify(value)}\``;
  if (unit === undefined || value === 0) return String(value);
  const fits = quantities[unit].find(([, size]) => value % size === 0);
  if (fits === undefined) return `${value}${unit === 'ms' ? 'ms' : 'B'}`;
  return `${value / fits[1]}${fits[0]}`;
}

function topicRow([key, row]: [string, Topics[string]]): string {
  const allowed =
    row.kind === 'choice'
      ? row.choices.map((each) => `\`${each}\``).join(' or ')
      : `${row.min} to ${row.max}${'mayBeUnlimited' in row ? `, or ${unlimited}: no limit` : ''}`;
  const [single, several] = [row.defaultValue(1), row.defaultValue(3)];
  const usual = single === several ? `${several}` : `${several}; ${single} with one replica`;
  return tableRow([`\`${key}\``, allowed, usual, row.sentence]);
}

export function metricsPage(table: Readonly<Record<string, MetricRow>> = metricsTable): string {
  const rows = Object.entries(table).map(([name, row]) =>
    tableRow([`\`${name}\``, row.type, row.unit, row.labels.map((label) => `\`${label}\``).join(', '), row.help]),
  );
  return [
    '# Metrics',
    '',
    'Every node answers `GET /metrics` on its admin listener in the Prometheus text format. Figures are read when they are',
    'scraped. The stages of producing: of each group commit, `queue` is the time until it was its turn, `append` the time',
    'until its bytes were made and `fsync` the time until they were written and synced; of each batch, `replicate` is the',
    'time until it was durable on all in-sync replicas and `ack` the time from its arrival to its answer.',
    '',
    'Made from the table in `packages/server/src/metrics-table.ts` by `npm run -s reference`.',
    '',
    '| name | type | unit | labels | meaning |',
    '|---|---|---|---|---|',
    ...rows,
    '',
  ].join('\n');
}

/** Page by path from the root. */
export const referencePages: Readonly<Record<string, string>> = {
  'docs/reference/config.md': configPage(),
  'docs/reference/errors.md': errorsPage(),
  'docs/reference/metrics.md': metricsPage(),
};
