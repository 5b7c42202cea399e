import { createServer } from 'node:net';
import { parseAddress, SluiceError } from '@sluice/base';

/** Throws `PORT_IN_USE` for the first address that somebody listens on: else its answers would be taken for our node's. */
export async function checkPortsFree(addresses: readonly string[]): Promise<void> {
  for (const address of addresses) {
    const { host, port } = parseAddress(address) ?? { host: address, port: 0 };
    if (await isPortFree(host, port)) continue;
    throw new SluiceError('PORT_IN_USE', {
      message: `${address} is taken by another process; stop it, or choose other ports with --port.`,
      details: { address },
    });
  }
}

export function isPortFree(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, host, () => server.close(() => resolve(true)));
  });
}
