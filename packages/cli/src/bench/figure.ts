/** One measured line: the fields that every system's figures share, then what this work found. */
import type { AcksName, Sluice, TopicDescription } from '@sluice/client';
import type { Codec } from '@sluice/record';
import type { CommandContext } from '../command-context.ts';
import { isMemoryFilesystem, nodeFilesystems } from '../node-filesystems.ts';
import { version } from '../version.ts';
import type { LatencyMs } from './latencies.ts';

export interface Settings {
  readonly fsync: boolean;
  readonly recordBytes: number;
  readonly partitions: number;
  readonly replication: number;
  readonly acks: AcksName;
  readonly minIsr: number;
  readonly batchBytes: number;
  readonly lingerMs: number;
  /** Records a second; null is as fast as it goes. */
  readonly rate: number | null;
  readonly compression: Codec;
  readonly filesystem: string;
  readonly memoryFilesystem: boolean;
  /** What else this work was measured with. */
  readonly [more: string]: unknown;
}

export interface LoadSettings {
  readonly recordBytes: number;
  readonly acks: AcksName;
  readonly batchBytes: number;
  readonly lingerMs: number;
  readonly rate?: number | undefined;
  readonly compression: Codec;
}

export async function settingsOf(sluice: Sluice, topic: TopicDescription, load: LoadSettings): Promise<Settings> {
  const { nodes } = await sluice.admin.describeCluster();
  const filesystem = await nodeFilesystems(nodes.map((node) => node.admin));
  return {
    fsync: topic.config['durability'] === 'fsync',
    recordBytes: load.recordBytes,
    partitions: topic.partitions.length,
    replication: topic.partitions[0]?.replicas.length ?? 0,
    acks: load.acks,
    minIsr: Number(topic.config['minIsr']),
    batchBytes: load.batchBytes,
    lingerMs: load.lingerMs,
    rate: load.rate ?? null,
    compression: load.compression,
    filesystem,
    memoryFilesystem: isMemoryFilesystem(filesystem),
  };
}

export interface Rates {
  readonly records: number;
  readonly seconds: number;
  readonly recordsPerSecond: number;
  readonly bytesPerSecond: number;
  readonly latencyMs?: LatencyMs | undefined;
}

/** Nothing was measured in no time: then the rates are 0, never infinite. */
export function rates(records: number, bytes: number, elapsedMs: number): Rates {
  const seconds = elapsedMs / 1000;
  const perSecond = (count: number): number => (seconds > 0 ? Math.round(count / seconds) : 0);
  return {
    records,
    seconds: Number(seconds.toFixed(3)),
    recordsPerSecond: perSecond(records),
    bytesPerSecond: perSecond(bytes),
  };
}

export function ratesText({ recordsPerSecond, bytesPerSecond, latencyMs }: Rates): string {
  const rate = `${recordsPerSecond} records/s, ${(bytesPerSecond / 1e6).toFixed(1)} MB/s`;
  if (latencyMs === undefined) return rate;
  const { p50, p99, p999, max } = latencyMs;
  return `${rate}, latency p50 ${p50} ms, p99 ${p99} ms, p999 ${p999} ms, max ${max} ms`;
}

export interface Figure {
  readonly work: string;
  readonly settings: Settings;
  readonly found: object;
  /** What was found, for people. */
  readonly text: string;
}

export async function printFigure({ output }: CommandContext, { work, settings, found, text }: Figure): Promise<void> {
  if (settings.memoryFilesystem) {
    output.note('The data lies in a memory file system: this figure does not count.');
  }
  await output.result({ system: 'sluice', version, work, settings, ...found }, () => `${work}: ${text}`);
}
