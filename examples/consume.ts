/** Prints every record of a topic, and those to come, until Ctrl-C: `node examples/consume.ts [TOPIC]`. */
import { Sluice } from '@sluice/client';

const topic = process.argv[2] ?? 'greetings';
await using sluice = new Sluice({ bootstrap: ['127.0.0.1:7650'], requestTimeoutMs: 10_000 });

const { partitions } = await sluice.admin.describeTopic(topic);
await using consumer = sluice.consumer({ assignments: partitions.map(({ partition }) => ({ topic, partition })) });
process.once('SIGINT', () => void consumer.close());

const text = new TextDecoder();
for await (const batch of consumer.batches()) {
  for (const { offset, key, value } of batch.records()) {
    console.log(`${batch.partition}/${offset} ${text.decode(key ?? undefined)}: ${text.decode(value ?? undefined)}`);
  }
}
