import { MemoryNetwork } from './memory-network.ts';
import { MemoryTransport } from './memory-transport.ts';
import { SystemClock } from './system-clock.ts';
import { transportConformance } from './transport-conformance.ts';

transportConformance('MemoryTransport', async () => {
  const network = new MemoryNetwork({ clock: new SystemClock() });
  return {
    caller: new MemoryTransport(network, 'a'),
    server: new MemoryTransport(network, 'b'),
    bindAddress: '10.0.0.1:0',
    deadAddress: '10.0.0.1:1',
  };
});
