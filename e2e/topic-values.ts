import type { Sluice } from '@sluice/client';

/** Values of partition `partition` up to its committed end, in the order of their offsets. */
export async function topicValues(client: Sluice, topic: string, partition = 0): Promise<string[]> {
  const bounds = (await client.admin.listOffsets(topic))[partition];
  const values: string[] = [];
  if (bounds === undefined || bounds.highWatermark === 0) return values;
  await using consumer = client.consumer({ assignments: [{ topic, partition, from: 'start' }] });
  for await (const batch of consumer.batches()) {
    for (const { value } of batch.records()) values.push(Buffer.from(value ?? []).toString());
    if (batch.nextOffset >= bounds.highWatermark) break;
  }
  return values;
}
