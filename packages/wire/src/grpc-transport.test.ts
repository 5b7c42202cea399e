import { GrpcTransport } from './grpc-transport.ts';
import { SystemClock } from './system-clock.ts';
import { transportConformance } from './transport-conformance.ts';

const clock = new SystemClock();

transportConformance('GrpcTransport', async () => ({
  caller: new GrpcTransport({ clock, messageBytesMax: 8 * 1_048_576 }),
  server: new GrpcTransport({ clock, messageBytesMax: 8 * 1_048_576 }),
  bindAddress: '127.0.0.1:0',
  // Port 1 is reserved and unused on any machine that tests run on.
  deadAddress: '127.0.0.1:1',
}));
