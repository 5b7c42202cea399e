/** Declared ahead of its implementation; replaced file by file. */
import type {
  Acceptor,
  Clock,
  Listening,
  OpenOptions,
  ProbeResult,
  Random,
  StreamHandlers,
  Timer,
  Transport,
  TransportStream,
} from '@sluice/base';

export type ChannelClass = 'control' | 'produce' | 'fetch' | 'replicate';

export interface GrpcTransportOptions {
  readonly clock: Clock;
  /** Largest message that is received, by servers and clients of this transport. */
  readonly messageBytesMax: number;
}

export declare class GrpcTransport implements Transport {
  constructor(options: GrpcTransportOptions);
  open(address: string, method: string, handlers: StreamHandlers, options?: OpenOptions): TransportStream;
  listen(address: string, accept: Acceptor): Promise<Listening>;
  probe(address: string, timeoutMs: number): Promise<ProbeResult>;
  close(): void;
}

export declare class MemoryNetwork {
  constructor(clock: Clock);
}

export declare class MemoryTransport implements Transport {
  constructor(network: MemoryNetwork, self: string);
  open(address: string, method: string, handlers: StreamHandlers, options?: OpenOptions): TransportStream;
  listen(address: string, accept: Acceptor): Promise<Listening>;
  probe(address: string, timeoutMs: number): Promise<ProbeResult>;
  close(): void;
}

export declare class SystemClock implements Clock {
  monotonicMs(): number;
  wallMs(): number;
  setTimer(delayMs: number, onFire: () => void): Timer;
  defer(run: () => void): void;
}

export declare function systemRandom(): Random;
