/**
 * One Markdown table of everything measured: rows are works, columns systems. A cell is the median of its runs, their
 * range when there were several, and the ratio to Kafka's median.
 */
import type { FigureLine } from './figure-line.ts';

const baseColumn = 'kafka';

interface Row {
  readonly name: string;
  /** Rows of Kafka that this one is set against: the same work, and for full speed the tuned one too. */
  readonly bases: readonly string[];
}

type Cells = Map<string, number[]>;

export function report(lines: readonly FigureLine[]): string {
  const columns: string[] = [];
  const table = new Map<string, { readonly row: Row; readonly cells: Cells }>();
  for (const line of lines) {
    const column = line.settings?.fsync === true ? `${line.system} (fsync)` : line.system;
    if (!columns.includes(column)) columns.push(column);
    for (const { row, values } of rowsOf(line)) {
      const { cells } = table.get(row.name) ?? { cells: new Map<string, number[]>() };
      if (!table.has(row.name)) table.set(row.name, { row, cells });
      cells.set(column, [...(cells.get(column) ?? []), ...values]);
    }
  }
  const rows = [...table.values()].map(({ row, cells }) => {
    const bases = row.bases.map((name) => table.get(name)?.cells.get(baseColumn));
    return [row.name, ...columns.map((column) => cell(cells.get(column), column === baseColumn ? [] : bases))];
  });
  return [
    `| work | ${columns.join(' | ')} |`,
    `|---|${columns.map(() => '---:').join('|')}|`,
    ...rows.map((words) => `| ${words.join(' | ')} |`),
    '',
    'Medians, with [min–max] of several runs. × is the ratio to the median of kafka at its defaults, and after the slash',
    'to kafka tuned where that was measured; above 1 is more records, or longer times. (fsync) flushes before each ack.',
    '',
  ].join('\n');
}

interface RowValues {
  readonly row: Row;
  readonly values: readonly number[];
}

function rowsOf(line: FigureLine): readonly RowValues[] {
  const { work, rounds, restartGaps, lost, duplicated, ms, rssMb } = line;
  const same = (name: string, values: readonly number[]): RowValues => ({ row: { name, bases: [name] }, values });
  if (rounds !== undefined) {
    return [
      same(`${work}: longest pause of acks, ms`, rounds),
      same(`${work}: pause while it comes back, ms`, restartGaps ?? []),
      same(`${work}: lost`, [lost ?? Number.NaN]),
      same(`${work}: duplicated`, [duplicated ?? Number.NaN]),
    ];
  }
  if (ms !== undefined) return [same(`${work}, ms`, [ms])];
  if (rssMb !== undefined) return [same(`${work}: memory of a node, MB`, rssMb)];
  const { recordsPerSecond, bytesPerSecond, latencyMs = {} } = line;
  if (work.startsWith('disk ')) {
    const quantiles = ['p50', 'p99'].map((name) => same(`${work}: ${name}, ms`, [latencyMs[name] ?? Number.NaN]));
    return [...quantiles, same(`${work}, MB/s`, [(bytesPerSecond ?? Number.NaN) / 1e6])];
  }
  if (recordsPerSecond === undefined) return [];
  // At full speed latency is that of the client's own queue.
  if (!/\/s /.test(work)) return [{ row: fullSpeedRow(work), values: [recordsPerSecond] }];
  const quantiles = ['p50', 'p99', 'p999', 'max'].filter((name) => latencyMs[name] !== undefined);
  return [
    ...quantiles.map((name) => same(`${work}: ${name}, ms`, [latencyMs[name] ?? Number.NaN])),
    same(`${work}: reached, records/s`, [recordsPerSecond]),
  ];
}

function fullSpeedRow(work: string): Row {
  const name = (each: string): string => `${each}, records/s`;
  // Kafka's client makes every record, so that what else we measure stands against the same row.
  const base = work.replace(/, (?:tuned|decoded)$/, '');
  const bases = base.startsWith('produce-max') ? [name(base), name(`${base}, tuned`)] : [name(base)];
  return { name: name(work), bases };
}

function cell(values: readonly number[] | undefined, bases: readonly (readonly number[] | undefined)[]): string {
  if (values === undefined || values.length === 0) return '–';
  const range = values.length > 1 ? ` [${shown(Math.min(...values))}–${shown(Math.max(...values))}]` : '';
  const ratios = bases
    .filter((base) => base !== undefined && base.length > 0 && median(base) > 0)
    .map((base) => `×${(median(values) / median(base ?? [])).toFixed(2)}`);
  return `${shown(median(values))}${range}${ratios.length === 0 ? '' : ` ${ratios.join(' / ')}`}`;
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((one, other) => one - other);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

function shown(value: number): string {
  if (Number.isInteger(value) || Math.abs(value) >= 100) return Math.round(value).toLocaleString('en-US');
  return value.toFixed(value < 10 ? 2 : 1);
}
