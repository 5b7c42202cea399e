/** Adapter: the metrics table over prom-client. One registry a node, so that several nodes may live in one process. */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import { metricsTable } from './metrics-table.ts';
import type { MetricName, MetricRow, PlainMetricName, Stage } from './metrics-table.ts';

/** What a counter with one label counts at each value of it. */
type ByLabel = Readonly<Record<string, number>>;

export type NodeFigures = Partial<Readonly<Record<PlainMetricName, number>>> & {
  readonly sluice_fences_total?: ByLabel;
};

/** From 50 µs to about 6.5 s, each bound twice the one before. */
const stageBounds = Array.from({ length: 18 }, (_, power) => 0.000_05 * 2 ** power);

const quantiles = [0.5, 0.99] as const;

export class Metrics {
  readonly #registry = new Registry();
  readonly #stages: Histogram<'stage'>;
  readonly #delay = monitorEventLoopDelay({ resolution: 10 });
  readonly #gauges = new Map<MetricName, Gauge>();
  readonly #counters = new Map<MetricName, Counter>();
  readonly #figures: () => NodeFigures;

  /** `figures` is called at each scrape; what it leaves out reads 0. */
  constructor(figures: () => NodeFigures) {
    this.#figures = figures;
    this.#stages = new Histogram({
      name: 'sluice_stage_seconds',
      help: metricsTable.sluice_stage_seconds.help,
      labelNames: metricsTable.sluice_stage_seconds.labels,
      buckets: stageBounds,
      registers: [this.#registry],
    });
    for (const [name, row] of Object.entries(metricsTable)) this.#add(name as MetricName, row);
    this.#delay.enable();
  }

  readonly contentType: string = this.#registry.contentType;

  observeStage(stage: Stage, ms: number): void {
    this.#stages.observe({ stage }, ms / 1000);
  }

  setFilesystem(type: string): void {
    this.#gauges.get('sluice_data_filesystem')?.set({ type }, 1);
  }

  /** The Prometheus text format. */
  scrape(): Promise<string> {
    this.#readEventLoop();
    const figures = this.#figures();
    for (const [name, value] of Object.entries(figures)) {
      if (typeof value === 'number') this.#set(name as PlainMetricName, value);
      else this.#countEach(name as MetricName, value);
    }
    return this.#registry.metrics();
  }

  close(): void {
    this.#delay.disable();
  }

  #add(name: MetricName, row: MetricRow): void {
    const options = { name, help: row.help, labelNames: [...row.labels], registers: [this.#registry] };
    if (row.type === 'gauge') this.#gauges.set(name, new Gauge(options));
    if (row.type === 'counter') this.#counters.set(name, new Counter(options));
  }

  #set(name: PlainMetricName, value: number): void {
    this.#gauges.get(name)?.set(value);
    const total = this.#counters.get(name);
    if (total === undefined) return;
    // The source keeps the running total; prom-client only adds.
    total.reset();
    total.inc(value);
  }

  #countEach(name: MetricName, counts: ByLabel): void {
    const [label] = metricsTable[name].labels;
    const total = this.#counters.get(name);
    if (label === undefined || total === undefined) return;
    total.reset();
    for (const [at, count] of Object.entries(counts)) total.inc({ [label]: at }, count);
  }

  #readEventLoop(): void {
    const delay = this.#gauges.get('sluice_process_event_loop_delay_seconds');
    for (const quantile of quantiles) {
      const ns = this.#delay.percentile(quantile * 100);
      delay?.set({ quantile: String(quantile) }, ns / 1e9);
    }
    delay?.set({ quantile: '1' }, this.#delay.max / 1e9);
    this.#delay.reset();
  }
}

/** The part of the figures that comes from the process. */
export const processFigures = (memory: NodeJS.MemoryUsage, cpu: NodeJS.CpuUsage): NodeFigures => ({
  sluice_process_resident_bytes: memory.rss,
  sluice_process_heap_used_bytes: memory.heapUsed,
  sluice_process_external_bytes: memory.external,
  sluice_process_array_buffers_bytes: memory.arrayBuffers,
  sluice_process_cpu_seconds_total: (cpu.user + cpu.system) / 1e6,
});
