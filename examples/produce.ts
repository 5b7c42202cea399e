/** Sends ten records to a topic, which it makes if need be: `node examples/produce.ts [TOPIC]`. */
import { isSluiceError, Sluice } from '@sluice/client';

const topic = process.argv[2] ?? 'greetings';
await using sluice = new Sluice({ bootstrap: ['127.0.0.1:7650'], requestTimeoutMs: 10_000 });

try {
  await sluice.admin.createTopic({ name: topic, partitions: 3 });
} catch (error) {
  if (!isSluiceError(error) || error.code !== 'TOPIC_EXISTS') throw error;
}

await using producer = sluice.producer();
const sends = Array.from({ length: 10 }, async (_, number) => {
  const { partition, offset } = await producer.send(topic, { key: `key ${number % 4}`, value: `greeting ${number}` });
  console.log(`greeting ${number} is stored at partition ${partition}, offset ${offset}`);
});
await Promise.all(sends);
