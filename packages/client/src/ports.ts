/** What the client needs from outside; everything that it does goes through these, so that a simulator can run it. */
import type { Clock, Random, Transport } from '@sluice/base';
import type { Compressor, Decompress } from '@sluice/record';

/** Codecs by name; a codec that is missing here can be neither written nor read. */
export interface Compression {
  compressor(codec: Compressor['codec']): Compressor | undefined;
  readonly decompress: Decompress;
}

export interface ClientPorts {
  readonly transport: Transport;
  readonly clock: Clock;
  readonly random: Random;
  readonly compression: Compression;
}
