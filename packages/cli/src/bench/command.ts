/** `sluice bench`: one file a benchmark; each prints one line with the fields of every system's figures. */
import type { Command } from 'commander';
import type { RunCommand } from '../command-context.ts';
import { addBenchColdStart } from './cold-start.ts';
import { addBenchConsume } from './consume.ts';
import { addBenchEndToEnd } from './end-to-end.ts';
import { addBenchFailover } from './failover.ts';
import { addBenchIdle } from './idle.ts';
import { addBenchProduce } from './produce.ts';

export function addBenchCommands(program: Command, run: RunCommand): void {
  const bench = program.command('bench').description('measure a running cluster, or one of its own');
  addBenchProduce(bench, run);
  addBenchConsume(bench, run);
  addBenchEndToEnd(bench, run);
  addBenchFailover(bench, run);
  addBenchColdStart(bench, run);
  addBenchIdle(bench, run);
}
