/** Runs the seeds of its arguments, in their order, and prints their hashes: in a process of its own. */
import { runSeed } from './run-seed.ts';

const hashes: Record<string, string> = {};
for (const seed of process.argv.slice(2)) {
  const { result } = await runSeed(Number(seed));
  hashes[seed] = result.traceHash;
}
process.stdout.write(JSON.stringify(hashes));
