import { SluiceError } from '@sluice/base';
import { portsPerNode } from './dev-layout.ts';
import { isPortFree } from './port-check.ts';

const listenersPerNode = 3;
const host = '127.0.0.1';

/** The first port of `candidates` from which `nodes` nodes find all their ports free. */
export async function freeBasePort(nodes: number, candidates: Iterable<number> = randomBases()): Promise<number> {
  for (const base of candidates) {
    const wanted = Array.from({ length: nodes * listenersPerNode }, (_, at) => {
      return base + portsPerNode * Math.floor(at / listenersPerNode) + (at % listenersPerNode);
    });
    const free = await Promise.all(wanted.map((port) => isPortFree(host, port)));
    if (free.every(Boolean)) return base;
  }
  throw new SluiceError('PORT_IN_USE', { message: `No ${nodes} times ${listenersPerNode} free ports were found.` });
}

/** Below the range from which the system hands out ports for outgoing connections. */
function* randomBases(): Generator<number> {
  for (let attempt = 0; attempt < 100; attempt += 1) yield 10_000 + 100 * Math.floor(Math.random() * 200);
}
