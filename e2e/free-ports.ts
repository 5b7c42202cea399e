import { createServer } from 'node:net';

const portsPerNode = 10;
const listenersPerNode = 3;

/** The first port of `candidates` from which `nodes` nodes find all their ports free. */
export async function freeBasePort(nodes: number, candidates: Iterable<number> = randomBases()): Promise<number> {
  for (const base of candidates) {
    const wanted = Array.from({ length: nodes * listenersPerNode }, (_, at) => {
      return base + portsPerNode * Math.floor(at / listenersPerNode) + (at % listenersPerNode);
    });
    const free = await Promise.all(wanted.map(isFree));
    if (free.every(Boolean)) return base;
  }
  throw new Error(`no ${nodes} times three free ports were found`);
}

/** Below the range from which the system hands out ports for outgoing connections. */
function* randomBases(): Generator<number> {
  for (let attempt = 0; attempt < 100; attempt += 1) yield 10_000 + 100 * Math.floor(Math.random() * 200);
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}
