import { GrpcTransport } from './grpc-transport.ts';
import { laneMatrix } from './lane-matrix-conformance.ts';
import { SystemClock } from './system-clock.ts';

laneMatrix('GrpcTransport', () => new GrpcTransport({ clock: new SystemClock(), messageBytesMax: 2 ** 26 }));
