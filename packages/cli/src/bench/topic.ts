/** The topic of one measurement: made for it and deleted afterwards, however it ends, or one that is there. */
import { randomUUID } from 'node:crypto';
import type { Sluice, TopicDescription } from '@sluice/client';
import { connect } from '../command-context.ts';
import type { CommandContext } from '../command-context.ts';
import { orInterrupted } from './interruption.ts';
import type { TopicOptions } from './options.ts';

export interface Target {
  readonly sluice: Sluice;
  readonly topic: TopicDescription;
  /** Aborts when the command is told to stop. */
  readonly stop: AbortSignal;
}

/** Rejects with `CANCELLED` when the command is told to stop; everything is cleaned up then, too. */
export async function onTopic(
  context: CommandContext,
  { topic: name, partitions, replication, durability }: TopicOptions,
  measure: (target: Target) => Promise<void>,
): Promise<void> {
  const stop = context.terminal.interruption();
  const sluice = connect(context);
  const { admin } = sluice;
  const own = `bench-${randomUUID()}`;
  try {
    if (name !== undefined) {
      await orInterrupted(measure({ sluice, stop, topic: await admin.describeTopic(name) }), stop);
      return;
    }
    const topic = await admin.createTopic({ name: own, partitions, replication, config: { durability } });
    try {
      await orInterrupted(measure({ sluice, stop, topic }), stop);
    } finally {
      await admin.deleteTopic(own);
    }
  } finally {
    await sluice.close(stop.aborted ? { timeoutMs: 0 } : {});
  }
}
