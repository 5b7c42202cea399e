import { SluiceError } from '@sluice/base';
import { deliveryTimeoutMsMax } from '@sluice/record';
import type { Codec, Compressor } from '@sluice/record';
import type { Compression } from './ports.ts';

export type AcksName = 'all' | 'leader' | 'none';

export interface ProducerOptions {
  /**
   * Which replicas have a record, synced to disk, before it counts as delivered: all in-sync ones (default), or the
   * leader alone, or none (taken by the leader's memory). Anything but `all` can lose delivered records.
   */
  readonly acks?: AcksName;
  /** Largest batch before compression; one larger record makes a larger batch. Default 256 KiB. */
  readonly batchBytesMax?: number;
  /**
   * How long a batch waits for more records. Default 0: it leaves at once, unless enough of its partition is under way;
   * then it gathers records until an answer comes or it is full, which batches well under load.
   */
  readonly lingerMs?: number;
  /** Default `none`. */
  readonly compression?: Codec;
  /**
   * From `send` to the outcome, retries and waiting for room included; up to a sixteenth less for a record that shares
   * its batch with an older one. Default 120 s, at most 30 minutes: for as long the nodes know what is a repetition.
   */
  readonly deliveryTimeoutMs?: number;
  /** A node that leaves a batch unanswered for this long is taken for lost, and the batch is sent again. Default 30 s. */
  readonly requestTimeoutMs?: number;
  /** Records that are not delivered yet, in bytes; beyond it `send` waits and `post` refuses. Default 64 MiB. */
  readonly bufferBytesMax?: number;
  /**
   * No duplicates and no reordering, whatever fails. Default true, and false with `acks: 'none'`. Without it a batch
   * whose outcome is unknown is not sent again but fails as indefinite, and one that was refused goes again behind
   * those sent after it.
   */
  readonly idempotent?: boolean;
}

/** The options with defaults filled in, checked. */
export interface ProducerSettings extends Required<Omit<ProducerOptions, 'compression'>> {
  readonly compressor: Compressor | undefined;
}

/** What a producer takes for each option that is not given. */
export const producerDefaults = {
  acks: 'all',
  batchBytesMax: 256 * 1024,
  lingerMs: 0,
  deliveryTimeoutMs: 120_000,
  requestTimeoutMs: 30_000,
  bufferBytesMax: 64 * 1024 * 1024,
} as const;

/** Throws `INVALID_CONFIG`. */
export function producerSettings(options: ProducerOptions, compression: Compression): ProducerSettings {
  const { compression: codec = 'none', ...given } = options;
  const acks = given.acks ?? producerDefaults.acks;
  const settings = { ...producerDefaults, ...given, acks, idempotent: given.idempotent ?? acks !== 'none' };
  if (settings.idempotent && acks === 'none') throw invalid('idempotent', 'needs acks "all" or "leader"');
  const positive = ['batchBytesMax', 'deliveryTimeoutMs', 'requestTimeoutMs', 'bufferBytesMax'] as const;
  for (const key of positive)
    if (!(settings[key] > 0)) throw invalid(key, `must be more than 0, this is ${settings[key]}`);
  if (settings.deliveryTimeoutMs > deliveryTimeoutMsMax) {
    const { deliveryTimeoutMs } = settings;
    throw invalid('deliveryTimeoutMs', `must be at most ${deliveryTimeoutMsMax}, this is ${deliveryTimeoutMs}`);
  }
  if (!(settings.lingerMs >= 0)) throw invalid('lingerMs', `must be at least 0, this is ${settings.lingerMs}`);
  if (codec === 'none') return { ...settings, compressor: undefined };
  const compressor = compression.compressor(codec);
  if (compressor === undefined) throw invalid('compression', `${codec} is not available here; inject it as a port`);
  return { ...settings, compressor };
}

const invalid = (key: string, what: string): SluiceError =>
  new SluiceError('INVALID_CONFIG', { message: `Producer option ${key} ${what}.`, details: { key } });
